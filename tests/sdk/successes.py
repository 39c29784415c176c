"""What is not refused: text and usage reach the client as the stub produced them, and usage only where it was asked."""

import asyncio

from checks import check
from clients import ASYNC, PLAIN, STREAM, Anthropic, OpenAi

# The stub counts words, and answers with as many as the prompt names.
PROMPT = "Tell me in a few words why the sky is blue. [reply 5]"
TEXT = "w0 w1 w2 w3 w4 "
USAGE = (len(PROMPT.split()), 5)


def expect(service, answer, usage=USAGE):
    """The client's view of the answer, and the gateway's of the call."""
    assert answer.text == TEXT, answer.text
    assert answer.usage == usage, f"the client was told {answer.usage}"
    service.gateway.expect_settled(USAGE)
    return "{}+{} tokens".format(*usage) if usage else "no usage"


@check()
def an_answer_has_the_text_and_the_usage_of_the_provider(run):
    more = {} if run.client is Anthropic or run.mode == PLAIN else {"stream_options": {"include_usage": True}}
    with run.service() as service:
        return expect(service, service.ask(prompt=PROMPT, **more))


@check(STREAM, ASYNC, clients=[OpenAi])
def usage_that_was_not_asked_for_stays_hidden(run):
    return hidden(run)


@check(STREAM, ASYNC, clients=[OpenAi])
def usage_that_was_declined_stays_hidden(run):
    return hidden(run, stream_options={"include_usage": False})


def hidden(run, **more):
    with run.service() as service:
        ask = dict(model=OpenAi.model, max_tokens=20, messages=[{"role": "user", "content": PROMPT}], **more)
        chunks = OpenAi.chunks(service.relay.url, "sk-ann", run.mode, ask)
        assert all(chunk.choices and chunk.usage is None for chunk in chunks), chunks
        assert b'"usage":{' not in service.relay.attempts[0].body
        return expect(service, OpenAi.read(chunks), usage=None)


@check(STREAM, ASYNC, clients=[OpenAi])
def usage_that_was_asked_for_is_the_last_chunk(run):
    with run.service() as service:
        ask = dict(model=OpenAi.model, max_tokens=20, messages=[{"role": "user", "content": PROMPT}])
        ask["stream_options"] = {"include_usage": True}
        chunks = OpenAi.chunks(service.relay.url, "sk-ann", run.mode, ask)
        assert chunks[-1].usage and not chunks[-1].choices, chunks[-1]
        assert all(chunk.choices for chunk in chunks[:-1]), chunks
        return expect(service, OpenAi.read(chunks))


@check(STREAM)
def the_helper_for_streams_puts_the_answer_together(run):
    with run.service() as service:
        client = run.client.client(service.relay.url, "sk-ann")
        ask = dict(model=run.client.model, max_tokens=20, messages=[{"role": "user", "content": PROMPT}])
        streams = client.chat.completions if run.client is OpenAi else client.messages
        with streams.stream(**ask) as stream:
            if run.client is OpenAi:
                text = stream.get_final_completion().choices[0].message.content
            else:
                text = stream.get_final_text()
        assert text == TEXT, text
        service.gateway.expect_settled(USAGE)
        return "whole"


@check(clients=[OpenAi])
def responses_have_their_text_and_usage(run):
    ask = dict(model=OpenAi.model, max_output_tokens=20, input=PROMPT)
    with run.service() as service:
        client = OpenAi.client(service.relay.url, "sk-ann", run.mode == ASYNC)
        if run.mode == PLAIN:
            answer = client.responses.create(**ask)
        elif run.mode == STREAM:
            answer = list(client.responses.create(stream=True, **ask))[-1].response
        else:
            answer = asyncio.run(last_event(client, ask)).response
        assert answer.output_text == TEXT, answer.output_text
        told = (answer.usage.input_tokens, answer.usage.output_tokens)
        assert told == USAGE, f"the client was told {told}"
        service.gateway.expect_settled(USAGE)
        return "{}+{} tokens".format(*told)


async def last_event(client, ask):
    async with client:
        return [event async for event in await client.responses.create(stream=True, **ask)][-1]


@check(PLAIN, clients=[OpenAi])
def embeddings_have_their_vectors_and_usage(run):
    with run.service() as service:
        client = OpenAi.client(service.relay.url, "sk-ann")
        answer = client.embeddings.create(model="text-embedding-3-small", input=["two words", "and three more"])
        assert [len(row.embedding) > 0 for row in answer.data] == [True, True]
        assert answer.usage.prompt_tokens == 5, answer.usage
        service.gateway.expect_settled((5, 0))
        return "5 tokens"
