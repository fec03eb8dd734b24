"""Ending a job because nobody wants it any more, at whatever moment of its life."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.ports import AdmissionQueue, Clock, JobRepository, StopQueue
from lambdas.core.services.outcomes import OutcomeService

logger = logging.getLogger(__name__)

TRIES = 10
"""Somebody else's write each time: more than a job's whole life holds."""


@dataclass(frozen=True)
class CancelService:
    """Writes the end first; everything else follows from it and may fail, come late or come twice.

    The worker learns from its next progress write, which the row refuses; the execution is woken through the queue of
    stops, and at the latest by its own heartbeat timer. A result that comes after all finds a terminal job.
    """

    jobs: JobRepository
    stops: StopQueue
    queue: AdmissionQueue
    outcomes: OutcomeService
    clock: Clock

    def cancel(self, client_id: str, job_id: str) -> Job:
        """Cancel the job; one that is cancelled already is returned as it is.

        Raises
        ------
        DomainError
            NOT_FOUND, or ALREADY_FINISHED where success or failure was first.
        """
        for _ in range(TRIES):
            job = self.jobs.get(client_id, job_id)
            if job is None:
                raise DomainError(DomainErrorCode.NOT_FOUND)
            if job.status is JobStatus.CANCELLED:
                return job
            if job.is_terminal:
                raise DomainError(DomainErrorCode.ALREADY_FINISHED, f"the job has {job.status} already")
            try:
                return self._end(job)
            except VersionConflictError:
                continue
        raise VersionConflictError

    def _end(self, job: Job) -> Job:
        cancelled = job.cancelled(self.clock.now())
        if job.status in {JobStatus.QUEUED, JobStatus.WAITING_FOR_UPLOAD}:
            saved = self.jobs.withdraw(cancelled, was=job.status)
            self.outcomes.tell_safely(job.client_id, job.id)  # there is no execution that would
        else:
            saved = self.jobs.release(cancelled)
            _try(lambda: self.stops.ask(saved), job)
        _try(lambda: self.queue.tick(job.client_id), job)
        logger.info("cancelled", extra={"job_id": job.id, "attempt": job.attempt, "was": job.status})
        return saved


def _try(send: Callable[[], None], job: Job) -> None:
    """Send; the job has ended in any case, and timers and the sweeper make up for a lost message."""
    try:
        send()
    except DomainError:
        logger.exception("a message after a cancellation was lost", extra={"job_id": job.id})
