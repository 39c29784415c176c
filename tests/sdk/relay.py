"""A relay between a client and the gateway that keeps what passed: the proof of how often a client tried, and when."""

import http.client
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Headers that belong to one connection.
OF_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}

# The longest that the gateway may be silent, in seconds.
SILENCE = 60


@dataclass
class Attempt:
    """One request as it arrived, and what it was answered. Instants are in seconds of the monotonic clock."""

    arrived: float
    # What the client itself says: 0 for the first attempt.
    retry_count: int
    answered: float = 0.0
    status: int = 0
    headers: dict = field(default_factory=dict)
    body: bytes = b""

    def told(self):
        """The wait that the answer asks for, in seconds; None if it asks for none."""
        millis = self.headers.get("retry-after-ms")
        return None if millis is None else int(millis) / 1000


class Relay:
    """Listens on a free port of loopback until `close`."""

    def __init__(self, port):
        self.attempts = []
        # Response headers, in lower case, that do not reach the client.
        self.hidden = set()
        # Request headers, in lower case, that do not reach the gateway.
        self.forgotten = set()
        handler = type("Handler", (Handler,), {"relay": self, "upstream": port})
        self.server = Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Clients end as they like; what matters of it is in the attempts."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        attempt = Attempt(time.monotonic(), int(self.headers.get("x-stainless-retry-count", "-1")))
        self.relay.attempts.append(attempt)
        upstream = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=SILENCE)
        try:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in self.relay.forgotten}
            upstream.request("POST", self.path, body, headers)
            self.answer(attempt, upstream.getresponse())
        except OSError:
            # One of the two left; the other sees it by its connection.
            self.close_connection = True
        finally:
            upstream.close()

    def answer(self, attempt, response):
        headers = [(name.lower(), value) for name, value in response.getheaders()]
        attempt.status, attempt.headers, attempt.answered = response.status, dict(headers), time.monotonic()
        self.send_response_only(response.status)
        for name, value in headers:
            if name not in OF_CONNECTION and name not in self.relay.hidden:
                self.send_header(name, value)
        chunked = "content-length" not in attempt.headers
        if chunked:
            self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        while piece := response.read1(65536):
            attempt.body += piece
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        """Says nothing; the attempts are the log."""
