"""The gateway, one process for each check, with a configuration of its own."""

import http.client
import json
import os
import subprocess
import tempfile
import time
from contextlib import contextmanager

# How long the gateway may take to listen, or its report to show what was settled, in seconds.
PATIENCE = 20

CALLERS = """
[[caller]]
key = "sk-ann"
user = "ann"
org = "acme"

[[caller]]
key = "sk-bob"
user = "bob"
org = "acme"
"""


def limit(resource, amount, window=None, scope="user"):
    """One limit, in TOML."""
    lines = ["[[limit]]", 'name = "the-limit"', f'scope = "{scope}"', f'resource = "{resource}"']
    lines.append(f"amount = {json.dumps(amount)}")
    if window:
        lines.append(f'window = "{window}"')
    return "\n".join(lines) + "\n"


class Gateway:
    """A running gateway, whose provider is the stub inside it."""

    # The processes of all that run.
    running = set()

    def __init__(self, program, config):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(CALLERS + config)
            file.flush()
            environment = dict(os.environ, FLASHOPS_LISTEN="127.0.0.1:0", FLASHOPS_CONFIG=file.name)
            # Nobody reads its lines, and a pipe that is full would stop it.
            environment["RUST_LOG"] = "off"
            pipe = subprocess.PIPE
            self.process = subprocess.Popen([program], env=environment, stdout=pipe, stderr=pipe, text=True)
            self.running.add(self.process)
            # The line comes when the file was read, and the end of the output when the gateway gave up.
            line = self.process.stdout.readline()
        if "http://" not in line:
            raise RuntimeError(f"the gateway did not start: {self.process.communicate()[1]}")
        self.port = int(line.rsplit(":", 1)[1])

    def close(self):
        self.process.kill()
        self.process.communicate()
        self.running.discard(self.process)

    @classmethod
    def close_all(cls):
        for process in list(cls.running):
            process.kill()

    @contextmanager
    def held(self, cap):
        """While a stream of bob, a colleague of ann, has begun and does not end. Gives its connection, to end it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        ask = {"model": "gpt-4o-mini", "stream": True, "max_tokens": cap}
        ask["messages"] = [{"role": "user", "content": "[hang 1]"}]
        headers = {"authorization": "Bearer sk-bob", "content-type": "application/json"}
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(ask), headers)
            # Kept, because it shares the socket.
            response = connection.getresponse()
            assert response.status == 200, f"bob was answered {response.status}"
            yield connection
        finally:
            connection.close()

    def settled(self):
        """The prompt and completion tokens that the gateway has settled."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/api/v1/ai/usage?window=all")
            totals = json.load(connection.getresponse())["totals"]
        finally:
            connection.close()
        return totals["prompt_tokens"], totals["completion_tokens"]

    def expect_settled(self, expected):
        """A call is settled when its last byte has left, which the client may see a moment earlier."""
        end = time.monotonic() + PATIENCE
        while (settled := self.settled()) != expected:
            assert time.monotonic() < end, f"the gateway settled {settled} tokens instead of {expected}"
            time.sleep(0.02)
