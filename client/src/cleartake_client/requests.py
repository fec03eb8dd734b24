"""What is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cleartake_client.models import NO_OPTIONS, Options
from cleartake_client.reading import written


@dataclass(frozen=True)
class AssetSource:
    """A recording that has been uploaded."""

    asset_id: str

    def document(self) -> dict[str, Any]:
        """Return it as the service reads it."""
        return {"asset_id": self.asset_id}


@dataclass(frozen=True)
class UrlSource:
    """A recording at a public https URL; the URL may hold somebody's signature, so it is in no text of this value."""

    href: str = field(repr=False)
    filename: str | None = None

    def document(self) -> dict[str, Any]:
        """Return it as the service reads it."""
        return {"url": written(self)}


@dataclass(frozen=True)
class S3Source:
    """A recording in a bucket of yours.

    Attributes
    ----------
    uri
        ``s3://bucket/key``.
    role_arn
        The role that you lend for reading it.
    version_id
        None: the version that is current when it is fetched.
    filename
        None: the key's own.
    """

    uri: str
    role_arn: str
    version_id: str | None = None
    filename: str | None = None

    def document(self) -> dict[str, Any]:
        """Return it as the service reads it."""
        return {"s3": written(self)}


@dataclass(frozen=True)
class UploadSource:
    """A recording that is uploaded next."""

    filename: str
    size_bytes: int
    content_type: str
    checksum_md5: str | None = None
    checksum_sha256: str | None = None
    in_parts: bool = False

    def document(self) -> dict[str, Any]:
        """Return it as the service reads it."""
        return {"upload": written(self)}


FetchedSource = UrlSource | S3Source
"""The service fetches it."""

Source = AssetSource | FetchedSource | UploadSource


@dataclass(frozen=True)
class JobWebhook:
    """Where one enhancement's end is told; without a secret the answer shows one."""

    url: str
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Wish:
    """What shall be done with a recording.

    Attributes
    ----------
    strength
        How much of the noise is taken away, 0 to 100 percent, in steps of 0.1.
    model
        ``dfn3``; ``dfn3-hq`` is the best, ``dfn3-ll`` the quickest.
    reference
        Your own word for it.
    retain_hours
        Delete a new recording, and what was made of it, after so many hours.
    """

    strength: float = 90.0
    model: str = "dfn3"
    options: Options = NO_OPTIONS
    webhook: JobWebhook | None = None
    reference: str | None = None
    retain_hours: int | None = None

    def document(self, source: Source) -> dict[str, Any]:
        """Return the request for ``source`` as the service reads it."""
        wanted: Mapping[str, Any] = {
            "source": source.document(),
            "strength": self.strength,
            "model": self.model,
            "options": written(self.options),
            "webhook": written(self.webhook) if self.webhook else None,
            "reference": self.reference,
            # An asset that is there has a retention of its own.
            "retain_hours": None if isinstance(source, AssetSource) else self.retain_hours,
        }
        return {name: value for name, value in wanted.items() if value is not None}


DEFAULT_WISH = Wish()
