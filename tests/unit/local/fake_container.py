"""A container of a few lines: it does what its order says. Run as a script."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(200, {})

    def do_POST(self) -> None:
        order: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if order.get("crash"):
            os._exit(9)
        time.sleep(order.get("seconds", 0))
        while "until" in order and not Path(order["until"]).exists():
            time.sleep(0.02)
        self._answer(
            order.get("status", 200),
            {"order": order, "headers": dict(self.headers), "greeting": os.environ.get("GREETING")},
        )

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    address = os.environ["CLEARTAKE_SERVE_HOST"], int(os.environ["CLEARTAKE_SERVE_PORT"])
    with ThreadingHTTPServer(address, Handler) as server:
        server.serve_forever()
    sys.exit(0)
