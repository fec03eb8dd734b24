"""Looking at jobs and cancelling them as an operator, whose they may be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.ports import ClientRegistry, JobRepository
from lambdas.core.services.cancelling import CancelService

MAX_FAILED_COUNTED = 1000


@dataclass(frozen=True)
class JobCounts:
    """How much is in hand; of what has failed, at most `MAX_FAILED_COUNTED` of each client are counted."""

    queued: int
    running: int
    failed: int


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

    def counts(self) -> JobCounts:
        """Count the jobs of all clients."""
        clients = self.clients.all()
        failed = (self.jobs.newest(one.id, JobStatus.FAILED, limit=MAX_FAILED_COUNTED) for one in clients)
        return JobCounts(
            queued=sum(client.queued for client in clients),
            running=sum(len(client.leases) for client in clients),
            failed=sum(map(len, failed)),
        )

    def queue_position(self, job: Job) -> int | None:
        """Return the job's place in its client's queue, None unless it waits."""
        return self.jobs.queue_position(job) if job.status is JobStatus.QUEUED else None

    def cancel(self, job_id: str) -> Job:
        """Cancel the job; raises `DomainError` NOT_FOUND or ALREADY_FINISHED."""
        job = self.find(job_id)
        return self.cancelling.cancel(job.client_id, job.id)
