"""Asking for enhancements, looking at them and fetching their results."""

import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from types import MappingProxyType

from gpu_container.contract import OutputFormat
from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.jobs import NO_OPTIONS, Job, JobStatus
from lambdas.core.operations import MODEL_DEFAULT, STRENGTH_MAX, STRENGTH_MIN, Options
from lambdas.core.ports import (
    AdmissionQueue,
    AssetStore,
    AudioLinks,
    Clock,
    IdFactory,
    JobRepository,
    TombstoneStore,
)
from lambdas.core.retention import Retention
from lambdas.core.services.assets import existing_asset
from lambdas.core.webhooks import WebhookEndpoint

logger = logging.getLogger(__name__)

MAX_STEM_LENGTH = 200


class Artifact(StrEnum):
    """What may lie beside a result; stored, append-only."""

    REPORT = "report"
    SPECTROGRAM = "spectrogram"
    WAVEFORM = "waveform"
    PEAKS = "peaks"


ARTIFACT_TYPES: Mapping[Artifact, tuple[str, str]] = MappingProxyType(
    {
        Artifact.REPORT: ("json", "application/json"),
        Artifact.SPECTROGRAM: ("png", "image/png"),
        Artifact.WAVEFORM: ("png", "image/png"),
        Artifact.PEAKS: ("json", "application/json"),
    }
)
"""Extension and media type."""

FORMAT_TYPES: Mapping[OutputFormat, str] = MappingProxyType(
    {
        OutputFormat.WAV: "audio/wav",
        OutputFormat.FLAC: "audio/flac",
        OutputFormat.MP3: "audio/mpeg",
        OutputFormat.M4A: "audio/mp4",
        OutputFormat.OPUS: "audio/opus",
        OutputFormat.OGG: "audio/ogg",
    }
)


@dataclass(frozen=True)
class Wish:
    """What shall be done with a recording, whichever it is.

    Attributes
    ----------
    is_unique
        Whether the same model and strength may not be asked for twice of one asset, as Adobe has it.
    job_id
        What the job is going to be called, where that has to be known before.
    batch_id, reference
        The batch it belongs to, and the client's own word for it.
    webhook
        Where its end is told, beside the client's own webhooks; it is stored with the job or not at all.
    """

    strength: float
    model: str = MODEL_DEFAULT
    options: Options = NO_OPTIONS
    is_unique: bool = False
    batch_id: str | None = None
    reference: str | None = None
    idempotency: IdempotencyKey | None = None
    job_id: str | None = None
    webhook: WebhookEndpoint | None = None

    def named(self, ids: IdFactory) -> "Wish":
        """Return the wish with the identifier that its job is going to have."""
        return replace(self, job_id=self.idempotency.derived_id("job") if self.idempotency else ids.new_id())


