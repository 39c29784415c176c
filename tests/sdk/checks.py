"""What a check is, and what it works with."""

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable

from clients import ASYNC, CLIENTS, PLAIN, STREAM
from gateway import Gateway
from relay import Relay

# How much later than told an attempt may arrive, in seconds. Earlier is never right; that late is a busy machine.
SLACK = 3.0

CHECKS = []


@dataclass
class Check:
    function: Callable
    client: type
    mode: str

    @property
    def name(self):
        return f"{self.function.__name__.replace('_', ' ')}, {self.mode}"

    def run(self, program):
        """What was seen, in a few words. Raises what went wrong."""
        return self.function(Run(program, self.client, self.mode))


def check(*modes, clients=CLIENTS):
    """Makes a function a check: once for each mode (all, unless said) and each of the clients."""

    def add(function):
        CHECKS.extend(Check(function, client, mode) for client in clients for mode in modes or (PLAIN, STREAM, ASYNC))
        return function

    return add


@dataclass
class Run:
    """One check at work."""

    program: str
    client: type
    mode: str

    @contextmanager
    def service(self, config=""):
        gateway = Gateway(self.program, config)
        relay = Relay(gateway.port)
        try:
            yield Service(self, gateway, relay)
        finally:
            relay.close()
            gateway.close()


@dataclass
class Service:
    """A gateway, and a client that reaches it through a relay."""

    run: Run
    gateway: Gateway
    relay: Relay

    def ask(self, prompt="Why is the sky blue? [reply 3]", cap=20, key="sk-ann", **more):
        """Asks once, however often the client tries; `relay.attempts` then has these attempts alone."""
        self.relay.attempts.clear()
        return self.run.client.ask(self.relay.url, key, self.run.mode, prompt, cap, **more)

    def end_once_refused(self, connection):
        """Ends a stream of somebody else when the next attempt has been answered."""

        def end():
            while not any(attempt.status for attempt in self.relay.attempts):
                time.sleep(0.01)
            connection.close()

        threading.Thread(target=end, daemon=True).start()

    def refused(self, **ask):
        """Asks, and must be refused."""
        return self.refusal_of(lambda: self.ask(**ask))

    def refusal_of(self, work):
        try:
            answer = work()
        except self.run.client.module.APIStatusError as error:
            return Refusal(self.run.client, error, list(self.relay.attempts))
        raise AssertionError(f"it was not refused: {answer}")


@dataclass
class Refusal:
    """What a client raised, and the attempts that it took."""

    client: type
    error: Exception
    attempts: list

    def expect(self, status, error, openai, anthropic, attempts):
        """The class and the names of the error, and how often it was tried; returns that in a few words."""
        found = type(self.error).__name__
        assert found == error, f"{found} was raised instead of {error}: {self.error}"
        statuses = [attempt.status for attempt in self.attempts]
        assert statuses == [status] * attempts, f"the attempts were answered {statuses}"
        expected = openai if self.client.name == "openai" else anthropic
        names = self.client.names(self.error)
        assert names == expected, f"the error is called {names} instead of {expected}"
        sent = self.attempts[-1].headers[self.client.request_id]
        assert self.error.request_id == sent, f"its request is {self.error.request_id!r} and not {sent!r}"
        return seen(found, self.attempts)

    def expect_header(self, name, expected):
        """That a header of the last answer is this, or with None that it is absent."""
        found = self.attempts[-1].headers.get(name)
        assert found == expected, f"{name} is {found} instead of {expected}"

    def expect_wait(self, least, most):
        """That the last answer asks for a wait between these, in seconds."""
        wait = int(self.attempts[-1].headers.get("retry-after", 0))
        assert least <= wait <= most, f"retry-after is {wait} and not between {least} and {most}"


def answered(attempts, statuses):
    """That the attempts had these statuses; returns that in a few words."""
    found = [attempt.status for attempt in attempts]
    assert found == statuses, f"the attempts were answered {found}"
    return seen("answered", attempts)


def seen(outcome, attempts):
    """What happened, with the waits between the attempts, which must be those that the client was told."""
    counts = [attempt.retry_count for attempt in attempts]
    assert counts == list(range(len(attempts))), f"the client counts its attempts as {counts}"
    waits = [after.arrived - before.answered for before, after in zip(attempts, attempts[1:])]
    for before, wait in zip(attempts, waits):
        told = before.told()
        assert told is not None, f"it was tried again after {wait:.2f} s without being told to"
        assert told <= wait <= told + SLACK, f"it was tried again after {wait:.2f} s instead of {told:.2f} s"
    tries = "1 try" if len(attempts) == 1 else f"{len(attempts)} tries"
    return ", ".join([outcome, tries] + [f"{wait:.1f} s" for wait in waits])
