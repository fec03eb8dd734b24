"""Deleting an asset with all that was made of it."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from lambdas.core.assets import Asset, object_key_of, wet_prefix_of
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.jobs import Job, output_prefix_of
from lambdas.core.ports import AssetStore, Clock, EraseQueue, JobRepository, ObjectEraser
from lambdas.core.services.cancelling import CancelService
from lambdas.core.services.outcomes import OutcomeService

logger = logging.getLogger(__name__)

LATE_WRITERS = timedelta(minutes=40)
"""So long somebody may still write for a deleted asset: an upload link lives 30 minutes, a worker learns within two."""

TRIES = 5


@dataclass(frozen=True)
class DeletionService:
    """The client's side: from the answer on, the asset is not there any more."""

    assets: AssetStore
    erasing: EraseQueue
    clock: Clock

    def delete(self, client_id: str, asset_id: str) -> None:
        """Delete the asset; one that is being erased already is asked for again. `DomainError` NOT_FOUND."""
        for _ in range(TRIES):
            asset = self.assets.get(client_id, asset_id)
            if asset is None:
                raise DomainError(DomainErrorCode.NOT_FOUND)
            try:
                if not asset.is_deleted:
                    now = self.clock.now()
                    self.assets.save(asset.deleted(now, erase_again_at=now + LATE_WRITERS))
            except VersionConflictError:
                continue  # intake has settled it at this moment
            self._ask(asset)
            return
        raise VersionConflictError

    def _ask(self, asset: Asset) -> None:
        try:
            self.erasing.ask(asset.client_id, asset.id)
        except DomainError:
            logger.exception("a deletion will be late", extra={"asset_id": asset.id})  # the sweeper asks again


@dataclass(frozen=True)
class EraseService:
    """Erases what a deleted asset left behind, in two passes, and what was uploaded for no asset.

    The first pass, at once, ends its jobs and deletes its objects and its jobs' rows. The second, when nobody can write
    for it any more, deletes what came late and the asset's own row, which until then keeps new jobs out.
    """

    assets: AssetStore
    jobs: JobRepository
    audio: ObjectEraser
    work: ObjectEraser
    cancelling: CancelService
    outcomes: OutcomeService
    clock: Clock

    def erase(self, client_id: str, asset_id: str) -> bool:
        """Run one pass; returns whether it was the last. A living asset keeps the one version that it is made of."""
        asset = self.assets.get(client_id, asset_id)
        if asset is None:
            erased = self._erase_objects(client_id, asset_id)
            logger.info("erased what came too late", extra={"asset_id": asset_id, "versions": erased})
            return True
        if not asset.is_deleted:
            self._erase_others(asset)
            return True
        jobs = self.jobs.of_asset(client_id, asset_id)
        for job in jobs:
            self._end(job)
        if asset.multipart is not None:
            self.audio.abort(asset.multipart)
        erased = self._erase_objects(client_id, asset_id)
        # Those that were ended above and no others: a row that goes while its job lives leaves its slot behind.
        for job in jobs:
            self._remove(job)
        is_last = self.clock.now() - asset.updated_at >= LATE_WRITERS
        if is_last:
            self.assets.remove(asset)
        logger.info("erased", extra={"asset_id": asset_id, "versions": erased, "last": is_last})
        return is_last

    def _erase_objects(self, client_id: str, asset_id: str) -> int:
        erased = self.audio.erase(object_key_of(client_id, asset_id))
        erased += self.audio.erase(output_prefix_of(client_id, asset_id))
        return erased + self.work.erase(wet_prefix_of(client_id, asset_id))

    def _erase_others(self, asset: Asset) -> None:
        """Erase what else was uploaded: else the version that jobs read would be no current one, and expire."""
        if asset.is_waiting or asset.version_id is None:
            return
        erased = self.audio.erase_others(asset.object_key, version_id=asset.version_id)
        logger.info("erased what was uploaded after all", extra={"asset_id": asset.id, "versions": erased})

    def _end(self, job: Job) -> None:
        """End the job and tell so before its row goes: afterwards nobody could."""
        try:
            self.cancelling.cancel(job.client_id, job.id)
        except DomainError as error:
            if error.code not in {DomainErrorCode.ALREADY_FINISHED, DomainErrorCode.NOT_FOUND}:
                raise
        self.outcomes.tell(job.client_id, job.id)

    def _remove(self, job: Job) -> None:
        """Forget the job; the list it came from may be a moment older than its row."""
        stored = self.jobs.get(job.client_id, job.id)
        if stored is not None:
            self.jobs.remove(stored)
