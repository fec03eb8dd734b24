"""A customer's receiver: a small web server on this machine, which answers as it is told."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

TIMEOUT_S = 60


@dataclass
class Inbox:
    """What one receiver got: headers and body of each call; it answers with its statuses in turn, then with 204."""

    url: str
    statuses: list[int] = field(default_factory=list)
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def verified(self, secret: str) -> list[dict[str, Any]]:
        """Return what was received, checked as a customer would check it."""
        return [Webhook(secret).verify(body, headers) for headers, body in self.calls]


@contextmanager
def inbox(*statuses: int) -> Iterator[Inbox]:
    """Take what is POSTed, and answer with ``statuses`` in turn."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.calls.append((dict(self.headers), body))
            self.send_response(found.statuses.pop(0) if found.statuses else 204)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    found = Inbox("", list(statuses))
    with _served(Handler) as url:
        found.url = f"{url}/in"
        yield found


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not what():
        assert time.monotonic() < deadline, "nobody was told in time"
        time.sleep(0.1)


@contextmanager
def library(files: Mapping[str, tuple[str, bytes]]) -> Iterator[str]:
    """Serve files, each with its media type, and yield the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, data = files.get(self.path, ("text/plain", b""))
            self.send_response(200 if data else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments: object) -> None:
            pass

    with _served(Handler) as url:
        yield url


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
