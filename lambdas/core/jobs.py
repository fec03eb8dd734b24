"""A job: one enhancement of one asset, and the one table that says how its status may change."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from gpu_container.contract import Dereverb, ErrorCode
from lambdas.core.operations import Options
from lambdas.core.routing import Lane


class JobStatus(StrEnum):
    """Stored; append-only."""

    WAITING_FOR_UPLOAD = "waiting_for_upload"
    QUEUED = "queued"
    ADMITTED = "admitted"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = MappingProxyType(
    {
        # Asked for before the bytes were there: they come and are good, or not.
        JobStatus.WAITING_FOR_UPLOAD: frozenset({JobStatus.QUEUED, JobStatus.FAILED, JobStatus.CANCELLED}),
        # QUEUED → FAILED: given up before it ever ran. ADMITTED → QUEUED: its execution could not be started.
        JobStatus.QUEUED: frozenset({JobStatus.ADMITTED, JobStatus.FAILED, JobStatus.CANCELLED}),
        JobStatus.ADMITTED: frozenset({JobStatus.DISPATCHED, JobStatus.FAILED, JobStatus.QUEUED, JobStatus.CANCELLED}),
        # Back to QUEUED as the next attempt when the platform, not the file, was to blame.
        JobStatus.DISPATCHED: frozenset(
            {JobStatus.RUNNING, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.QUEUED, JobStatus.CANCELLED}
        ),
        JobStatus.RUNNING: frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.QUEUED, JobStatus.CANCELLED}),
        JobStatus.SUCCEEDED: frozenset(),
        JobStatus.FAILED: frozenset(),
        JobStatus.CANCELLED: frozenset(),
    }
)

TERMINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)

HOLDS_SLOT = frozenset({JobStatus.ADMITTED, JobStatus.DISPATCHED, JobStatus.RUNNING})

MAY_BE_ASKED_AGAIN = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})
"""Ends that leave nothing to download: the same (asset, model, strength) may be asked for anew."""

MAX_ATTEMPTS = 3

NO_OPTIONS = Options()


class TransitionError(ValueError):
    """A status change that the table does not allow."""


@dataclass(frozen=True)
class Job:
    """One enhancement.

    Attributes
    ----------
    attempt
        1 for the first; everything a worker does is fenced by it.
    progress
        Percent done, monotonic within an attempt; written by the worker.
    started_at, started_percent
        Since when the present attempt is worked on, and its progress then; written by the worker. What was made in
        parts starts a second time, when it is put together.
    lane, avoided_lanes
        Which lane has the present attempt, and which had no room for an earlier one.
    output_key, output_version_id
        Where the enhanced audio is, once succeeded.
    options
        What was asked for beside model and strength.
    is_unique
        Whether another job of the same asset, model and strength is refused while this one has not failed.
    batch_id, reference
        The batch it belongs to, and the client's own word for it.
    is_held
        True where the upload has come and is good, and there was no room in the client's queue.
    audio_s
        Length of the recording, known once the job is queued.
    artifacts
        What lies beside the result: its report and pictures, by name.
    request_sha256
        Of the request that made it, where the client gave an idempotency key.
    notified_at
        When the job's end was told to the queue of outcomes; until then the sweeper tells it again.
    version
        Counts writes; every write is conditional on it.
    """

    id: str
    client_id: str
    asset_id: str
    strength: float
    model: str
    requested_at: datetime
    updated_at: datetime
    status: JobStatus = JobStatus.QUEUED
    attempt: int = 1
    progress: float = 0.0
    admitted_at: datetime | None = None
    started_at: datetime | None = None
    started_percent: float = 0.0
    heartbeat_at: datetime | None = None
    lane: Lane | None = None
    avoided_lanes: tuple[Lane, ...] = ()
    finished_at: datetime | None = None
    output_key: str | None = None
    output_version_id: str | None = None
    output_size_bytes: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    options: Options = NO_OPTIONS
    is_unique: bool = True
    batch_id: str | None = None
    reference: str | None = None
    audio_s: float | None = None
    artifacts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    request_sha256: str | None = None
    notified_at: datetime | None = None
    is_held: bool = False
    version: int = 1

    @property
    def is_terminal(self) -> bool:
        """True once nothing can change any more."""
        return self.status in TERMINAL

    @property
    def execution_name(self) -> str:
        """Name of this attempt's execution and inference; the same attempt can never run twice."""
        return f"{self.id}-{self.attempt}"

    def to(self, status: JobStatus, *, now: datetime, **changes: object) -> "Job":
        """Return the job in ``status``; raises `TransitionError` where the table forbids the change."""
        if status not in TRANSITIONS[self.status]:
            msg = f"job {self.id}: {self.status} → {status} is not allowed"
            raise TransitionError(msg)
        return replace(self, status=status, updated_at=now, is_held=False, **changes)  # type: ignore[arg-type]

    def queued(self, now: datetime, *, audio_s: float | None) -> "Job":
        """Wait for a slot, once the bytes are there."""
        return self.to(JobStatus.QUEUED, now=now, audio_s=audio_s)

    def held(self, now: datetime) -> "Job":
        """Wait for room in the queue: the bytes are there."""
        return replace(self, is_held=True, updated_at=now)

    def admitted(self, now: datetime) -> "Job":
        """Take a slot."""
        return self.to(JobStatus.ADMITTED, now=now, admitted_at=now)

    def dispatched(self, now: datetime, lane: Lane | None = None) -> "Job":
        """Be handed to a lane."""
        return self.to(JobStatus.DISPATCHED, now=now, lane=lane)

    def on_lane(self, lane: Lane, now: datetime) -> "Job":
        """Be handed to another lane, within the same attempt."""
        return replace(self, lane=lane, updated_at=now)

    def succeeded(
        self,
        *,
        key: str,
        version_id: str | None,
        size_bytes: int,
        now: datetime,
        artifacts: Mapping[str, str] | None = None,
    ) -> "Job":
        """End well."""
        return self.to(
            JobStatus.SUCCEEDED,
            now=now,
            finished_at=now,
            progress=100.0,
            output_key=key,
            output_version_id=version_id,
            output_size_bytes=size_bytes,
            artifacts=MappingProxyType(dict(artifacts or {})),
        )

    def failed(self, *, error_code: str, error_message: str, now: datetime) -> "Job":
        """End badly."""
        return self.to(JobStatus.FAILED, now=now, finished_at=now, error_code=error_code, error_message=error_message)

    def cancelled(self, now: datetime) -> "Job":
        """End because the client wants it no more."""
        code = ErrorCode.CANCELLED.value
        return self.to(
            JobStatus.CANCELLED, now=now, finished_at=now, error_code=code, error_message="cancelled on request"
        )

    def noticed(self, now: datetime) -> "Job":
        """Return a terminal job whose end has been told."""
        return replace(self, notified_at=now)

    def requeued(self, now: datetime, *, elsewhere: bool = False) -> "Job":
        """Go back to the queue as the next attempt; ``elsewhere``: which should take another lane."""
        left = (self.lane,) if elsewhere and self.lane and self.lane not in self.avoided_lanes else ()
        return self.to(
            JobStatus.QUEUED,
            now=now,
            attempt=self.attempt + 1,
            progress=0.0,
            admitted_at=None,
            started_at=None,
            started_percent=0.0,
            heartbeat_at=None,
            lane=None,
            avoided_lanes=self.avoided_lanes + left,
        )

    def unadmitted(self, now: datetime) -> "Job":
        """Go back to the queue as the same attempt, whose execution never started."""
        return self.to(JobStatus.QUEUED, now=now, admitted_at=None)


