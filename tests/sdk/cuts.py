"""Streams that are ended for want of room, and whom nobody knows: clients take the one for an answer that is too short,
and the other for a mistake of theirs."""

import http.client
import json

from checks import check
from clients import ASYNC, STREAM, OpenAi
from gateway import PATIENCE, limit

# What a call asks for, and what calls like it are known to use after so many: words, and tokens of the stub.
CAP, USED, WARM = 300, 3, 100
SHORT, LONG = f"[reply {USED}]", f"[reply {CAP}]"

# What is left then: enough for the input and what was learned, and too little for the cap.
LEFT = 250


def nearly_spent(run):
    """A gateway with little left once it knows how little calls use."""
    used = WARM * (len(SHORT.split()) + USED)
    switches = '[policy]\non_exhausted = "cut"\noutput_estimate = "learned"\n'
    return run.service(limit("tokens", used + LEFT, "lifetime") + switches)


def warm(service, path):
    connection = http.client.HTTPConnection("127.0.0.1", service.gateway.port, timeout=PATIENCE)
    model = service.run.client.model
    ask = {"model": model, "max_tokens": CAP, "messages": [{"role": "user", "content": SHORT}]}
    if path == "/v1/responses":
        ask = {"model": model, "max_output_tokens": CAP, "input": SHORT}
    headers = {"authorization": "Bearer sk-ann", "content-type": "application/json"}
    try:
        for _ in range(WARM):
            connection.request("POST", path, json.dumps(ask), headers)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            response.read()
    finally:
        connection.close()


def too_short(text):
    """That a part of the answer came, and not all of it; in a few words."""
    words = len(text.split())
    assert USED < words < CAP, f"{words} of {CAP} words came"
    return f"{words} of {CAP} words"


@check(STREAM, ASYNC)
def a_stream_that_is_cut_ends_as_one_that_reached_its_cap(run):
    path = "/v1/chat/completions" if run.client is OpenAi else "/v1/messages"
    with nearly_spent(run) as service:
        warm(service, path)
        ask = dict(model=run.client.model, max_tokens=CAP, messages=[{"role": "user", "content": LONG}])
        if run.client is OpenAi:
            chunks = OpenAi.chunks(service.relay.url, "sk-ann", run.mode, ask)
            reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
            assert reasons == ["length"], reasons
            return too_short(OpenAi.read(chunks).text)
        events = run.client.events(service.relay.url, "sk-ann", run.mode, ask)
        reasons = [event.delta.stop_reason for event in events if event.type == "message_delta"]
        assert reasons == ["max_tokens"], reasons
        return too_short(run.client.read(events).text)


@check(STREAM)
def the_helper_for_streams_takes_a_cut_for_an_end(run):
    path = "/v1/chat/completions" if run.client is OpenAi else "/v1/messages"
    with nearly_spent(run) as service:
        warm(service, path)
        client = run.client.client(service.relay.url, "sk-ann")
        ask = dict(model=run.client.model, max_tokens=CAP, messages=[{"role": "user", "content": LONG}])
        if run.client is OpenAi:
            with client.chat.completions.stream(**ask) as stream:
                text = "".join(event.delta for event in stream if event.type == "content.delta")
        else:
            with client.messages.stream(**ask) as stream:
                text = stream.get_final_text()
        return too_short(text)


@check(STREAM, clients=[OpenAi])
def a_response_that_is_cut_is_incomplete(run):
    with nearly_spent(run) as service:
        warm(service, "/v1/responses")
        client = OpenAi.client(service.relay.url, "sk-ann")
        events = list(client.responses.create(model=OpenAi.model, max_output_tokens=CAP, input=LONG, stream=True))
        last = events[-1]
        assert last.type == "response.incomplete", last.type
        assert last.response.incomplete_details.reason == "max_output_tokens", last.response
        return too_short("".join(event.delta for event in events if event.type == "response.output_text.delta"))


@check()
def without_any_key_nobody_is_tried_again(run):
    with run.service('[policy]\nanonymous = "refuse"\n') as service:
        service.relay.forgotten = {"authorization", "x-api-key"}
        expected = ("invalid_request_error", "missing_api_key")
        return service.refused().expect(401, "AuthenticationError", expected, "authentication_error", attempts=1)
