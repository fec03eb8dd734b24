"""Signs of life: progress into the job's row, heartbeats to Step Functions, and word that nobody waits any more."""

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from botocore.exceptions import BotoCoreError, ClientError

from gpu_container.contract import Part, ProgressKey, WorkOrder
from gpu_container.serving.access import AccessRefusedError
from gpu_container.serving.clients import Clients
from gpu_container.serving.storage import StorageError

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import UniversalAttributeValueTypeDef

_LOG = logging.getLogger(__name__)

_NOT_WANTED: Final = frozenset({"ConditionalCheckFailedException", "TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})
_JOIN_S: Final = 15

_ENHANCED_PERCENT: Final = 97.0
"""What is left is storing the result and what goes beside it."""

_PARTS_PERCENT: Final = 50.0
"""Of an order in parts, when all are made: by the lanes' factors, four at once take from a quarter of the time to two
thirds. The assembly takes the rest."""

_PART_STEPS: Final = 10


class Heartbeat:
    """Beats at once on entering the block, then every ``interval_s`` from a thread of its own.

    A beat that the row or the task token refuses means that this attempt is no longer wanted: cancelled, timed out or
    superseded. It sets ``unwanted`` for good. Any other trouble is logged, and the next beat tries again.

    Parameters
    ----------
    part
        The one that is made, where several work on one order. None of them knows how far the others are: each adds the
        steps it has taken to a set in the row, where one that is told of twice counts once. Who reads it counts them.
    """

    def __init__(self, order: WorkOrder, clients: Clients, *, interval_s: float, part: Part | None = None) -> None:
        self._order = order
        self._clients = clients
        self._interval_s = interval_s
        self._part = part
        self._share = 0.0
        self._began = _now()
        self._unwanted = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def unwanted(self) -> bool:
        """Whether somebody else has ended this attempt."""
        return self._unwanted.is_set()

    def report(self, share: float) -> None:
        """Note how much of the work is done, 0 to 1; written with the next beat, never less than before."""
        self._share = max(self._share, min(share, 1.0))

    def __enter__(self) -> Self:
        """Beat once in the caller's thread, so that an unwanted order is known before any work; then start."""
        self.beat()
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
            self.beat()

    def beat(self) -> None:
        """Tell at once."""
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
        change, told = self._told()
        self._clients.dynamodb.update_item(
            TableName=row.table,
            Key={"pk": {"S": row.pk}, "sk": {"S": row.sk}},
            UpdateExpression=f"SET heartbeat_at = :now, #status = :running, {change}",
            ConditionExpression="attempt = :attempt AND #status IN (:dispatched, :running)",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={
                **told,
                ":now": {"S": _now()},
                ":began": {"S": self._began},
                ":running": {"S": "running"},
                ":dispatched": {"S": "dispatched"},
                ":attempt": {"N": str(self._order.attempt)},
            },
        )

    def _told(self) -> "tuple[str, dict[str, UniversalAttributeValueTypeDef]]":
        """Return how start and progress change: the rest of the update, and its values."""
        parts = self._order.parts
        if self._part is None:
            # An assembly begins anew, from where it is: its pace is not the parts'.
            begun = _PARTS_PERCENT if parts else 0.0
            percent = begun + self._share * (_ENHANCED_PERCENT - begun)
            change = "progress = :progress, started_at = :began, started_percent = :begun"
            return change, {":progress": {"N": f"{percent:.1f}"}, ":begun": {"N": f"{begun:.1f}"}}
        change = "started_at = if_not_exists(started_at, :began)"
        first = self._part.number * _PART_STEPS
        steps = [str(first + step) for step in range(int(self._share * _PART_STEPS))]
        if not steps:
            return change, {}
        each = _PARTS_PERCENT / (_PART_STEPS * max(1, len(parts)))
        change += ", step_percent = :each ADD part_steps :steps"
        return change, {":each": {"N": f"{each:.4f}"}, ":steps": {"NS": steps}}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
