"""From a recording, wherever it is, to its enhancement: what takes several calls."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cleartake_client.assets import Assets
from cleartake_client.enhancements import LONGEST_POLL_S, Enhancements
from cleartake_client.errors import CleartakeError, EnhancementError
from cleartake_client.files import LocalFile
from cleartake_client.models import Enhancement
from cleartake_client.requests import AssetSource, FetchedSource, S3Source, Source, UrlSource, Wish
from cleartake_client.storage import Advance, silent

Recording = str | os.PathLike[str] | AssetSource | FetchedSource
"""A file's path, a URL (with ``://``), an asset's identifier (a UUID), or a source in so many words."""

WATCH_S = 3
"""How long one call is held where somebody watches the progress: four at once keep within the service's limit."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Prepared:
    """What is asked for, and the file that has to be sent afterwards."""

    source: Source
    file: LocalFile | None = None


@dataclass(frozen=True)
class Flow:
    """The way of one recording."""

    assets: Assets
    enhancements: Enhancements

    def start(
        self, recording: Recording, wish: Wish, *, idempotency_key: str | None = None, advance: Advance = silent
    ) -> Enhancement:
        """Ask for an enhancement, and send the file if it is one."""
        prepared = self.prepare(recording, wish, advance, idempotency_key=idempotency_key)
        made = self.enhancements.create(prepared.source, wish, idempotency_key=idempotency_key)
        self.send(prepared, made, advance)
        return made

    def prepare(
        self, recording: Recording, wish: Wish, advance: Advance = silent, *, idempotency_key: str | None = None
    ) -> Prepared:
        """Find out what a recording is. A large file is uploaded here, so that it can be gone on with later."""
        if isinstance(recording, AssetSource | UrlSource | S3Source):
            return Prepared(recording)
        if isinstance(recording, str) and recording.startswith("s3://"):
            raise CleartakeError(f"{recording} is read under a role that you lend: S3Source(uri, role_arn)")
        if isinstance(recording, str) and "://" in recording:
            return Prepared(UrlSource(recording))
        if isinstance(recording, str) and _UUID.fullmatch(recording):
            return Prepared(AssetSource(recording))
        file = LocalFile.of(Path(recording))
        if not file.is_large:
            return Prepared(file.announced(advance, in_parts=False), file)
        asset = self.assets.upload(
            file.path,
            retain_hours=wish.retain_hours,
            idempotency_key=_name_of_the_asset(idempotency_key) if idempotency_key else None,
            on_progress=advance,
        )
        return Prepared(AssetSource(asset.id))

    def send(self, prepared: Prepared, made: Enhancement, advance: Advance = silent) -> None:
        """Send the file of an enhancement that waits for it."""
        if prepared.file is not None:
            self.assets.send(prepared.file, made.asset_id, made.upload, advance)

    def finish(self, made: Enhancement, *, timeout_s: float | None = None, advance: Advance = silent) -> Enhancement:
        """Wait for an enhancement to succeed; raises `EnhancementError` where it does not."""
        done = self.enhancements.wait(
            made.id,
            timeout_s=timeout_s,
            poll_s=LONGEST_POLL_S if advance is silent else WATCH_S,
            on_update=lambda seen: advance("enhance", seen.progress_percent / 100),
        )
        if done.status != "succeeded":
            raise EnhancementError(done)
        return done


def _name_of_the_asset(idempotency_key: str) -> str:
    """Return another name for what is made under the same key; as long as any, however long the key is."""
    return hashlib.sha256(f"{idempotency_key}/asset".encode()).hexdigest()
