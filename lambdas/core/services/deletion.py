"""Deleting an asset with all that was made of it, or one enhancement alone."""

import logging
from dataclasses import dataclass, replace
from datetime import timedelta

from lambdas.core.assets import Asset, object_key_of, wet_prefix_of
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.jobs import Job, Tombstone, output_prefix_of, output_prefix_of_job
from lambdas.core.ports import AssetStore, Clock, EraseQueue, JobRepository, ObjectEraser, TombstoneStore
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
class EnhancementDeletion:
    """The client's side of deleting one enhancement: from the answer on, it is not there any more.

    Its recording stays, and so does what is kept of it for further strengths; so does what it counted in the usage.
    """

    jobs: JobRepository
    outcomes: OutcomeService
    erasing: EraseQueue
    clock: Clock

    def delete(self, client_id: str, job_id: str) -> None:
        """Delete an enhancement that has ended.

        Raises
        ------
        DomainError
            NOT_FOUND, or ENHANCEMENT_NOT_FINISHED.
        """
        for _ in range(TRIES):
            job = self.jobs.get(client_id, job_id)
            if job is None:
                raise DomainError(DomainErrorCode.NOT_FOUND)
            if not job.is_terminal:
                message = f"the enhancement has not ended, it is {job.status}: cancel it first"
                raise DomainError(DomainErrorCode.ENHANCEMENT_NOT_FINISHED, message)
            if self.outcomes.tell(client_id, job_id):
                continue  # afterwards nobody could; it has been written down in the row
            now = self.clock.now()
            try:
                self.jobs.bury(job, Tombstone.of(job, now, erase_again_at=now + LATE_WRITERS))
            except VersionConflictError:
                continue
            self._ask(job)
            return
        raise VersionConflictError

    def _ask(self, job: Job) -> None:
        try:
            self.erasing.ask_for_job(job.client_id, job.id)
        except DomainError:
            logger.exception("an erasing will be late", extra={"job_id": job.id})  # the sweeper asks again


@dataclass(frozen=True)
class EraseService:
    """Erases what a deleted asset or enhancement left behind, in two passes, and what was uploaded for no asset.

    The first pass, at once, ends an asset's jobs and deletes its objects and its jobs' rows. The second, when nobody
    can write for it any more, deletes what came late and the asset's own row, which until then keeps new jobs out. A
    bare row stays where an idempotency key could ask for its name again, as long as the asset would have.
    """

    assets: AssetStore
    jobs: JobRepository
    tombstones: TombstoneStore
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
        if is_last and asset.request_sha256:
            self.assets.save(asset.erased())
        elif is_last:
            self.assets.remove(asset)
        logger.info("erased", extra={"asset_id": asset_id, "versions": erased, "last": is_last})
        return is_last

    def erase_job(self, client_id: str, job_id: str) -> bool:
        """Run one pass over a deleted enhancement's results; returns whether it was the last."""
        buried = self.tombstones.get(client_id, job_id)
        if buried is None or buried.erase_again_at is None:
            return True
        erased = self.audio.erase(output_prefix_of_job(client_id, buried.asset_id, job_id))
        is_last = self.clock.now() - buried.deleted_at >= LATE_WRITERS
        if is_last and buried.keeps_a_key:
            self.tombstones.save(replace(buried, erase_again_at=None))
        elif is_last:
            self.tombstones.remove(buried)
        logger.info("erased", extra={"job_id": job_id, "versions": erased, "last": is_last})
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
        if stored is None:
            return
        buried = Tombstone.of(stored, self.clock.now(), erase_again_at=None)  # its asset's passes are its own
        if buried.keeps_a_key:
            self.jobs.bury(stored, buried)
        else:
            self.jobs.remove(stored)
