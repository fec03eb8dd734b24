"""Looking at jobs and cancelling them as an operator, whose they may be."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lambdas.core.clients import Client
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.ports import ClientRegistry, JobRepository
from lambdas.core.services.cancelling import CancelService

MAX_FAILED_COUNTED = 1000
"""Of each client; the newest."""

RECENT = timedelta(days=1)


@dataclass(frozen=True)
class ClientWork:
    """What one client has in hand, and what has gone wrong for it.

    Attributes
    ----------
    oldest_wait_s
        How long its next job has waited since it was last put into the queue; None where none waits.
    running
        What holds a slot, the longest first.
    failures
        Error code → jobs that ended so within the last day.
    """

    client: Client
    oldest_wait_s: int | None
    running: Sequence[Job]
    failures: Mapping[str, int]

    @property
    def is_idle(self) -> bool:
        """True where there is nothing to tell."""
        return not (self.client.queued or self.running or self.failures)


@dataclass(frozen=True)
class JobAdministration:
    """Count, list, show, cancel. An operator names a job by its id alone."""

    clients: ClientRegistry
    jobs: JobRepository
    cancelling: CancelService

    def list(
        self, *, client_id: str | None = None, statuses: Iterable[JobStatus] = JobStatus, limit: int = 50
    ) -> Sequence[Job]:
        """Return the newest jobs first, of one client or of all, in any or only in the given statuses."""
        ids = [client_id] if client_id else [client.id for client in self.clients.all()]
        pairs = [(one, status) for one in ids for status in statuses]
        found = [job for one, status in pairs for job in self.jobs.newest(one, status, limit=limit)]
        return sorted(found, key=lambda job: (job.requested_at, job.id), reverse=True)[:limit]

    def find(self, job_id: str) -> Job:
        """Return the job; raises `DomainError` NOT_FOUND."""
        for client in self.clients.all():
            job = self.jobs.get(client.id, job_id)
            if job is not None:
                return job
        raise DomainError(DomainErrorCode.NOT_FOUND, f"there is no job {job_id}")

    def work(self, *, now: datetime) -> Sequence[ClientWork]:
        """Return what each client has in hand."""
        return [self._work(client, now) for client in self.clients.all()]

    def queue_position(self, job: Job) -> int | None:
        """Return the job's place in its client's queue, None unless it waits."""
        return self.jobs.queue_position(job) if job.status is JobStatus.QUEUED else None

    def cancel(self, job_id: str) -> Job:
        """Cancel the job; raises `DomainError` NOT_FOUND or ALREADY_FINISHED."""
        job = self.find(job_id)
        return self.cancelling.cancel(job.client_id, job.id)

    def _work(self, client: Client, now: datetime) -> ClientWork:
        oldest = self.jobs.oldest_queued(client.id) if client.queued else None
        held = (self.jobs.get(client.id, job_id) for job_id in sorted(client.leases, key=client.leases.__getitem__))
        failed = self.jobs.newest(client.id, JobStatus.FAILED, limit=MAX_FAILED_COUNTED)
        recent = (job for job in failed if job.finished_at and now - job.finished_at <= RECENT)
        return ClientWork(
            client=client,
            oldest_wait_s=int((now - oldest.updated_at).total_seconds()) if oldest else None,
            running=[job for job in held if job is not None],
            failures=Counter(job.error_code or "unknown" for job in recent),
        )
