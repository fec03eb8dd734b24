"""What the routes of Adobe's version 2 need of the core."""

from dataclasses import dataclass

from lambdas.core.services.assets import AssetService
from lambdas.core.services.authentication import Authenticator
from lambdas.core.services.deletion import DeletionService
from lambdas.core.services.enhancements import DownloadService, EnhancementService
from lambdas.core.services.rates import RateLimiter


@dataclass(frozen=True)
class AdobeV2Services:
    """The core, as this dialect sees it."""

    authenticator: Authenticator
    rates: RateLimiter
    assets: AssetService
    enhancements: EnhancementService
    downloads: DownloadService
    deletion: DeletionService