@dataclass(frozen=True)
class EnhancementService:
    """Enhancements of one client's assets."""

    assets: AssetStore
    jobs: JobRepository
    queue: AdmissionQueue
    clock: Clock
    ids: IdFactory
    retention: Retention
    tombstones: TombstoneStore

    def request(self, client_id: str, asset_id: str, wish: Wish) -> Job:
        """Queue an enhancement of an asset whose bytes are ready.

        Raises
        ------
        DomainError
            NOT_FOUND, ASSET_NOT_UPLOADED, ASSET_NOT_ENHANCEABLE (also once the upload's time is over),
            ENHANCEMENT_EXISTS, ENHANCEMENT_DELETED (by whoever made it with this key), IDEMPOTENCY_MISMATCH,
            QUEUE_FULL or PARAMETER_INVALID.
        """
        asset = existing_asset(self.assets, client_id, asset_id)
        if asset.is_waiting:
            # It passes by itself: the bytes may be there already and are being looked at.
            raise DomainError(DomainErrorCode.ASSET_NOT_UPLOADED, retryable=True)
        if asset.status is AssetStatus.INVALID or self.retention.is_over(asset.updated_at, now=self.clock.now()):
            raise DomainError(DomainErrorCode.ASSET_NOT_ENHANCEABLE)
        job = self._job(asset, wish, JobStatus.QUEUED)
        stored = self._add(replace(job, audio_s=asset.facts.duration_s if asset.facts else None), wish)
        try:
            self.queue.tick(job.client_id)
        except DomainError:
            # The job is there: its client must learn its id. The sweeper makes the tick good within a minute.
            logger.exception("the wake-up of admission was lost", extra={"job_id": job.id})
        return stored

    def expect(self, asset: Asset, wish: Wish) -> Job:
        """Make the enhancement (`Wish.job_id`) that starts by itself when the asset's bytes are there and good.

        Raises
        ------
        DomainError
            ENHANCEMENT_DELETED, IDEMPOTENCY_MISMATCH or PARAMETER_INVALID.
        """
        return self._add(self._job(asset, wish, JobStatus.WAITING_FOR_UPLOAD), wish)

    def take_back(self, job: Job) -> None:
        """Forget a job whose bytes could not be asked for; a request with a key may come again and finds it."""
        if job.request_sha256 is None:
            with suppress(DomainError):
                self.jobs.remove(job)

    def check_name(self, client_id: str, wish: Wish) -> None:
        """Raise `DomainError` ENHANCEMENT_DELETED or IDEMPOTENCY_MISMATCH where the wish's key has been used up."""
        key = wish.idempotency
        buried = self.tombstones.get(client_id, wish.job_id) if key and wish.job_id else None
        if key is None or buried is None:
            return
        same = buried.request_sha256 == key.request_sha256
        raise DomainError(DomainErrorCode.ENHANCEMENT_DELETED if same else DomainErrorCode.IDEMPOTENCY_MISMATCH)

    def show(self, client_id: str, job_id: str, *, asset_id: str | None = None) -> Job:
        """Return the client's enhancement, of that asset where it is named; raises `DomainError` NOT_FOUND."""
        return self.find(client_id, job_id, asset_id=asset_id)[0]

    def find(self, client_id: str, job_id: str, *, asset_id: str | None = None) -> tuple[Job, Asset]:
        """Return what `show` does, with its asset."""
        job, asset = existing_job(self.jobs, self.assets, client_id, job_id)
        if asset_id not in {None, asset.id}:
            raise DomainError(DomainErrorCode.NOT_FOUND)
        return job, asset

    def _job(self, asset: Asset, wish: Wish, status: JobStatus) -> Job:
        if not STRENGTH_MIN <= wish.strength <= STRENGTH_MAX:
            raise DomainError(DomainErrorCode.PARAMETER_INVALID, "strength is out of range")
        now, key = self.clock.now(), wish.idempotency
        return Job(
            id=wish.job_id or self.ids.new_id(),
            client_id=asset.client_id,
            asset_id=asset.id,
            strength=wish.strength,
            model=wish.model,
            requested_at=now,
            updated_at=now,
            status=status,
            options=wish.options,
            is_unique=wish.is_unique,
            batch_id=wish.batch_id,
            reference=wish.reference,
            request_sha256=key.request_sha256 if key else None,
        )

    def _add(self, job: Job, wish: Wish) -> Job:
        """Store the job; what the same request has made before is the answer to its repetition."""
        try:
            self.jobs.add(job, wish.webhook)
        except DomainError as error:
            known = self.jobs.get(job.client_id, job.id) if job.request_sha256 else None
            if error.code is not DomainErrorCode.ENHANCEMENT_EXISTS:
                raise
            if known is None:
                self.check_name(job.client_id, wish)
                raise
            if known.request_sha256 != job.request_sha256:
                raise DomainError(DomainErrorCode.IDEMPOTENCY_MISMATCH) from error
            return known
        return job

    def queue_position(self, job: Job) -> int | None:
        """Return how many of the client's jobs are ahead, itself included; None unless it is queued."""
        return self.jobs.queue_position(job) if job.status is JobStatus.QUEUED else None


def existing_job(jobs: JobRepository, assets: AssetStore, client_id: str, job_id: str) -> tuple[Job, Asset]:
    """Return the client's job and its asset; raises `DomainError` NOT_FOUND, also where the asset has been deleted.

    Whoever has deleted an asset finds nothing of it any more, even before ``Erase`` has come to its jobs.
    """
    job = jobs.get(client_id, job_id)
    if job is None:
        raise DomainError(DomainErrorCode.NOT_FOUND)
    return job, existing_asset(assets, client_id, job.asset_id)


@dataclass(frozen=True)
class DownloadService:
    """Short-lived links to results."""

    enhancements: EnhancementService
    storage: AudioLinks

    def url(self, client_id: str, job_id: str, *, asset_id: str | None = None) -> str:
        """Return a link to the enhanced audio; raises `DomainError` NOT_FOUND until the job has succeeded."""
        job, asset = self.enhancements.find(client_id, job_id, asset_id=asset_id)
        if job.status is not JobStatus.SUCCEEDED or job.output_key is None:
            raise DomainError(DomainErrorCode.NOT_FOUND)
        wanted = job.options.output_format
        return self.storage.download_url(
            job.output_key,
            job.output_version_id,
            filename=download_name(asset, job),
            content_type=FORMAT_TYPES[wanted] if wanted else asset.content_type,
        )

    def artifact_url(self, client_id: str, job_id: str, artifact: Artifact) -> str:
        """Return a link to what lies beside the result; raises `DomainError` NOT_FOUND where there is none."""
        job, asset = self.enhancements.find(client_id, job_id)
        key = job.artifacts.get(artifact)
        if job.status is not JobStatus.SUCCEEDED or key is None:
            raise DomainError(DomainErrorCode.NOT_FOUND)
        extension, content_type = ARTIFACT_TYPES[artifact]
        stem = PurePosixPath(download_name(asset, job)).stem
        return self.storage.download_url(
            key, None, filename=f"{stem}-{artifact}.{extension}", content_type=content_type
        )


def download_name(asset: Asset, job: Job) -> str:
    """Return ``<stem>-enhanced-<strength>p.<ext>``.

    The extension is the wanted format's, else the filename's, or the bytes' if it has none.
    """
    path = PurePosixPath(asset.filename)
    own = path.suffix or (f".{asset.facts.container}" if asset.facts else "")
    extension = f".{job.options.output_format}" if job.options.output_format else own
    stem = path.stem[:MAX_STEM_LENGTH]
    strength = str(int(job.strength)) if math.floor(job.strength) == job.strength else str(job.strength)
    return f"{stem}-enhanced-{strength}p{extension}"
