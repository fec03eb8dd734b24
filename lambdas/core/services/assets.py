"""Registering recordings and looking at them."""

from dataclasses import dataclass

from lambdas.core.assets import Asset, AutoEnhance, object_key_of
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.ports import AssetStore, AudioLinks, Clock, IdFactory


@dataclass(frozen=True)
class CreateAsset:
    """What a client declares of a recording before it uploads it; ``auto_enhance`` starts by itself afterwards."""

    client_id: str
    filename: str
    size_bytes: int
    content_type: str
    checksum_md5: str | None = None
    auto_enhance: AutoEnhance | None = None


@dataclass(frozen=True)
class AssetView:
    """An asset and, while it waits for its bytes, a fresh place to put them."""

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
        """Register a recording and say where to upload it."""
        now, asset_id = self.clock.now(), self.ids.new_id()
        asset = Asset(
            id=asset_id,
            client_id=command.client_id,
            filename=command.filename,
            size_bytes=command.size_bytes,
            content_type=command.content_type,
            checksum_md5=command.checksum_md5,
            object_key=object_key_of(command.client_id, asset_id),
            created_at=now,
            updated_at=now,
            auto_enhance=command.auto_enhance,
        )
        self.assets.add(asset)
        return self._view(asset)

    def show(self, client_id: str, asset_id: str) -> AssetView:
        """Return the client's asset; raises `DomainError` NOT_FOUND."""
        return self._view(existing_asset(self.assets, client_id, asset_id))

    def _view(self, asset: Asset) -> AssetView:
        return AssetView(asset, self.storage.upload_url(asset) if asset.is_waiting else None)


def existing_asset(assets: AssetStore, client_id: str, asset_id: str) -> Asset:
    """Return the client's asset; raises `DomainError` NOT_FOUND, also where it is another client's or deleted."""
    asset = assets.get(client_id, asset_id)
    if asset is None or asset.is_deleted:
        raise DomainError(DomainErrorCode.NOT_FOUND)
    return asset
