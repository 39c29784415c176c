"""The official packages, behind one small face, so that a check is written once for both."""

import asyncio
from dataclasses import dataclass
from typing import Optional

import anthropic
import openai

PLAIN, STREAM, ASYNC = "plain", "stream", "async stream"

# How long a client may take for one attempt, in seconds.
TIMEOUT = 60


def client_of(module, url, key, asynchronous):
    """A client as its package makes it, except that it does not read the certificates of all authorities: there is no
    TLS on loopback, and they would take most of the time of a run."""
    kind = "Async" if asynchronous else ""
    transport = getattr(module, f"Default{kind}HttpxClient")(verify=False)
    make = getattr(module, f"{kind}{'OpenAI' if module is openai else 'Anthropic'}")
    return make(base_url=url, api_key=key, timeout=TIMEOUT, http_client=transport)


@dataclass
class Answer:
    text: str
    # Prompt and completion tokens, if the client was told.
    usage: Optional[tuple] = None


class OpenAi:
    """The package `openai`, on chat completions."""

    name, module, version = "openai", openai, openai.VERSION
    model, request_id = "gpt-4o-mini", "x-request-id"
    # Above a minute these ignore Retry-After.
    has_sixty_second_rule = int(openai.VERSION.split(".")[0]) < 3
    # The classes of statuses for which packages and versions differ.
    classes = {402: "APIStatusError", 413: "APIStatusError", 503: "InternalServerError"}

    @staticmethod
    def client(url, key, asynchronous=False):
        return client_of(openai, f"{url}/v1", key, asynchronous)

    @classmethod
    def ask(cls, url, key, mode, prompt, cap, **more):
        ask = dict(model=cls.model, max_tokens=cap, messages=[{"role": "user", "content": prompt}])
        ask.update(more)
        if mode == PLAIN:
            answer = cls.client(url, key).chat.completions.create(**ask)
            usage = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
            return Answer(answer.choices[0].message.content, usage)
        return cls.read(cls.chunks(url, key, mode, ask))

    @classmethod
    def chunks(cls, url, key, mode, ask):
        """All chunks of a stream."""
        if mode == STREAM:
            return list(cls.client(url, key).chat.completions.create(stream=True, **ask))

        async def collect():
            async with cls.client(url, key, asynchronous=True) as client:
                return [chunk async for chunk in await client.chat.completions.create(stream=True, **ask)]

        return asyncio.run(collect())

    @staticmethod
    def read(chunks):
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        reports = [(chunk.usage.prompt_tokens, chunk.usage.completion_tokens) for chunk in chunks if chunk.usage]
        assert len(reports) <= 1, f"usage came {len(reports)} times"
        return Answer(text, reports[0] if reports else None)

    @staticmethod
    def names(error):
        """What the body calls the error: its type and its code."""
        return error.type, error.code


class Anthropic:
    """The package `anthropic`, on messages."""

    name, module, version = "anthropic", anthropic, anthropic.__version__
    model, request_id = "claude-sonnet-4-5", "request-id"
    has_sixty_second_rule = int(anthropic.__version__.split(".")[0]) < 2
    if has_sixty_second_rule:
        classes = {402: "APIStatusError", 413: "RequestTooLargeError", 503: "InternalServerError"}
    else:
        classes = {402: "PaymentRequiredError", 413: "ContentTooLargeError", 503: "ServiceUnavailableError"}

    @staticmethod
    def client(url, key, asynchronous=False):
        return client_of(anthropic, url, key, asynchronous)

    @classmethod
    def ask(cls, url, key, mode, prompt, cap, **more):
        ask = dict(model=cls.model, max_tokens=cap, messages=[{"role": "user", "content": prompt}])
        ask.update(more)
        if mode == PLAIN:
            answer = cls.client(url, key).messages.create(**ask)
            return Answer(answer.content[0].text, (answer.usage.input_tokens, answer.usage.output_tokens))
        return cls.read(cls.events(url, key, mode, ask))

    @classmethod
    def events(cls, url, key, mode, ask):
        """All events of a stream."""
        if mode == STREAM:
            return list(cls.client(url, key).messages.create(stream=True, **ask))

        async def collect():
            async with cls.client(url, key, asynchronous=True) as client:
                return [event async for event in await client.messages.create(stream=True, **ask)]

        return asyncio.run(collect())

    @staticmethod
    def read(events):
        assert (events[0].type, events[-1].type) == ("message_start", "message_stop")
        text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
        (last,) = [event for event in events if event.type == "message_delta"]
        return Answer(text, (events[0].message.usage.input_tokens, last.usage.output_tokens))

    @staticmethod
    def names(error):
        """What the body calls the error: its type."""
        return error.body["error"]["type"]


CLIENTS = (OpenAi, Anthropic)
