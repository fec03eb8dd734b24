"""The image's Lambda handlers: ``probe`` for the intake, ``enhance`` for the CPU lane.

Both answer with a document of the contract. What retrying can help (storage, a crashed probe) is raised instead, so
that Step Functions' own Retry sees it.
"""

import os
import time
from dataclasses import replace
from functools import cache
from typing import Any

import botocore.session

from gpu_container.contract import ErrorCode, PartOrder, ProbeFailure, ProbeOrder, WorkOrder
from gpu_container.serving import logs, probing
from gpu_container.serving.access import Access, AccessRefusedError, make_access
from gpu_container.serving.clients import Clients, make_clients
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.storage import S3Source
from gpu_container.serving.worker import Worker

Document = dict[str, Any]


def probe(event: Document, _context: object) -> Document:
    """Say what is in an object: ``ProbeOrder`` in, ``ProbeResult`` or ``ProbeFailure`` out.

    Raises
    ------
    StorageError, ProbeCrashError, ProbeTimeoutError
        If the answer is not known; the state machine tries again.
    """
    order = ProbeOrder.model_validate(event)
    settings, began_s = _settings(), time.monotonic()
    try:
        clients = _clients(order)
    except AccessRefusedError:
        # Deleted meanwhile: nothing becomes of the answer.
        failure = ProbeFailure(error_code=ErrorCode.CANCELLED, message="nobody waits for the probe any more")
        return failure.model_dump(mode="json")
    with S3Source(clients.s3, order.input) as source:
        answer = probing.answer(
            source,
            limit_s=settings.probe_limit_s - (time.monotonic() - began_s),  # keys may take minutes to come
            memory_bytes=settings.probe_memory_bytes,
            checksums=order.checksums,
        )
    return answer.model_dump(mode="json")


def enhance(event: Document, _context: object) -> Document:
    """Carry out a whole order on the CPU, or one part of it.

    ``WorkOrder`` in, ``WorkResult`` or ``WorkFailure`` out; ``PartOrder`` in, ``PartResult`` or ``WorkFailure`` out.

    Raises
    ------
    PartFailedError
        If a part may be made by a retry; the state machine tries again.
    """
    if "part" in event:
        return _worker().run_part(PartOrder.model_validate(event)).model_dump(mode="json")
    return _worker().run(WorkOrder.model_validate(event)).model_dump(mode="json")


def _clients(order: ProbeOrder) -> Clients:
    access = _access()
    return access.to_probe(order) if access else make_clients(_settings())


# Once per execution environment, not per event.


@cache
def _settings() -> ServingSettings:
    settings = ServingSettings.from_env()
    logs.set_up(settings.log_level)
    return settings


@cache
def _access() -> Access | None:
    return make_access(_settings(), botocore.session.Session())


@cache
def _worker() -> Worker:
    # Only here: the probe needs neither the network nor ONNX Runtime.
    from gpu_container.serving.wiring import AudioEngine, make_worker  # noqa: PLC0415

    # A function has one order at a time: every processor is this order's.
    return replace(make_worker(_settings()), engine=AudioEngine(jobs=len(os.sched_getaffinity(0))))
