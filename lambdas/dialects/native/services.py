"""What the native routes need of the core."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from lambdas.core.ports import Clock, IdFactory, UsageStore
from lambdas.core.services.assets import AssetService
from lambdas.core.services.authentication import KeyAuthenticator
from lambdas.core.services.batches import BatchService
from lambdas.core.services.cancelling import CancelService
from lambdas.core.services.deletion import DeletionService, EnhancementDeletion
from lambdas.core.services.enhancements import DownloadService
from lambdas.core.services.listing import JobListing
from lambdas.core.services.rates import RateLimiter
from lambdas.core.services.submission import SubmissionService
from lambdas.core.services.uploads import UploadService
from lambdas.core.services.webhooks import WebhookService


@dataclass(frozen=True)
class NativeServices:
    """The core, as this dialect sees it; ``public_base_url`` is empty where links follow the request."""

    authenticator: KeyAuthenticator
    rates: RateLimiter
    assets: AssetService
    uploads: UploadService
    submissions: SubmissionService
    batches: BatchService
    listing: JobListing
    downloads: DownloadService
    cancelling: CancelService
    deletion: DeletionService
    enhancement_deletion: EnhancementDeletion
    usage: UsageStore
    webhooks: WebhookService
    clock: Clock
    ids: IdFactory
    sleep: Callable[[float], None]
    upload_url_ttl_s: int
    download_url_ttl_s: int
    public_base_url: str = ""

    @property
    def links_expire_at(self) -> datetime:
        """When a link for an upload that is made now is no good any more."""
        return self.clock.now() + timedelta(seconds=self.upload_url_ttl_s)


Services = Callable[[], NativeServices]
"""Called per request only, so that the routes can be read without any environment."""
