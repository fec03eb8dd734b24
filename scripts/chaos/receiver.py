"""The clients' receiver: each is told of its jobs' ends by a signed webhook, and what was not received was not told."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

from infra.outputs import Output
from lambdas.core.services.webhooks import CreateWebhook
from scripts.chaos.scene import Scene

PREFIX = "/in/"


class Told:
    """The ids of the jobs whose end was received, each checked with the secret of the client it was sent to."""

    def __init__(self) -> None:
        self.job_ids: set[str] = set()
        self.secrets: dict[str, str] = {}
        self._lock = threading.Lock()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Return the status of the answer: what is not signed by its client's secret is not believed."""
        try:
            Webhook(self.secrets[path.removeprefix(PREFIX)]).verify(body, headers)
        except (KeyError, WebhookVerificationError):
            return 401
        with self._lock:
            self.job_ids.add(str(json.loads(body)["data"]["enhancement_id"]))
        return 204


@contextmanager
def listening(scene: Scene, client_ids: Sequence[str]) -> Iterator[Told]:
    """Register one webhook for each client and receive what is sent to it."""
    from lambdas.bootstrap import webhook_service  # noqa: PLC0415 - reads the environment of the emulator

    found = Told()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(found.take(self.path, dict(self.headers), body))
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="receiver", daemon=True)
    thread.start()
    webhooks = webhook_service(
        scene.outputs[Output.TABLE_NAME],
        delivery_queue_url=scene.outputs[Output.DELIVERY_QUEUE_URL],
        webhook_key_id=scene.outputs[Output.WEBHOOK_KEY_ID],
        allow_loopback=True,
    )
    for client_id in client_ids:
        url = f"http://127.0.0.1:{server.server_port}{PREFIX}{client_id}"
        found.secrets[client_id] = webhooks.create(CreateWebhook(client_id, url)).secret
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
