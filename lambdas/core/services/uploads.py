"""Uploads in parts: starting them, links to their parts, what has arrived, the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lambdas.core.assets import Asset
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.ports import AssetStore, Clock, IdFactory, MultipartUploads
from lambdas.core.retention import UNFINISHED_UPLOAD_KEPT
from lambdas.core.services.assets import CreateAsset, existing_asset, new_asset, registered
from lambdas.core.uploads import MAX_UPLOAD_BYTES, ArrivedPart, MultipartUpload, PartPlan

MAX_LINKS = 100
"""In one answer: each is a signature and a kilobyte."""

MAX_NAMED = 20
"""Missing parts that a refusal names; who wants them all asks for the progress."""

EXPIRED = "the upload was not finished in time: create the asset anew"


@dataclass(frozen=True)
class PartLink:
    """Where to PUT one part; its length and, if it was given, its MD5 are signed and must be sent."""

    number: int
    size_bytes: int
    url: str
    md5: str | None = None


@dataclass(frozen=True)
class UploadProgress:
    """What has arrived of an upload in parts, and the numbers of the parts that have not, or not whole."""

    asset: Asset
    plan: PartPlan
    arrived: tuple[ArrivedPart, ...] = ()
    missing: tuple[int, ...] = ()

    @property
    def arrived_bytes(self) -> int:
        """Bytes that need not be sent again."""
        return self.plan.size_bytes - sum(self.plan.size_of(number) for number in self.missing)


@dataclass(frozen=True)
class UploadService:
    """Uploads in parts of one client at a time. To abort one, delete its asset.

    S3 is asked where only S3 knows, and never for a link.
    """

    assets: AssetStore
    uploads: MultipartUploads
    clock: Clock
    ids: IdFactory

    def create(self, command: CreateAsset) -> Asset:
        """Register a recording that will come in parts.

        Raises
        ------
        DomainError
            PARAMETER_INVALID if it is too large, IDEMPOTENCY_MISMATCH, ASSET_DELETED.
        """
        if command.size_bytes > MAX_UPLOAD_BYTES:
            raise DomainError(DomainErrorCode.PARAMETER_INVALID, f"larger than {MAX_UPLOAD_BYTES} bytes")
        asset = new_asset(command, self.ids, self.clock)
        # S3 first: an upload without a row has no links, holds nothing and expires.
        upload_id = self.uploads.start(asset.object_key, asset.content_type)
        plan = PartPlan.of(asset.size_bytes)
        started = replace(asset, multipart=MultipartUpload(asset.object_key, upload_id, plan.part_size_bytes))
        return registered(self.assets, started)

    def links(
        self, client_id: str, asset_id: str, numbers: Sequence[int], *, md5: Mapping[int, str] | None = None
    ) -> list[PartLink]:
        """Return fresh links to parts, also to those that have arrived: what is sent again replaces what is there.

        Parameters
        ----------
        numbers
            At most `MAX_LINKS`.
        md5
            Part number → base64 of its MD5, so that S3 refuses a part that was damaged on its way.

        Raises
        ------
        DomainError
            NOT_FOUND, also of an asset that does not come in parts; ALREADY_FINISHED; UPLOAD_EXPIRED;
            PARAMETER_INVALID for too many numbers or one that no part has.
        """
        asset, upload, plan = self._in_parts(client_id, asset_id)
        if not asset.is_waiting:
            raise DomainError(DomainErrorCode.ALREADY_FINISHED, "the upload is finished")
        if self.clock.now() - asset.created_at >= UNFINISHED_UPLOAD_KEPT:
            raise DomainError(DomainErrorCode.UPLOAD_EXPIRED, EXPIRED)
        if len(numbers) > MAX_LINKS:
            raise DomainError(DomainErrorCode.PARAMETER_INVALID, f"more than {MAX_LINKS} parts at once")
        if unknown := [number for number in numbers if not plan.has(number)]:
            raise DomainError(DomainErrorCode.PARAMETER_INVALID, f"there is no part {unknown[0]}")
        digests = md5 or {}
        return [
            PartLink(
                number=number,
                size_bytes=plan.size_of(number),
                url=self.uploads.part_url(upload, number, size_bytes=plan.size_of(number), md5=digests.get(number)),
                md5=digests.get(number),
            )
            for number in numbers
        ]

    def progress(self, client_id: str, asset_id: str) -> UploadProgress:
        """Return what has arrived, so that an interrupted upload can go on; nothing is missing of a finished one.

        Raises
        ------
        DomainError
            NOT_FOUND or UPLOAD_EXPIRED.
        """
        asset, upload, plan = self._in_parts(client_id, asset_id)
        if not asset.is_waiting or (arrived := self._arrived(upload)) is None:
            return UploadProgress(asset, plan)
        return UploadProgress(asset, plan, tuple(arrived), plan.missing(arrived))

    def complete(self, client_id: str, asset_id: str) -> Asset:
        """Make the parts one recording, which intake then looks at; a second time changes nothing.

        Raises
        ------
        DomainError
            NOT_FOUND; ASSET_NOT_UPLOADED while parts are missing, or are shorter or longer than planned;
            UPLOAD_EXPIRED.
        """
        asset, upload, plan = self._in_parts(client_id, asset_id)
        if not asset.is_waiting or (arrived := self._arrived(upload)) is None:
            return asset
        if missing := plan.missing(arrived):
            raise DomainError(DomainErrorCode.ASSET_NOT_UPLOADED, _missing_message(missing), retryable=True)
        if not self.uploads.complete(upload, arrived):
            self._check_complete(upload)  # another call was a moment faster
        return asset

    def _in_parts(self, client_id: str, asset_id: str) -> tuple[Asset, MultipartUpload, PartPlan]:
        asset = existing_asset(self.assets, client_id, asset_id)
        if asset.multipart is None:
            raise DomainError(DomainErrorCode.NOT_FOUND, "the asset does not come in parts")
        return asset, asset.multipart, PartPlan(asset.size_bytes, asset.multipart.part_size_bytes)

    def _arrived(self, upload: MultipartUpload) -> Sequence[ArrivedPart] | None:
        """Return the parts that are there, None once they are one object; raises UPLOAD_EXPIRED."""
        arrived = self.uploads.arrived(upload)
        if arrived is None:
            self._check_complete(upload)
        return arrived

    def _check_complete(self, upload: MultipartUpload) -> None:
        if not self.uploads.is_complete(upload):
            raise DomainError(DomainErrorCode.UPLOAD_EXPIRED, EXPIRED)


def _missing_message(missing: Sequence[int]) -> str:
    named = ", ".join(str(number) for number in missing[:MAX_NAMED])
    rest = len(missing) - MAX_NAMED
    return f"parts have not arrived: {named}" + (f" and {rest} more" if rest > 0 else "")
