"""Which queued job may run next. The only place that starts executions."""

import logging
from dataclasses import dataclass

from lambdas.core.errors import DomainError, VersionConflictError
from lambdas.core.jobs import Job
from lambdas.core.ports import Clock, JobRepository, WorkflowStarter

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdmissionService:
    """Oldest first, as many at once as the client has slots."""

    jobs: JobRepository
    workflow: WorkflowStarter
    clock: Clock

    def admit_client(self, client_id: str) -> int:
        """Start as many of the client's queued jobs as there are free slots; returns how many."""
        started = 0
        while (job := self.jobs.oldest_queued(client_id)) is not None:
            try:
                admitted = self.jobs.admit(job.admitted(self.clock.now()))
            except VersionConflictError:
                continue  # somebody else moved it: look again
            if admitted is None:
                break
            self._start(admitted)
            started += 1
        return started

    def _start(self, job: Job) -> None:
        try:
            self.workflow.start(job)
        except DomainError:
            # The slot must not be held by a job that does not run; the queue's redelivery tries again.
            self.jobs.release(job.unadmitted(self.clock.now()))
            raise
        logger.info("admitted", extra={"job_id": job.id, "attempt": job.attempt})
