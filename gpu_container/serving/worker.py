"""One order from start to end: read, enhance, store, and tell those who wait how it goes.

Audio streams through: from S3 by ranges, to S3 by parts. What a stranger wrote is parsed in a child process
(``engine.codecs``); here there are only samples.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from gpu_container.contract import (
    ErrorCode,
    ObjectRef,
    Part,
    PartOrder,
    PartResult,
    ReportLevel,
    WorkFailure,
    WorkOrder,
    WorkResult,
)
from gpu_container.engine.errors import EngineError
from gpu_container.serving.access import Access, AccessRefusedError
from gpu_container.serving.clients import Clients
from gpu_container.serving.heartbeat import Heartbeat
from gpu_container.serving.logs import about
from gpu_container.serving.models import ModelShelf
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.storage import S3Sink, S3Source, StorageError, StoredObject, store, storing

if TYPE_CHECKING:
    from gpu_container.engine.byte_io import ByteSink, ByteSource
    from gpu_container.engine.enhancer import Enhancer
    from gpu_container.engine.pipeline import Enhanced
    from gpu_container.engine.wet import WetParts, WetStore

_LOG = logging.getLogger(__name__)

_WET_VERSION: Final = "cleartake-wet"
"""Name of the metadata that says which engine and model made a wet track."""


_Result = TypeVar("_Result", WorkResult, PartResult)


class PartFailedError(Exception):
    """A part was not made, and may be if it is tried again."""


class Engine(Protocol):
    """What the worker wants of the engine; ``wiring.AudioEngine`` outside the tests."""

    def enhance(
        self,
        order: WorkOrder,
        source: "ByteSource",
        sink: "ByteSink",
        *,
        model: "Enhancer",
        wet: "WetStore | WetParts | None",
        on_progress: Callable[[float, float], None],
        is_cancelled: Callable[[], bool],
    ) -> "Enhanced":
        """Enhance ``source`` into ``sink`` as the order says."""
        ...

    def enhance_part(
        self,
        order: PartOrder,
        source: "ByteSource",
        *,
        model: "Enhancer",
        wet: "WetStore",
        on_progress: Callable[[float, float], None],
        is_cancelled: Callable[[], bool],
    ) -> int:
        """Make and keep one part's wet track; return the network's runs, 0 where it was kept already."""
        ...

    def wet_version(self, model: str) -> str:
        """Return what a kept wet track must have been made by to be used again."""
        ...


@dataclass(frozen=True)
class Worker:
    """Carries out orders; safe to call from several threads at once.

    Attributes
    ----------
    clients
        Of the process itself; while an order is worked on, those that `access` opens for it.
    stopping
        Set when the process is asked to end: running orders stop at the next block and may be retried elsewhere.
    """

    settings: ServingSettings
    clients: Clients
    models: ModelShelf
    engine: Engine
    stopping: threading.Event = field(default_factory=threading.Event)
    access: Access | None = None

    def run(self, order: WorkOrder) -> WorkResult | WorkFailure:
        """Carry out one order; every failure comes back as a document, never as an exception."""
        with about(job_id=order.job_id, attempt=order.attempt):
            _LOG.info("order started", extra={"model": order.model, "strength": order.strength})
            outcome = self._outcome(order, lambda worker, heartbeat: _Attempt(worker, order, heartbeat).result())
            if isinstance(outcome, WorkFailure):
                _LOG.warning("order failed", extra={"error_code": outcome.error_code, "reason": outcome.message})
            else:
                told = {"seconds", "real_time_factor", "network_inferences"}
                _LOG.info("order done", extra=outcome.model_dump(include=told))
            return outcome

    def run_part(self, order: PartOrder) -> PartResult | WorkFailure:
        """Make and keep the wet track of one part; one that is kept already costs nothing.

        What no retry can help comes back as a document: the order that takes the parts up meets it again, and the job
        ends with that.

        Raises
        ------
        PartFailedError
            Where a retry can help.
        """
        whole = order.order
        with about(job_id=whole.job_id, attempt=whole.attempt):
            _LOG.info("part started", extra={"model": whole.model, "part": order.part.number})
            outcome = self._outcome(
                whole,
                lambda worker, heartbeat: _PartAttempt(worker, whole, heartbeat, order.part).result(),
                part=order.part,
            )
            if isinstance(outcome, WorkFailure):
                _LOG.warning("part failed", extra={"error_code": outcome.error_code, "reason": outcome.message})
                if outcome.retryable:
                    raise PartFailedError(f"{outcome.error_code}: {outcome.message}")
            else:
                told = {"number", "seconds", "network_inferences"}
                _LOG.info("part done", extra=outcome.model_dump(include=told))
            return outcome

    def _outcome(
        self, order: WorkOrder, work: "Callable[[Worker, Heartbeat], _Result]", *, part: Part | None = None
    ) -> _Result | WorkFailure:
        try:
            worker = self._opened(order)
            interval_s = self.settings.heartbeat_s
            with Heartbeat(order, worker.clients, interval_s=interval_s, part=part) as heartbeat:
                return work(worker, heartbeat)
        except AccessRefusedError:
            return _failure(order, ErrorCode.CANCELLED, "nobody waits for the order any more", retryable=False)
        except EngineError as error:
            code = ErrorCode(error.code)
            if code is ErrorCode.CANCELLED and self.stopping.is_set():
                return _failure(order, ErrorCode.ENGINE_FAILED, "the worker was stopped", retryable=True)
            retryable = not code.is_input_fault and code is not ErrorCode.CANCELLED
            return _failure(order, code, str(error), retryable=retryable)
        except StorageError as error:
            return _failure(order, ErrorCode.STORAGE_FAILED, str(error), retryable=error.retryable)
        except Exception as error:  # noqa: BLE001 - the orchestration decides by a document, not by a stack trace
            _LOG.exception("unexpected error")
            return _failure(order, ErrorCode.ENGINE_FAILED, type(error).__name__, retryable=True)

    def _opened(self, order: WorkOrder) -> "Worker":
        """Return this worker with the keys to one order."""
        return replace(self, clients=self.access.to_work(order)) if self.access else self


@dataclass
class S3Wet:
    """A wet track's place in S3, valid for one version of engine and model."""

    clients: Clients
    ref: ObjectRef
    version: str
    _seen: str | None = field(default=None, init=False)
    """The ETag of what was there when we looked."""

    @contextmanager
    def kept(self) -> "Iterator[ByteSource | None]":
        """Open the kept track; None where there is none, or another version made it."""
        source = self._opened()
        if source is None:
            yield None
            return
        with source:
            self._seen = source.etag
            yield source if self._is_valid(source) else None

    @contextmanager
    def keep(self) -> "Iterator[ByteSink]":
        """Take a new track; it is there when the context ends well, unless another worker has kept one meanwhile.

        That one stays: a third worker may be reading it, and would have to begin again if it were replaced.
        """
        sink = S3Sink(self.clients.s3, self.ref, "application/octet-stream", {_WET_VERSION: self.version})
        with storing(sink):
            yield sink
            if self._came_meanwhile():
                sink.abort()
            else:
                sink.finish()

    def _opened(self) -> S3Source | None:
        try:
            return S3Source(self.clients.s3, self.ref)
        except StorageError as error:
            if error.retryable:
                raise
            return None

    def _is_valid(self, source: S3Source) -> bool:
        return source.metadata.get(_WET_VERSION) == self.version

    def _came_meanwhile(self) -> bool:
        source = self._opened()
        if source is None:
            return False
        with source:
            return source.etag != self._seen and self._is_valid(source)


