"""Signs of life: progress into the job's row, heartbeats to Step Functions, and word that nobody waits any more."""

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from botocore.exceptions import BotoCoreError, ClientError

from gpu_container.contract import ProgressKey, WorkOrder
from gpu_container.serving.access import AccessRefusedError
from gpu_container.serving.clients import Clients
from gpu_container.serving.storage import StorageError

_LOG = logging.getLogger(__name__)

_NOT_WANTED: Final = frozenset({"ConditionalCheckFailedException", "TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})
_JOIN_S: Final = 15


class Heartbeat:
    """Beats at once on entering the block, then every ``interval_s`` from a thread of its own.

    A beat that the row or the task token refuses means that this attempt is no longer wanted: cancelled, timed out or
    superseded. It sets ``unwanted`` for good. Any other trouble is logged, and the next beat tries again.

    Parameters
    ----------
    tells_progress
        False where several work on one order: none of them knows how far it has come, and the row keeps what it says.
    """

    def __init__(self, order: WorkOrder, clients: Clients, *, interval_s: float, tells_progress: bool = True) -> None:
        self._order = order
        self._clients = clients
        self._interval_s = interval_s
        self._tells_progress = tells_progress
        self._percent = 0.0
        self._unwanted = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def unwanted(self) -> bool:
        """Whether somebody else has ended this attempt."""
        return self._unwanted.is_set()

    def report(self, percent: float) -> None:
        """Note how far the work has come; written with the next beat, never lower than before."""
        self._percent = max(self._percent, min(percent, 100.0))

    def __enter__(self) -> Self:
        """Beat once in the caller's thread, so that an unwanted order is known before any work; then start."""
        self._beat()
        if not self.unwanted:
            # The copied context carries the job's name into this thread's log lines.
            run = copy_context().run
            self._thread = threading.Thread(target=run, args=(self._beat_until_stopped,), name="heartbeat", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop beating."""
        self._stop.set()
        if self._thread:
            self._thread.join(_JOIN_S)

    def _beat_until_stopped(self) -> None:
        while not self._stop.wait(self._interval_s) and not self.unwanted:
            self._beat()

    def _beat(self) -> None:
        order = self._order
        # Apart, so that a throttled table does not cost the task its heartbeat.
        if row := order.progress:
            self._try("progress", lambda: self._write_progress(row))
        if token := order.task_token:
            self._try("task", lambda: self._clients.stepfunctions.send_task_heartbeat(taskToken=token))

    def _try(self, what: str, call: Callable[[], object]) -> None:
        try:
            call()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            if code in _NOT_WANTED:
                _LOG.info("attempt no longer wanted", extra={"told_by": what, "reason": code})
                self._unwanted.set()
            else:
                _LOG.warning("heartbeat failed", extra={"told_by": what, "reason": code})
        except AccessRefusedError:
            _LOG.info("attempt no longer wanted", extra={"told_by": what, "reason": "AccessRefused"})
            self._unwanted.set()
        except (BotoCoreError, StorageError) as error:
            _LOG.warning("heartbeat failed", extra={"told_by": what, "reason": type(error).__name__})

    def _write_progress(self, row: ProgressKey) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = {":progress": {"N": f"{self._percent:.1f}"}} if self._tells_progress else {}
        self._clients.dynamodb.update_item(
            TableName=row.table,
            Key={"pk": {"S": row.pk}, "sk": {"S": row.sk}},
            UpdateExpression="SET heartbeat_at = :now, #status = :running" + (", progress = :progress" * bool(told)),
            ConditionExpression="attempt = :attempt AND #status IN (:dispatched, :running)",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={
                **told,
                ":now": {"S": now},
                ":running": {"S": "running"},
                ":dispatched": {"S": "dispatched"},
                ":attempt": {"N": str(self._order.attempt)},
            },
        )
