"""Settling an upload: is it there, is it what was declared, is it audio? S3's events come twice, late and unordered."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from gpu_container.contract import (
    Checksum,
    ChecksumAlgorithm,
    ErrorCode,
    ObjectRef,
    ProbeFailure,
    ProbeOrder,
    ProbeResult,
)
from lambdas.core.assets import Asset, AssetStatus, ids_from_object_key
from lambdas.core.errors import DomainError, DomainErrorCode, TransientError
from lambdas.core.ports import AssetStore, AudioObjects, Clock, EraseQueue, StoredObject
from lambdas.core.services.waiting import WaitingJobs
from lambdas.core.sources import FETCH_TIMEOUT_S, FetchFailure

logger = logging.getLogger(__name__)

ATTEMPT_LIVES = timedelta(seconds=FETCH_TIMEOUT_S + 60)
"""So long one attempt at fetching may write; what it began longer ago it has left behind."""

PROBE_CRASHED = ProbeFailure(
    error_code=ErrorCode.INPUT_CORRUPT, message="The file could not be read within the limits of the probe."
)

PROBE_TIMED_OUT = ProbeFailure(
    error_code=ErrorCode.INPUT_TOO_LONG,
    message="The file could not be read to its end in the time that an upload gets; send it in shorter pieces.",
)


@dataclass(frozen=True)
class Located:
    """An upload worth probing."""

    client_id: str
    asset_id: str
    probe_order: ProbeOrder


@dataclass(frozen=True)
class IntakeService:
    """The steps of ``AssetIntake``; each may run twice."""

    assets: AssetStore
    storage: AudioObjects
    waiting: WaitingJobs
    erasing: EraseQueue
    clock: Clock

    def locate(self, object_key: str) -> Located | None:
        """Return what to probe, pinned to a version; None where the event changes nothing any more.

        What arrived without an asset that waits for it is erased: its asset is deleted, or made of other bytes.
        """
        ids = ids_from_object_key(object_key)
        if ids is None:
            return None
        asset = self.assets.get(*ids)
        if asset is None or not asset.is_waiting:
            self.erasing.ask(*ids)
            return None
        stored = self.storage.head(object_key)
        if stored is not None and asset.is_fetched:
            asset = self._arrived(asset, stored)
        if stored is None or stored.size_bytes != asset.size_bytes:
            # The signed length makes another size impossible; whatever this is, it is not the upload.
            logger.warning("upload does not match its declaration", extra={"asset_id": asset.id})
            return None
        order = ProbeOrder(
            input=ObjectRef(bucket=self.storage.bucket, key=object_key, version_id=stored.version_id),
            checksums=_unverified(asset),
        )
        return Located(client_id=asset.client_id, asset_id=asset.id, probe_order=order)

    def mark_unfetched(self, failure: FetchFailure) -> Asset | None:
        """Give up an asset that could not be fetched; None where it is settled or deleted, or its bytes are here.

        One attempt's failure says nothing of another's: the same message may come twice, and a link may answer once.

        Raises
        ------
        TransientError
            While another attempt has begun to write the bytes.
        VersionConflictError
            As `mark_ready`.
        """
        asset = self.assets.get(failure.client_id, failure.asset_id)
        if asset is None or not asset.is_waiting or self.storage.head(asset.object_key) is not None:
            return None
        code, message, now = failure.code.value, failure.message, self.clock.now()
        if self.storage.is_arriving(asset.object_key, since=now - ATTEMPT_LIVES):
            raise TransientError("another attempt is writing it")
        return self.assets.save(asset.invalid(error_code=code, error_message=message, version_id=None, now=now))

    def mark_ready(self, located: Located, probed: ProbeResult) -> Asset | None:
        """Accept the upload; None where another event has settled the asset already.

        Run again after its answer was lost, it answers the same.

        Raises
        ------
        VersionConflictError
            Where somebody else, or this very write sent twice, was a moment faster; the next run tells which.
        """
        asset = self.assets.get(located.client_id, located.asset_id)
        version_id = located.probe_order.input.version_id
        if asset is not None and asset.status is AssetStatus.READY and asset.version_id == version_id:
            return asset
        if asset is None or not asset.is_waiting:
            self.erasing.ask(located.client_id, located.asset_id)
            return None
        return self.assets.save(asset.ready(facts=probed.facts, version_id=version_id, now=self.clock.now()))

    def mark_invalid(self, located: Located, failure: ProbeFailure) -> Asset | None:
        """Refuse the upload; None where another event has settled the asset already. Raises as `mark_ready`."""
        asset = self.assets.get(located.client_id, located.asset_id)
        if asset is None or not asset.is_waiting:
            self.erasing.ask(located.client_id, located.asset_id)
            return None
        refused = asset.invalid(
            error_code=failure.error_code.value,
            error_message=failure.message,
            version_id=located.probe_order.input.version_id,
            now=self.clock.now(),
        )
        return self.assets.save(refused)

    def _arrived(self, asset: Asset, stored: StoredObject) -> Asset:
        """Take what was fetched for declared; once, so that the events of one object write once."""
        seen = (stored.size_bytes, stored.content_type)
        if (asset.size_bytes, asset.content_type) == seen:
            return asset
        size_bytes, content_type = seen
        arrived = asset.arrived(size_bytes=size_bytes, content_type=content_type, now=self.clock.now())
        return self.assets.save(arrived)

    def enqueue(self, located: Located) -> str | None:
        """Queue the enhancement that waits for this upload, or hold it; returns its id, None where there is none."""
        asset = self.assets.get(located.client_id, located.asset_id)
        if asset is None or asset.waiting_job_id is None:
            return None
        try:
            job = self.waiting.queue_up(asset)
        except DomainError as error:
            if error.code is DomainErrorCode.NOT_FOUND:
                return None
            raise
        return job.id if job else None

    def refuse(self, client_id: str, asset_id: str) -> str | None:
        """End the enhancement that waits for bytes that are no good, or never came; returns its id, None for none."""
        asset = self.assets.get(client_id, asset_id)
        if asset is None or asset.waiting_job_id is None or asset.status is not AssetStatus.INVALID:
            return None
        job = self.waiting.fail(asset)
        return job.id if job else None


def _unverified(asset: Asset) -> tuple[Checksum, ...]:
    """Return the declared checksums that S3 has not seen to: those of a file that came in parts."""
    if asset.multipart is None:
        return ()
    declared = {ChecksumAlgorithm.MD5: asset.checksum_md5, ChecksumAlgorithm.SHA256: asset.checksum_sha256}
    return tuple(Checksum(algorithm=algorithm, value=value) for algorithm, value in declared.items() if value)