@dataclass(frozen=True)
class _Steps:
    """What the steps of any order share."""

    worker: Worker
    order: WorkOrder
    heartbeat: Heartbeat
    started: float = field(default_factory=time.monotonic, init=False)

    def _wet_at(self, ref: ObjectRef) -> S3Wet:
        return S3Wet(self.worker.clients, ref, self.worker.engine.wet_version(self.order.model))

    def _on_progress(self, completed_s: float, total_s: float) -> None:
        self.heartbeat.report(completed_s / total_s if total_s > 0 else 0.0)

    def _is_cancelled(self) -> bool:
        return self.heartbeat.unwanted or self.worker.stopping.is_set()

    def _stop_if_cancelled(self) -> None:
        if self._is_cancelled():
            raise EngineError(ErrorCode.CANCELLED, "cancelled before the work was done")


@dataclass(frozen=True)
class _PartAttempt(_Steps):
    """The steps of one part."""

    part: Part

    def result(self) -> PartResult:
        worker, order = self.worker, self.order
        self._stop_if_cancelled()
        model = worker.models.get(order.model)
        with S3Source(worker.clients.s3, order.input) as source:
            inferences = worker.engine.enhance_part(
                PartOrder(order=order, part=self.part),
                source,
                model=model,
                wet=self._wet_at(part_ref(order, self.part)),
                on_progress=self._on_progress,
                is_cancelled=self._is_cancelled,
            )
        # One that was kept has told nothing, and no beat may come before the next part's.
        self.heartbeat.report(1.0)
        self.heartbeat.beat()
        return PartResult(
            job_id=order.job_id,
            attempt=order.attempt,
            number=self.part.number,
            seconds=round(time.monotonic() - self.started, 3),
            network_inferences=inferences,
        )


