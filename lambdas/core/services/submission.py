"""Asking for an enhancement of a recording wherever it is: uploaded already, or about to be."""

from dataclasses import dataclass, replace

from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.jobs import Job
from lambdas.core.ports import IdFactory
from lambdas.core.services.assets import AssetService, AssetView, CreateAsset
from lambdas.core.services.enhancements import EnhancementService, Wish
from lambdas.core.services.uploads import UploadService

Source = str | CreateAsset
"""An asset's id, or what is going to be uploaded."""


@dataclass(frozen=True)
class Submitted:
    """The job, and the asset where it was made together with it: it says where to put the bytes."""

    job: Job
    asset: AssetView | None = None


@dataclass(frozen=True)
class SubmissionService:
    """One call for everything."""

    assets: AssetService
    uploads: UploadService
    enhancements: EnhancementService
    ids: IdFactory

    def submit(self, client_id: str, source: Source, wish: Wish) -> Submitted:
        """Ask for an enhancement.

        Raises
        ------
        DomainError
            As `EnhancementService.request` and `AssetService.create`.
        """
        if isinstance(source, str):
            return Submitted(self.enhancements.request(client_id, source, wish))
        if source.client_id != client_id:
            raise DomainError(DomainErrorCode.INTERNAL, "an upload of another client")
        # The asset first: its client has no link before the answer, and a repeated request finds what is there.
        key = wish.idempotency
        job_id = key.derived_id("job") if key else self.ids.new_id()
        view = self.register(replace(source, waiting_job_id=job_id, idempotency=key))
        return Submitted(self.enhancements.expect(view.asset, wish), view)

    def register(self, command: CreateAsset) -> AssetView:
        """Register a recording, whichever way it is going to come."""
        if command.in_parts:
            return self.assets.view(self.uploads.create(command))
        return self.assets.create(command)
