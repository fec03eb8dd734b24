"""Enhancements that were asked for before their bytes were there."""

import logging
from dataclasses import dataclass
from datetime import datetime

from gpu_container.contract import ErrorCode
from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.ports import AdmissionQueue, AssetStore, Clock, JobRepository
from lambdas.core.services.outcomes import OutcomeService
from lambdas.core.sources import SourceErrorCode

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WaitingJobs:
    """What becomes of them once an upload is settled, or never comes; all of it may run twice."""

    assets: AssetStore
    jobs: JobRepository
    queue: AdmissionQueue
    outcomes: OutcomeService
    clock: Clock

    def queue_up(self, asset: Asset) -> Job | None:
        """Queue the job that waits for the asset; None where there is none any more.

        Where its client's queue is full it is held, and the sweep queues it as soon as there is room.

        Raises
        ------
        DomainError
            NOT_FOUND (the asset has been deleted meanwhile) or CONFLICT.
        """
        job = self._job(asset)
        if job is None:
            return None
        if job.status is JobStatus.WAITING_FOR_UPLOAD:
            return self._queued(job, asset)
        self._wake(job)
        return job

    def fail(self, asset: Asset) -> Job | None:
        """Fail the job that waits for an asset whose bytes are no good; None where there is none any more."""
        job = self._job(asset)
        if job is None:
            return None
        if job.status is JobStatus.WAITING_FOR_UPLOAD:
            return self._failed(job, asset)
        self.outcomes.tell_safely(job.client_id, job.id)
        return job

    def settle(self, job: Job, *, is_overdue: bool = False) -> bool:
        """Do for a job that waits what its intake should have done; returns whether it waits no more.

        An upload that is overdue is given up together with its job, so that both say why.

        Raises
        ------
        DomainError
            NOT_FOUND or CONFLICT, where somebody else is at it in this moment.
        """
        stored, now = self.jobs.get(job.client_id, job.id), self.clock.now()
        if stored is None or stored.status is not JobStatus.WAITING_FOR_UPLOAD:
            return False
        asset = self.assets.get(job.client_id, job.asset_id)
        if asset is None:
            code = DomainErrorCode.UPLOAD_EXPIRED.value
            self._end(stored.failed(error_code=code, error_message="the recording is gone", now=now))
            return True
        if asset.is_deleted:
            self._end(stored.cancelled(now))
            return True
        if asset.is_waiting and is_overdue:
            asset = self.assets.save(_given_up(asset, now))
        if asset.status is AssetStatus.READY:
            return self._queued(stored, asset).status is JobStatus.QUEUED
        if asset.status is AssetStatus.INVALID:
            self._failed(stored, asset)
            return True
        return False

    def _queued(self, job: Job, asset: Asset) -> Job:
        now, audio_s = self.clock.now(), asset.facts.duration_s if asset.facts else None
        try:
            queued = self.jobs.enqueue(job.queued(now, audio_s=audio_s))
        except DomainError as error:
            if error.code is not DomainErrorCode.QUEUE_FULL:
                raise
            return job if job.is_held else self.jobs.save(job.held(now))
        logger.info("queued", extra={"job_id": job.id})
        self._wake(queued)
        return queued

    def _failed(self, job: Job, asset: Asset) -> Job:
        code = asset.error_code or ErrorCode.INPUT_CORRUPT.value
        message = asset.error_message or "the upload cannot be used"
        return self._end(job.failed(error_code=code, error_message=message, now=self.clock.now()))

    def _end(self, ended: Job) -> Job:
        saved = self.jobs.withdraw(ended, was=JobStatus.WAITING_FOR_UPLOAD)
        self.outcomes.tell_safely(saved.client_id, saved.id)
        return saved

    def _job(self, asset: Asset) -> Job | None:
        return self.jobs.get(asset.client_id, asset.waiting_job_id) if asset.waiting_job_id else None

    def _wake(self, job: Job) -> None:
        try:
            self.queue.tick(job.client_id)
        except DomainError:
            logger.exception("the wake-up of admission was lost", extra={"job_id": job.id})  # the sweeper ticks again


def _given_up(asset: Asset, now: datetime) -> Asset:
    """Return the asset as it is once nobody expects its bytes any more."""
    if asset.is_fetched:
        code, message = SourceErrorCode.UNREACHABLE.value, "nothing has come of the source in time"
    else:
        code, message = DomainErrorCode.UPLOAD_EXPIRED.value, "the upload has not come in time"
    return asset.invalid(error_code=code, error_message=message, version_id=None, now=now)