@dataclass(frozen=True)
class _Attempt(_Steps):
    """The steps of one order."""

    def result(self) -> WorkResult:
        order, s3 = self.order, self.worker.clients.s3
        self._stop_if_cancelled()
        model = self.worker.models.get(order.model)
        sink = S3Sink(s3, order.output, order.content_type, is_once=True)
        with S3Source(s3, order.input) as source, storing(sink):
            enhanced = self._enhance(source, sink, model)
            # Nobody waits for it: leave no output behind.
            self._stop_if_cancelled()
            stored = sink.finish()
        return self._describe(enhanced, stored, self._store_extras(enhanced))

    def _enhance(self, source: S3Source, sink: S3Sink, model: "Enhancer") -> "Enhanced":
        return self.worker.engine.enhance(
            self.order,
            source,
            sink,
            model=model,
            wet=self._wet(),
            on_progress=self._on_progress,
            is_cancelled=self._is_cancelled,
        )

    def _wet(self) -> "S3Wet | WetParts | None":
        order = self.order
        if order.parts:
            # Only here: it brings what the probe, which shares this module, has no need to wait for.
            from gpu_container.engine.wet import WetParts  # noqa: PLC0415

            return WetParts(tuple((part, self._wet_at(part_ref(order, part))) for part in order.parts))
        return self._wet_at(order.wet) if order.wet else None

    def _store_extras(self, enhanced: "Enhanced") -> dict[str, ObjectRef]:
        """Put the report and the pictures beside the result."""
        if self.order.report is ReportLevel.NONE:
            return {}
        extras = {"report": (_json(enhanced.report.model_dump(mode="json")), "json", "application/json")}
        if pictures := enhanced.pictures:
            extras |= {
                "spectrogram": (pictures.spectrogram, "png", "image/png"),
                "waveform": (pictures.waveform, "png", "image/png"),
                "peaks": (_json(pictures.peaks.model_dump(mode="json")), "json", "application/json"),
            }
        return {name: self._store(name, *extra) for name, extra in extras.items()}

    def _store(self, name: str, data: bytes, extension: str, content_type: str) -> ObjectRef:
        beside = self.order.output
        ref = ObjectRef(bucket=beside.bucket, key=f"{beside.key}.{name}.{extension}")
        return store(self.worker.clients.s3, data, ref, content_type=content_type).ref

    def _describe(self, enhanced: "Enhanced", stored: StoredObject, extras: dict[str, ObjectRef]) -> WorkResult:
        report = enhanced.report
        return WorkResult(
            job_id=self.order.job_id,
            attempt=self.order.attempt,
            output=stored.ref,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            facts=report.output,
            nan_count=report.nan_count,
            silent=report.silent,
            model=self.order.model,
            seconds=round(time.monotonic() - self.started, 3),
            real_time_factor=report.real_time_factor,
            parts_seconds=round(sum(_seconds_of(part) for part in self.order.part_results), 3),
            network_inferences=report.network_inferences,
            warnings=tuple(warning.message for warning in report.warnings),
            **extras,
        )


def part_ref(order: WorkOrder, part: Part) -> ObjectRef:
    """Return where a part's wet track is kept: beside the whole one's place, so that it goes when that goes.

    Raises
    ------
    ValueError
        If the order has no such place.
    """
    if order.wet is None:
        raise ValueError("an order in parts needs a place for its wet track")
    end = "end" if part.end_s is None else part.end_s
    return ObjectRef(bucket=order.wet.bucket, key=f"{order.wet.key}.parts/{part.start_s}-{end}")


def _seconds_of(part: PartResult | WorkFailure) -> float:
    return part.seconds if isinstance(part, PartResult) else 0.0


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _failure(order: WorkOrder, code: ErrorCode, message: str, *, retryable: bool) -> WorkFailure:
    return WorkFailure(
        job_id=order.job_id, attempt=order.attempt, error_code=code, message=message, retryable=retryable
    )
