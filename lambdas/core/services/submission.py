"""Asking for an enhancement of a recording wherever it is: uploaded already, or about to be."""

from dataclasses import dataclass, replace

from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.jobs import Job
from lambdas.core.ports import IdFactory
from lambdas.core.services.assets import AssetService, AssetView, CreateAsset
from lambdas.core.services.enhancements import EnhancementService, Wish
from lambdas.core.services.sources import CreateFromSource, SourceService
from lambdas.core.services.uploads import UploadService
from lambdas.core.services.webhooks import WebhookService

Source = str | CreateAsset | CreateFromSource
"""An asset's id, what is going to be uploaded, or what is going to be fetched."""


@dataclass(frozen=True)
class JobWebhook:
    """Where one job's end is to be told, and where the API was reached; without a secret of its own it gets one."""

    url: str
    secret: str | None = None
    base_url: str = ""


@dataclass(frozen=True)
class Submitted:
    """The job; its asset where it was made together with it; its webhook's secret, which is never shown later."""

    job: Job
    asset: AssetView | None = None
    webhook_secret: str | None = None


@dataclass(frozen=True)
class SubmissionService:
    """One call for everything."""

    assets: AssetService
    uploads: UploadService
    sources: SourceService
    enhancements: EnhancementService
    webhooks: WebhookService
    ids: IdFactory

    def submit(self, client_id: str, source: Source, wish: Wish, webhook: JobWebhook | None = None) -> Submitted:
        """Ask for an enhancement.

        Raises
        ------
        DomainError
            As `EnhancementService.request`, `AssetService.create` and `WebhookService.for_job`.
        """
        named = wish.named(self.ids)
        if webhook is None:
            return self._submit(client_id, source, named)
        made = self.webhooks.for_job(
            client_id, named.job_id or "", url=webhook.url, secret=webhook.secret, base_url=webhook.base_url
        )
        submitted = self._submit(client_id, source, replace(named, webhook=made.endpoint))
        if named.idempotency is None:
            return replace(submitted, webhook_secret=made.secret)
        return replace(submitted, webhook_secret=self.webhooks.secret_to_show(made, given=webhook.secret))

    def _submit(self, client_id: str, source: Source, named: Wish) -> Submitted:
        if isinstance(source, str):
            return Submitted(self.enhancements.request(client_id, source, named))
        if source.client_id != client_id:
            raise DomainError(DomainErrorCode.INTERNAL, "an upload of another client")
        self.enhancements.check_name(client_id, named)  # else its asset would be made, or fetched, anew
        # The asset first: its client has no link before the answer, and a repeated request finds what is there.
        command = replace(source, waiting_job_id=named.job_id, idempotency=named.idempotency)
        if not isinstance(command, CreateAsset):
            return self._fetched(command, named)
        view = self.register(command)
        return Submitted(self.enhancements.expect(view.asset, named), view)

    def _fetched(self, command: CreateFromSource, wish: Wish) -> Submitted:
        """Have it fetched last: what comes of that, however soon, finds the job that waits for it."""
        asset = self.sources.register(command)
        job = self.enhancements.expect(asset, wish)
        try:
            asked = self.sources.ask(asset, command)
        except DomainError:
            self.enhancements.take_back(job)
            self.sources.take_back(asset, command)
            raise
        return Submitted(job, self.assets.view(asked))

    def register(self, command: CreateAsset | CreateFromSource) -> AssetView:
        """Register a recording, whichever way it is going to come."""
        if not isinstance(command, CreateAsset):
            return self.assets.view(self.sources.create(command))
        if command.in_parts:
            return self.assets.view(self.uploads.create(command))
        return self.assets.create(command)
