"""Registering recordings and looking at them."""

from dataclasses import dataclass
from datetime import timedelta

from lambdas.core.assets import Asset, object_key_of
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.paging import Page, from_cursor, order_of, to_cursor
from lambdas.core.ports import AssetStore, AudioLinks, Clock, IdFactory
from lambdas.core.uploads import MAX_PUT_BYTES


@dataclass(frozen=True)
class CreateAsset:
    """What a client declares of a recording before it uploads it.

    Attributes
    ----------
    in_parts
        Whether it comes in parts that can be sent again one by one (`UploadService`) and not in one PUT.
    idempotency
        Names the asset, so that the same request twice makes one.
    waiting_job_id
        The enhancement that starts by itself afterwards.
    """

    client_id: str
    filename: str
    size_bytes: int
    content_type: str
    checksum_md5: str | None = None
    checksum_sha256: str | None = None
    in_parts: bool = False
    retain_hours: int | None = None
    idempotency: IdempotencyKey | None = None
    waiting_job_id: str | None = None


@dataclass(frozen=True)
class AssetView:
    """An asset and, while it waits for its bytes in one PUT, a fresh place to put them."""

    asset: Asset
    upload_url: str | None


@dataclass(frozen=True)
class AssetService:
    """Assets of one client at a time; the client's id comes from its credential, never from a body."""

    assets: AssetStore
    storage: AudioLinks
    clock: Clock
    ids: IdFactory

    def create(self, command: CreateAsset) -> AssetView:
        """Register a recording and say where to upload it.

        Raises
        ------
        DomainError
            PARAMETER_INVALID if it needs parts, IDEMPOTENCY_MISMATCH, ASSET_DELETED.
        """
        if command.size_bytes > MAX_PUT_BYTES:
            raise DomainError(DomainErrorCode.PARAMETER_INVALID, "too large for one PUT: upload it in parts")
        return self.view(registered(self.assets, new_asset(command, self.ids, self.clock)))

    def show(self, client_id: str, asset_id: str) -> AssetView:
        """Return the client's asset; raises `DomainError` NOT_FOUND."""
        return self.view(existing_asset(self.assets, client_id, asset_id))

    def page(self, client_id: str, *, limit: int, cursor: str | None = None) -> Page[Asset]:
        """Return some of the client's assets, newest first."""
        before = from_cursor(cursor) if cursor else None
        found = self.assets.newest(client_id, limit=limit + 1, before=before)
        shown = found[:limit]
        more = len(found) > limit
        return Page(shown, to_cursor(order_of(shown[-1].created_at, shown[-1].id)) if more else None)

    def view(self, asset: Asset) -> AssetView:
        """Return an asset with a fresh link where it waits for one PUT."""
        one_put = asset.is_waiting and asset.multipart is None and not asset.is_fetched
        return AssetView(asset, self.storage.upload_url(asset) if one_put else None)


def new_asset(command: CreateAsset, ids: IdFactory, clock: Clock) -> Asset:
    """Return the asset that a client has declared."""
    now, key = clock.now(), command.idempotency
    asset_id = key.derived_id("asset") if key else ids.new_id()
    return Asset(
        id=asset_id,
        client_id=command.client_id,
        filename=command.filename,
        size_bytes=command.size_bytes,
        content_type=command.content_type,
        checksum_md5=command.checksum_md5,
        checksum_sha256=command.checksum_sha256,
        object_key=object_key_of(command.client_id, asset_id),
        created_at=now,
        updated_at=now,
        waiting_job_id=command.waiting_job_id,
        retain_until=now + timedelta(hours=command.retain_hours) if command.retain_hours else None,
        request_sha256=key.request_sha256 if key else None,
    )


def registered(assets: AssetStore, asset: Asset) -> Asset:
    """Store a new asset, or return what the same request has made before.

    Raises
    ------
    DomainError
        IDEMPOTENCY_MISMATCH, or ASSET_DELETED where that was deleted since.
    """
    try:
        assets.add(asset)
    except VersionConflictError as conflict:
        known = assets.get(asset.client_id, asset.id)
        if known is None:  # it was forgotten at this very moment: the next try finds the name free
            raise
        if known.request_sha256 != asset.request_sha256:
            raise DomainError(DomainErrorCode.IDEMPOTENCY_MISMATCH) from conflict
        if known.is_deleted:
            raise DomainError(DomainErrorCode.ASSET_DELETED) from conflict
        return known
    return asset


def existing_asset(assets: AssetStore, client_id: str, asset_id: str) -> Asset:
    """Return the client's asset; raises `DomainError` NOT_FOUND, also where it is another client's or deleted."""
    asset = assets.get(client_id, asset_id)
    if asset is None or asset.is_deleted:
        raise DomainError(DomainErrorCode.NOT_FOUND)
    return asset
