"""SageMaker's container contract over HTTP: ``GET /ping`` and ``POST /invocations``."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gpu_container.contract import WorkFailure, WorkOrder, WorkResult
from gpu_container.serving.worker import Worker

_LOG = logging.getLogger(__name__)

MAX_ORDER_BYTES = 64 * 1024
"""An order is a few hundred bytes and a task token of at most 2 KB."""


class Health(StrEnum):
    """What /ping tells."""

    LOADING = "loading"
    READY = "ready"
    BUSY = "busy"
    FAILED = "failed"


# A busy container is a healthy one: SageMaker would replace it for anything else than 200.
_PING_STATUS = {Health.LOADING: 503, Health.READY: 200, Health.BUSY: 200, Health.FAILED: 500}


class _Container:
    """What the two routes share: the worker, its threads, and whether its models are loaded."""

    def __init__(self, worker: Worker) -> None:
        slots = worker.settings.max_concurrent
        self._worker = worker
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="order")
        self._slots = asyncio.Semaphore(slots)
        self._health = Health.LOADING

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Load the models beside the running server, so that /ping can answer meanwhile."""
        loading = asyncio.create_task(self._load_models())
        yield
        loading.cancel()
        self._worker.stopping.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _load_models(self) -> None:
        try:
            for name in self._worker.settings.preload_models:
                await asyncio.to_thread(self._worker.models.get, name)
        except Exception:  # noqa: BLE001 - whatever it is, /ping must tell
            # SageMaker replaces a container whose health check fails; the log says why.
            _LOG.exception("models cannot be loaded")
            self._health = Health.FAILED
            return
        self._health = Health.READY
        _LOG.info("ready")

    async def ping(self, _: Request) -> Response:
        """Say whether orders are welcome."""
        health = Health.BUSY if self._health is Health.READY and self._slots.locked() else self._health
        return JSONResponse({"status": health}, _PING_STATUS[health])

    async def invocations(self, request: Request) -> Response:
        """Carry out one order; SageMaker files the answer under OutputLocation or FailureLocation by its status."""
        body = await _read(request)
        if body is None:
            return _refusal(413, "OrderTooLarge", f"an order has at most {MAX_ORDER_BYTES} bytes")
        try:
            order = WorkOrder.model_validate_json(body)
        except ValidationError as error:
            return _refusal(400, "MalformedOrder", _explain(error))
        if self._health is not Health.READY or self._worker.stopping.is_set():
            return _refusal(503, "NotReady", "models are not loaded, or the container is stopping")
        if self._slots.locked():
            return _refusal(503, "Busy", "all slots are taken")
        async with self._slots:
            outcome = await asyncio.get_running_loop().run_in_executor(self._threads, self._worker.run, order)
        return _answer(outcome)


def make_app(worker: Worker) -> Starlette:
    """Make the ASGI application around a worker."""
    container = _Container(worker)
    routes = [
        Route("/ping", container.ping, methods=["GET"]),
        Route("/invocations", container.invocations, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=container.lifespan)


async def _read(request: Request) -> bytes | None:
    """Read the body, or return None as soon as it is larger than any order."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_ORDER_BYTES:
            return None
    return bytes(body)


def _answer(outcome: WorkResult | WorkFailure) -> Response:
    # 4xx: trying again cannot help; 5xx: it may.
    status = 200 if isinstance(outcome, WorkResult) else 500 if outcome.retryable else 400
    return Response(outcome.model_dump_json(), status, media_type="application/json")


def _refusal(status: int, error: str, message: str) -> Response:
    _LOG.warning("order refused", extra={"error": error, "reason": message})
    return JSONResponse({"error": error, "message": message}, status)


def _explain(error: ValidationError) -> str:
    """Name the faulty fields, not their values: one of them is the task token."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['type']}" for fault in faults)
