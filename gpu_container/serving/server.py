"""The server process: settings in, uvicorn around the application, an orderly end at SIGTERM."""

import signal
import sys
from types import FrameType

import uvicorn

from gpu_container.serving import logs
from gpu_container.serving.app import make_app
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.wiring import make_worker
from gpu_container.serving.worker import Worker


class _Server(uvicorn.Server):
    """Tells the running orders to stop the moment the signal comes; uvicorn alone would wait for them to finish."""

    def __init__(self, config: uvicorn.Config, worker: Worker) -> None:
        super().__init__(config)
        self._worker = worker

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._worker.stopping.set()
        super().handle_exit(sig, frame)


def serve() -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    settings = ServingSettings.from_env()
    logs.set_up(settings.log_level)
    worker = make_worker(settings)
    config = uvicorn.Config(
        make_app(worker),
        host=settings.serve_host,
        port=settings.serve_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_s,
    )
    # uvicorn raises the signal again once it has shut down; being asked to end is not a failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = _Server(config, worker)
    server.run()
    return 0 if server.started else 1
