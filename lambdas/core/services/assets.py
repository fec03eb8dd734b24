"""Registering recordings and looking at them."""

from dataclasses import dataclass
from datetime import datetime

from lambdas.core.assets import Asset, AutoEnhance, object_key_of
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.ports import AssetStore, AudioLinks, Clock, IdFactory
from lambdas.core.uploads import MAX_PUT_BYTES


@dataclass(frozen=True)
class CreateAsset:
    """What a client declares of a recording before it uploads it; ``auto_enhance`` starts by itself afterwards."""

    client_id: str
    filename: str
    size_bytes: int
    content_type: str
    checksum_md5: str | None = None
    auto_enhance: AutoEnhance | None = None
    checksum_sha256: str | None = None


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
        """Register a recording and say where to upload it; `DomainError` PARAMETER_INVALID if it needs parts."""
        if command.size_bytes > MAX_PUT_BYTES:
            raise DomainError(DomainErrorCode.PARAMETER_INVALID, "too large for one PUT: upload it in parts")
        asset = new_asset(command, asset_id=self.ids.new_id(), now=self.clock.now())
        self.assets.add(asset)
        return self._view(asset)

    def show(self, client_id: str, asset_id: str) -> AssetView:
        """Return the client's asset; raises `DomainError` NOT_FOUND."""
        return self._view(existing_asset(self.assets, client_id, asset_id))

    def _view(self, asset: Asset) -> AssetView:
        one_put = asset.is_waiting and asset.multipart is None and not asset.is_fetched
        return AssetView(asset, self.storage.upload_url(asset) if one_put else None)


def new_asset(command: CreateAsset, *, asset_id: str, now: datetime) -> Asset:
    """Return the asset that a client has declared."""
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
        auto_enhance=command.auto_enhance,
    )


def existing_asset(assets: AssetStore, client_id: str, asset_id: str) -> Asset:
    """Return the client's asset; raises `DomainError` NOT_FOUND, also where it is another client's or deleted."""
    asset = assets.get(client_id, asset_id)
    if asset is None or asset.is_deleted:
        raise DomainError(DomainErrorCode.NOT_FOUND)
    return asset
