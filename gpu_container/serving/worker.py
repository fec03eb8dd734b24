"""One order from start to end: fetch, enhance, store, and tell those who wait how it goes.

The file is decoded inside this process (see ``sandbox`` for what is and is not protected from a hostile file).
"""

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gpu_container.contract import AudioFacts, ErrorCode, WorkFailure, WorkOrder, WorkResult
from gpu_container.engine.errors import EngineError
from gpu_container.serving.clients import Clients
from gpu_container.serving.heartbeat import Heartbeat
from gpu_container.serving.logs import about
from gpu_container.serving.models import ModelShelf
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.storage import StorageError, StoredObject, download, upload

if TYPE_CHECKING:
    from gpu_container.engine.ensemble import Enhancer
    from gpu_container.engine.pipeline import EnhanceReport

_LOG = logging.getLogger(__name__)

_FETCHED_PERCENT = 2.0
_ENHANCED_PERCENT = 97.0


class Enhance(Protocol):
    """The engine's one verb; ``gpu_container.engine.pipeline.enhance_file`` outside the tests."""

    def __call__(
        self,
        source: Path,
        sink: Path,
        *,
        strength: float,
        model: "Enhancer",
        on_progress: Callable[[float, float], None] | None,
        is_cancelled: Callable[[], bool] | None,
    ) -> "EnhanceReport":
        """Enhance ``source`` into ``sink``."""
        ...


@dataclass(frozen=True)
class Worker:
    """Carries out orders; safe to call from several threads at once.

    Attributes
    ----------
    stopping
        Set when the process is asked to end: running orders stop at the next block and may be retried elsewhere.
    """

    settings: ServingSettings
    clients: Clients
    models: ModelShelf
    enhance: Enhance
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self, order: WorkOrder) -> WorkResult | WorkFailure:
        """Carry out one order; every failure comes back as a document, never as an exception."""
        with about(job_id=order.job_id, attempt=order.attempt):
            _LOG.info("order started", extra={"model": order.model, "strength": order.strength})
            outcome = self._outcome(order)
            if isinstance(outcome, WorkFailure):
                _LOG.warning("order failed", extra={"error_code": outcome.error_code, "reason": outcome.message})
            else:
                _LOG.info("order done", extra=outcome.model_dump(include={"seconds", "real_time_factor"}))
            return outcome

    def _outcome(self, order: WorkOrder) -> WorkResult | WorkFailure:
        try:
            with Heartbeat(order, self.clients, interval_s=self.settings.heartbeat_s) as heartbeat:
                return _Attempt(self, order, heartbeat).result()
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


@dataclass(frozen=True)
class _Attempt:
    """The steps of one order, with what they share."""

    worker: Worker
    order: WorkOrder
    heartbeat: Heartbeat
    started: float = field(default_factory=time.monotonic)

    def result(self) -> WorkResult:
        settings, s3 = self.worker.settings, self.worker.clients.s3
        with tempfile.TemporaryDirectory(prefix="order-", dir=settings.work_dir) as folder:
            # The client's file names come no further than the orchestration; the engine goes by the bytes.
            source, sink = Path(folder, "input"), Path(folder, "output")
            self._stop_if_cancelled()
            download(s3, self.order.input, source)
            self.heartbeat.report(_FETCHED_PERCENT)
            report = self._enhance(source, sink)
            # Nobody waits for it: leave no output behind.
            self._stop_if_cancelled()
            stored = upload(s3, sink, self.order.output, content_type=self.order.content_type)
        return self._describe(report, stored)

    def _enhance(self, source: Path, sink: Path) -> "EnhanceReport":
        return self.worker.enhance(
            source,
            sink,
            strength=self.order.strength,
            model=self.worker.models.get(self.order.model),
            on_progress=self._on_progress,
            is_cancelled=self._is_cancelled,
        )

    def _on_progress(self, completed_s: float, total_s: float) -> None:
        share = min(completed_s / total_s, 1.0) if total_s > 0 else 0.0
        self.heartbeat.report(_FETCHED_PERCENT + share * (_ENHANCED_PERCENT - _FETCHED_PERCENT))

    def _is_cancelled(self) -> bool:
        return self.heartbeat.unwanted or self.worker.stopping.is_set()

    def _stop_if_cancelled(self) -> None:
        if self._is_cancelled():
            raise EngineError(ErrorCode.CANCELLED, "cancelled before the work was done")

    def _describe(self, report: "EnhanceReport", stored: StoredObject) -> WorkResult:
        return WorkResult(
            job_id=self.order.job_id,
            attempt=self.order.attempt,
            output=stored.ref,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            facts=AudioFacts.model_validate(report.output, from_attributes=True),
            nan_count=report.nan_count,
            silent=report.silent,
            model=self.order.model,
            seconds=round(time.monotonic() - self.started, 3),
            real_time_factor=report.real_time_factor,
            warnings=tuple(report.warnings),
        )


def _failure(order: WorkOrder, code: ErrorCode, message: str, *, retryable: bool) -> WorkFailure:
    return WorkFailure(
        job_id=order.job_id, attempt=order.attempt, error_code=code, message=message, retryable=retryable
    )
