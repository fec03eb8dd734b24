"""How much a client has had enhanced, by day. Counted where jobs end, in the transaction that ends them."""

from dataclasses import dataclass
from datetime import UTC, date

from lambdas.core.jobs import Job, JobStatus

MAX_DAYS = 92
"""In one answer: a quarter."""


@dataclass(frozen=True)
class UsageDay:
    """One day of one client, UTC; ``audio_s`` is the length of the recordings that were enhanced."""

    day: date
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    audio_s: float = 0.0


COUNTED = {JobStatus.SUCCEEDED: "succeeded", JobStatus.FAILED: "failed", JobStatus.CANCELLED: "cancelled"}
"""Which number an end counts in."""


def day_of(job: Job) -> date:
    """Return the day a terminal job counts for."""
    return (job.finished_at or job.updated_at).astimezone(UTC).date()


def audio_ms_of(job: Job) -> int:
    """Return what a terminal job adds to its day; whole milliseconds, so that sums are exact."""
    return round(1000 * (job.audio_s or 0)) if job.status is JobStatus.SUCCEEDED else 0
