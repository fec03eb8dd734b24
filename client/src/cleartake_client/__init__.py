"""Typed client of a Cleartake service.

>>> from cleartake_client import Client, Wish
>>> with Client("https://api.example.com", "<client id>.<secret>") as client:  # doctest: +SKIP
...     done = client.enhance("talk.mp3", Wish(strength=90))
...     client.enhancements.download(done.id, Path("enhanced"))
"""

from cleartake_client.calls import RetryPolicy
from cleartake_client.client import Client
from cleartake_client.credentials import ApiKey, ClientCredentials
from cleartake_client.errors import (
    ApiError,
    AssetRefusedError,
    CleartakeError,
    EnhancementError,
    FieldError,
    RefusedItemError,
    StorageError,
    UnreachableError,
    UploadInterruptedError,
    WaitTimeoutError,
)
from cleartake_client.files import MEDIA_TYPES, media_type_of
from cleartake_client.flows import Recording
from cleartake_client.many import Outcome
from cleartake_client.models import (
    Asset,
    Audio,
    Batch,
    BatchItem,
    Delivery,
    Enhancement,
    Fault,
    Options,
    Upload,
    UploadProgress,
    Usage,
    UsageDay,
    Webhook,
)
from cleartake_client.reading import UnreadableAnswerError
from cleartake_client.requests import AssetSource, FetchedSource, JobWebhook, S3Source, UploadSource, UrlSource, Wish

__all__ = [
    "MEDIA_TYPES",
    "ApiError",
    "ApiKey",
    "Asset",
    "AssetRefusedError",
    "AssetSource",
    "Audio",
    "Batch",
    "BatchItem",
    "CleartakeError",
    "Client",
    "ClientCredentials",
    "Delivery",
    "Enhancement",
    "EnhancementError",
    "Fault",
    "FetchedSource",
    "FieldError",
    "JobWebhook",
    "Options",
    "Outcome",
    "Recording",
    "RefusedItemError",
    "RetryPolicy",
    "S3Source",
    "StorageError",
    "UnreachableError",
    "UnreadableAnswerError",
    "Upload",
    "UploadInterruptedError",
    "UploadProgress",
    "UploadSource",
    "UrlSource",
    "Usage",
    "UsageDay",
    "WaitTimeoutError",
    "Webhook",
    "Wish",
    "media_type_of",
]
