"""An asset: one uploaded recording of one client, and the two ways its upload can end."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from gpu_container.contract import AudioFacts, Dereverb
from lambdas.core.uploads import MultipartUpload


class AssetStatus(StrEnum):
    """Stored; append-only."""

    WAITING_FOR_UPLOAD = "waiting_for_upload"
    READY = "ready"
    INVALID = "invalid"
    DELETED = "deleted"


@dataclass(frozen=True)
class Asset:
    """One recording.

    Attributes
    ----------
    checksum_md5, checksum_sha256
        Base64 of what the client declared, or None. S3 refuses other bytes in a single PUT; of an upload in parts S3
        knows neither, so intake has it verified.
    multipart
        Set where the upload goes in parts.
    erase_again_at
        Of a deleted asset: when to erase once more, if it is still here then; None once all of it is erased.
    is_fetched
        True where we fetch the bytes from a URL; size and type are unknown until they are here.
    fetch_asked_at
        When they were asked for: the queue has them since, and nobody needs to ask again.
    object_key, version_id
        Where the bytes are; the version is pinned by intake, so a later PUT to the same URL changes nothing.
    waiting_job_id
        The enhancement that was asked for together with the upload and starts by itself when the bytes are good.
    retain_until
        When it is deleted with all that was made of it, where its client wants that earlier than the deployment does.
    request_sha256
        Of the request that made it, where the client gave an idempotency key.
    version
        Counts writes; every write is conditional on it.
    """

    id: str
    client_id: str
    filename: str
    size_bytes: int
    content_type: str
    checksum_md5: str | None
    object_key: str
    created_at: datetime
    updated_at: datetime
    status: AssetStatus = AssetStatus.WAITING_FOR_UPLOAD
    version_id: str | None = None
    facts: AudioFacts | None = None
    error_code: str | None = None
    error_message: str | None = None
    waiting_job_id: str | None = None
    retain_until: datetime | None = None
    request_sha256: str | None = None
    checksum_sha256: str | None = None
    multipart: MultipartUpload | None = None
    erase_again_at: datetime | None = None
    is_fetched: bool = False
    fetch_asked_at: datetime | None = None
    version: int = 1

    @property
    def is_waiting(self) -> bool:
        """True until the upload has been settled either way."""
        return self.status is AssetStatus.WAITING_FOR_UPLOAD

    @property
    def is_deleted(self) -> bool:
        """True once the client has deleted it: what is left is a note to erase what it made."""
        return self.status is AssetStatus.DELETED

    def arrived(self, *, size_bytes: int, content_type: str, now: datetime) -> "Asset":
        """Return a fetched asset as it is once its bytes are here: nobody had declared them."""
        return replace(self, size_bytes=size_bytes, content_type=content_type, updated_at=now)

    def ready(self, *, facts: AudioFacts, version_id: str | None, now: datetime) -> "Asset":
        """Return the asset as it is once its bytes have been probed and found good."""
        return replace(self, status=AssetStatus.READY, facts=facts, version_id=version_id, updated_at=now)

    def invalid(self, *, error_code: str, error_message: str, version_id: str | None, now: datetime) -> "Asset":
        """Return the asset as it is once its bytes have been found not to be usable audio."""
        return replace(
            self,
            status=AssetStatus.INVALID,
            error_code=error_code,
            error_message=error_message,
            version_id=version_id,
            updated_at=now,
        )

    def deleted(self, now: datetime, *, erase_again_at: datetime) -> "Asset":
        """Return the asset as it is from the client's wish to the end of the erasing."""
        return replace(self, status=AssetStatus.DELETED, updated_at=now, erase_again_at=erase_again_at)

    def erased(self) -> "Asset":
        """Return what stays of a deleted asset whose name an idempotency key can ask for again: nothing it said."""
        return replace(
            self,
            filename="",
            size_bytes=0,
            content_type="",
            checksum_md5=None,
            checksum_sha256=None,
            facts=None,
            error_code=None,
            error_message=None,
            multipart=None,
            erase_again_at=None,
        )


def object_key_of(client_id: str, asset_id: str) -> str:
    """Return the key a client's upload is stored under."""
    return f"in/{client_id}/{asset_id}"


def wet_prefix_of(client_id: str, asset_id: str) -> str:
    """Return what the keys of all fully enhanced signals of an asset begin with."""
    return f"wet/{client_id}/{asset_id}/"


def wet_key_of(asset: Asset, model: str, dereverb: Dereverb) -> str:
    """Return where the fully enhanced signal of an asset's pinned bytes is kept: one for all strengths."""
    return f"{wet_prefix_of(asset.client_id, asset.id)}{asset.version_id}/{model}-{dereverb}"


def ids_from_object_key(key: str) -> tuple[str, str] | None:
    """Return ``(client_id, asset_id)`` of an upload's key, or None if the key is not an upload's."""
    match key.split("/"):
        case ["in", client_id, asset_id] if client_id and asset_id:
            return client_id, asset_id
        case _:
            return None
