"""What Adobe's routes need of the core."""

from dataclasses import dataclass

from lambdas.core.services.assets import AssetService
from lambdas.core.services.authentication import Authenticator
from lambdas.core.services.enhancements import DownloadService, EnhancementService
from lambdas.core.services.rates import RateLimiter


@dataclass(frozen=True)
class AdobeServices:
    """The core, as this dialect sees it; ``public_base_url`` is empty where links follow the request."""

    authenticator: Authenticator
    rates: RateLimiter
    assets: AssetService
    enhancements: EnhancementService
    downloads: DownloadService
    public_base_url: str = ""
