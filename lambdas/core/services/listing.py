"""A client's jobs as it sees them: one by one, in pages, and while it waits for one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from lambdas.core.clock import to_text
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.paging import Page, from_cursor, order_of, to_cursor
from lambdas.core.ports import AssetStore, Clock, JobRepository
from lambdas.core.services.enhancements import existing_job

LOOK_EVERY_S = 0.5
"""While somebody waits: a row's read costs less than another call."""

ETA_FROM_PERCENT = 3.0
"""Before that, what is left is a guess."""


@dataclass(frozen=True)
class JobView:
    """A job, and what is known of how long it will take.

    Attributes
    ----------
    queue_position
        1 for the client's next; None unless it is queued.
    eta_s
        Seconds until the worker is done, by its own pace so far; None unless it works.
    """

    job: Job
    queue_position: int | None = None
    eta_s: int | None = None


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are wanted; None is all."""

    statuses: Sequence[JobStatus] = tuple(JobStatus)
    asset_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True)
class JobListing:
    """Reads only."""

    jobs: JobRepository
    assets: AssetStore
    clock: Clock

    def view(self, client_id: str, job_id: str) -> JobView:
        """Return the client's job; raises `DomainError` NOT_FOUND."""
        job, _ = existing_job(self.jobs, self.assets, client_id, job_id)
        return self.seen(job)

    def seen(self, job: Job) -> JobView:
        """Return what can be told of a job."""
        position = self.jobs.queue_position(job) if job.status is JobStatus.QUEUED else None
        return JobView(job, position, eta_s(job, self.clock.now()))

    def seen_all(self, client_id: str, jobs: Sequence[Job]) -> Sequence[JobView]:
        """Return what can be told of some of a client's jobs, with one look at its queue."""
        some_wait = any(job.status is JobStatus.QUEUED for job in jobs)
        waiting = self.jobs.queue(client_id) if some_wait else ()
        places = {job_id: place for place, job_id in enumerate(waiting, start=1)}
        now = self.clock.now()
        return [JobView(job, places.get(job.id), eta_s(job, now)) for job in jobs]

    def wait(self, client_id: str, job_id: str, *, wait_s: float, sleep: Callable[[float], None]) -> JobView:
        """Return the job once it has ended, or as it is after ``wait_s``; raises `DomainError` NOT_FOUND."""
        for _ in range(round(wait_s / LOOK_EVERY_S)):
            job = self.jobs.get(client_id, job_id)
            if job is None or job.is_terminal:
                break
            sleep(LOOK_EVERY_S)
        return self.view(client_id, job_id)

    def page(self, client_id: str, wanted: JobFilter, *, limit: int, cursor: str | None = None) -> Page[Job]:
        """Return some of the client's jobs, newest first; `DomainError` PARAMETER_INVALID for a cursor of no list."""
        before = min(_limits(wanted, cursor), default=None)
        # One that goes on while the statuses are read is found in two of them: it is what it was found as last.
        candidates = {job.id: job for job in self._candidates(client_id, wanted, limit + 1, before)}
        found = sorted(candidates.values(), key=_place, reverse=True)
        earliest = to_text(wanted.created_after) if wanted.created_after else ""
        fitting = [job for job in found if _place(job) >= earliest]
        shown = fitting[:limit]
        return Page(shown, to_cursor(_place(shown[-1])) if len(fitting) > limit else None)

    def _candidates(self, client_id: str, wanted: JobFilter, limit: int, before: str | None) -> Iterable[Job]:
        if wanted.asset_id is None:
            for status in wanted.statuses:
                yield from self.jobs.newest(client_id, status, limit=limit, before=before)
            return
        for job in self.jobs.of_asset(client_id, wanted.asset_id):
            if job.status in wanted.statuses and (before is None or _place(job) < before):
                yield job


def eta_s(job: Job, now: datetime) -> int | None:
    """Return how many seconds a running job will still take, by what it has done since its start."""
    # Not since its admission: it may have waited for a GPU to start, or for others. A row without a start, which an
    # earlier version's worker has written, gives none.
    done_percent = job.progress - job.started_percent
    if job.status is not JobStatus.RUNNING or job.started_at is None or done_percent < ETA_FROM_PERCENT:
        return None
    elapsed_s = (now - job.started_at).total_seconds()
    return max(1, round(elapsed_s * (100 - job.progress) / done_percent))


def _place(job: Job) -> str:
    return order_of(job.requested_at, job.id)


def _limits(wanted: JobFilter, cursor: str | None) -> Iterator[str]:
    if cursor:
        yield from_cursor(cursor)
    if wanted.created_before:
        yield to_text(wanted.created_before)
