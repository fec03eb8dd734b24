"""What is counted of jobs for graphs and alarms. Never an id: each would be a metric of its own, and be paid for."""

from dataclasses import dataclass
from typing import Protocol

from gpu_container.contract import ErrorCode, WorkResult
from lambdas.core.errors import DomainErrorCode
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.routing import Lane
from lambdas.core.sources import SourceErrorCode


@dataclass(frozen=True)
class Patrol:
    """What one sweep saw.

    Attributes
    ----------
    active, oldest_queued_s
        Jobs that hold a slot; how long the job has waited that waits longest, 0 if none does.
    recovered
        Jobs that had to be helped: a notice, a worker or an execution was lost.
    leaked
        Slots that nobody held any more.
    """

    active: int
    oldest_queued_s: float
    recovered: int
    leaked: int


class Telemetry(Protocol):
    """Counts; a job is never the worse for it."""

    def waited(self, wait_s: float) -> None:
        """Count an admission after ``wait_s`` in the queue."""
        ...

    def processed(self, result: WorkResult, lane: Lane) -> None:
        """Count the work of an attempt that succeeded."""
        ...

    def ended(self, job: Job) -> None:
        """Count the end of a job."""
        ...

    def patrolled(self, patrol: Patrol) -> None:
        """Count what a sweep saw."""
        ...


class NoTelemetry:
    """Counts nothing: for a command line, whose output is for people."""

    def waited(self, wait_s: float) -> None:
        """Ignore it."""

    def processed(self, result: WorkResult, lane: Lane) -> None:
        """Ignore it."""

    def ended(self, job: Job) -> None:
        """Ignore it."""

    def patrolled(self, patrol: Patrol) -> None:
        """Ignore it."""


def is_our_fault(job: Job) -> bool:
    """Tell whether a job failed for any other reason than its file, or where its file was to come from."""
    return job.status is JobStatus.FAILED and job.error_code not in _INPUT_FAULTS


_INPUT_FAULTS = frozenset(
    {
        *(code.value for code in ErrorCode if code.is_input_fault),
        *(code.value for code in SourceErrorCode if code is not SourceErrorCode.INTERNAL),
        DomainErrorCode.UPLOAD_EXPIRED.value,
    }
)
