"""Enhancements that were asked for before their bytes were there."""

import logging
from dataclasses import dataclass

from gpu_container.contract import ErrorCode
from lambdas.core.assets import Asset
from lambdas.core.errors import DomainError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.ports import AdmissionQueue, Clock, JobRepository
from lambdas.core.services.outcomes import OutcomeService

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WaitingJobs:
    """What intake does about them once an upload is settled; each may run twice."""

    jobs: JobRepository
    queue: AdmissionQueue
    outcomes: OutcomeService
    clock: Clock

    def queue_up(self, asset: Asset) -> Job | None:
        """Queue the job that waits for the asset; None where there is none any more.

        Raises
        ------
        DomainError
            QUEUE_FULL, NOT_FOUND (the asset has been deleted meanwhile) or CONFLICT.
        """
        job = self._job(asset)
        if job is None:
            return None
        if job.status is JobStatus.WAITING_FOR_UPLOAD:
            audio_s = asset.facts.duration_s if asset.facts else None
            job = self.jobs.enqueue(job.queued(self.clock.now(), audio_s=audio_s))
            logger.info("queued", extra={"job_id": job.id})
        self._wake(job)
        return job

    def fail(self, asset: Asset) -> Job | None:
        """Fail the job that waits for an asset whose bytes are no good; None where there is none any more."""
        job = self._job(asset)
        if job is None:
            return None
        if job.status is JobStatus.WAITING_FOR_UPLOAD:
            failed = job.failed(
                error_code=asset.error_code or ErrorCode.INPUT_CORRUPT.value,
                error_message=asset.error_message or "the upload cannot be used",
                now=self.clock.now(),
            )
            job = self.jobs.withdraw(failed, was=job.status)
        self.outcomes.tell_safely(job.client_id, job.id)
        return job

    def _job(self, asset: Asset) -> Job | None:
        return self.jobs.get(asset.client_id, asset.waiting_job_id) if asset.waiting_job_id else None

    def _wake(self, job: Job) -> None:
        try:
            self.queue.tick(job.client_id)
        except DomainError:
            logger.exception("the wake-up of admission was lost", extra={"job_id": job.id})  # the sweeper ticks again