@dataclass(frozen=True)
class Tombstone:
    """What is left of a deleted job: enough to erase what it made, and to keep its name from being used again.

    Attributes
    ----------
    request_sha256
        As the job had it. Without it nobody can ask for this name again, and nothing is kept once all is erased.
    erase_again_at
        When to erase once more; None once that is done.
    """

    job_id: str
    client_id: str
    asset_id: str
    deleted_at: datetime
    request_sha256: str | None = None
    erase_again_at: datetime | None = None

    @classmethod
    def of(cls, job: Job, now: datetime, *, erase_again_at: datetime | None) -> "Tombstone":
        """Return what is to be left of ``job``."""
        return cls(job.id, job.client_id, job.asset_id, now, job.request_sha256, erase_again_at)

    @property
    def keeps_a_key(self) -> bool:
        """True where the request that made the job may come again."""
        return self.request_sha256 is not None


def dereverb_of(job: Job, default: Dereverb) -> Dereverb:
    """Return how much echo is taken: as the job was asked for, else as the deployment is configured."""
    return job.options.dereverb or default


def output_key_of(job: Job) -> str:
    """Return the key of an attempt's result; attempts never overwrite one another."""
    return f"{output_prefix_of(job.client_id, job.asset_id)}{job.execution_name}"


def output_prefix_of_job(client_id: str, asset_id: str, job_id: str) -> str:
    """Return what the keys of all results of a job begin with, whichever attempt made them."""
    return f"{output_prefix_of(client_id, asset_id)}{job_id}-"


def output_prefix_of(client_id: str, asset_id: str) -> str:
    """Return what the keys of all results of an asset begin with; reports and pictures lie beside the audio."""
    return f"out/{client_id}/{asset_id}/"
