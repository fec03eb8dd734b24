"""Asking for enhancements, looking at them and fetching their results."""

import logging
import math
from dataclasses import dataclass
from pathlib import PurePosixPath

from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.operations import STRENGTH_MAX, STRENGTH_MIN
from lambdas.core.ports import AdmissionQueue, AssetStore, AudioLinks, Clock, IdFactory, JobRepository
from lambdas.core.retention import Retention
from lambdas.core.services.assets import existing_asset

logger = logging.getLogger(__name__)

MAX_STEM_LENGTH = 200


@dataclass(frozen=True)
class EnhancementService:
    """Enhancements of one client's assets."""

    assets: AssetStore
    jobs: JobRepository
    queue: AdmissionQueue
    clock: Clock
    ids: IdFactory
    retention: Retention

    def request(self, client_id: str, asset_id: str, *, strength: float, model: str) -> Job:
        """Queue an enhancement of an asset whose bytes are ready.

        Raises
        ------
        DomainError
            NOT_FOUND, ASSET_NOT_UPLOADED, ASSET_NOT_ENHANCEABLE (also once the upload's time is over),
            ENHANCEMENT_EXISTS, QUEUE_FULL or PARAMETER_INVALID.
        """
        asset = existing_asset(self.assets, client_id, asset_id)
        if asset.is_waiting:
            raise DomainError(DomainErrorCode.ASSET_NOT_UPLOADED)
        if asset.status is AssetStatus.INVALID or self.retention.is_over(asset.updated_at, now=self.clock.now()):
            raise DomainError(DomainErrorCode.ASSET_NOT_ENHANCEABLE)
        return self.enqueue(asset, strength=strength, model=model)

    def enqueue(self, asset: Asset, *, strength: float, model: str, job_id: str | None = None) -> Job:
        """Queue an enhancement of a ready asset and wake its client's admission."""
        if not STRENGTH_MIN <= strength <= STRENGTH_MAX:
            raise DomainError(DomainErrorCode.PARAMETER_INVALID, "strength is out of range")
        now = self.clock.now()
        job = Job(
            id=job_id or self.ids.new_id(),
            client_id=asset.client_id,
            asset_id=asset.id,
            strength=strength,
            model=model,
            requested_at=now,
            updated_at=now,
        )
        self.jobs.add(job)
        try:
            self.queue.tick(job.client_id)
        except DomainError:
            # The job is there: its client must learn its id. The sweeper makes the tick good within a minute.
            logger.exception("the wake-up of admission was lost", extra={"job_id": job.id})
        return job

    def show(self, client_id: str, asset_id: str, job_id: str) -> Job:
        """Return the client's enhancement of that asset; raises `DomainError` NOT_FOUND."""
        job = self.jobs.get(client_id, job_id)
        if job is None or job.asset_id != asset_id:
            raise DomainError(DomainErrorCode.NOT_FOUND)
        return job

    def queue_position(self, job: Job) -> int | None:
        """Return how many of the client's jobs are ahead, itself included; None unless it is queued."""
        return self.jobs.queue_position(job) if job.status is JobStatus.QUEUED else None


@dataclass(frozen=True)
class DownloadService:
    """Short-lived links to results."""

    assets: AssetStore
    enhancements: EnhancementService
    storage: AudioLinks

    def url(self, client_id: str, asset_id: str, job_id: str) -> str:
        """Return a link to the enhanced audio; raises `DomainError` NOT_FOUND until the job has succeeded."""
        job = self.enhancements.show(client_id, asset_id, job_id)
        if job.status is not JobStatus.SUCCEEDED or job.output_key is None:
            raise DomainError(DomainErrorCode.NOT_FOUND)
        asset = existing_asset(self.assets, client_id, asset_id)
        return self.storage.download_url(
            job.output_key,
            job.output_version_id,
            filename=download_name(asset, job),
            content_type=asset.content_type,
        )


def download_name(asset: Asset, job: Job) -> str:
    """Return ``<stem>-enhanced-<strength>p.<ext>``: the extension follows the filename, or the bytes if it has none."""
    path = PurePosixPath(asset.filename)
    extension = path.suffix or (f".{asset.facts.container}" if asset.facts else "")
    stem = path.stem[:MAX_STEM_LENGTH]
    strength = str(int(job.strength)) if math.floor(job.strength) == job.strength else str(job.strength)
    return f"{stem}-enhanced-{strength}p{extension}"
