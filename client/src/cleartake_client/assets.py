"""Recordings: announced, uploaded in one piece or in parts, shown, listed, deleted."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from cleartake_client.calls import Call, Caller
from cleartake_client.errors import ApiError, AssetRefusedError, StorageError, UnreachableError, WaitTimeoutError
from cleartake_client.files import LocalFile
from cleartake_client.models import Asset, Parts, Upload, UploadProgress
from cleartake_client.paging import pages
from cleartake_client.parts import PartsUpload
from cleartake_client.reading import read, written
from cleartake_client.requests import FetchedSource, UploadSource
from cleartake_client.resume import UploadNotes
from cleartake_client.storage import Advance, put, silent

ASSETS = "/v1/assets"

FIRST_LOOK_S, LONGEST_LOOK_S = 0.2, 5.0
SETTLED_WITHIN_S = 900.0
"""The service may have to read all of a large file twice, or to fetch it first."""


@dataclass(frozen=True)
class Assets:
    """Recordings of one client."""

    caller: Caller
    http: httpx.Client
    notes: UploadNotes

    def upload(
        self,
        path: str | os.PathLike[str],
        *,
        content_type: str | None = None,
        retain_hours: int | None = None,
        in_parts: bool | None = None,
        idempotency_key: str | None = None,
        on_progress: Advance = silent,
    ) -> Asset:
        """Upload a file and return its asset once the service has found it good.

        A large file goes in parts. Where that is interrupted, the same call goes on with what is missing, also in a
        later process: the file's path, size and time have to be the same, its checksum, and what is asked for.

        Parameters
        ----------
        content_type
            Media type, where the file's name does not say it.
        in_parts
            None: from `IN_PARTS_FROM_BYTES` on.
        idempotency_key
            Your own name for this upload: whoever sends the file again under it, from another machine say, goes on with
            the same asset.

        Raises
        ------
        AssetRefusedError
            What has arrived is not what was sent, or no recording that can be enhanced.
        UploadInterruptedError, StorageError, UnreachableError, ApiError
            It has not arrived.
        OSError
            The file cannot be read.
        """
        file = LocalFile.of(Path(path), content_type)
        divided = file.is_large if in_parts is None else in_parts
        announced = file.announced(on_progress, in_parts=divided)
        if divided:
            return self._upload_parts(file, announced, retain_hours, idempotency_key, on_progress)
        asset = self.create(announced, retain_hours=retain_hours, idempotency_key=idempotency_key)
        self.send(file, asset.id, asset.upload, on_progress)
        return self.wait(asset.id)

    def fetch(
        self,
        source: FetchedSource,
        *,
        retain_hours: int | None = None,
        idempotency_key: str | None = None,
        timeout_s: float = SETTLED_WITHIN_S,
    ) -> Asset:
        """Have a recording fetched from a URL or a bucket, and return its asset once the service has found it good.

        Raises
        ------
        AssetRefusedError
            It could not be fetched, or is no recording that can be enhanced.
        WaitTimeoutError
            It is still being fetched.
        UnreachableError, ApiError
            Of any call.
        """
        asset = self.create(source, retain_hours=retain_hours, idempotency_key=idempotency_key)
        return self.wait(asset.id, timeout_s=timeout_s)

    def create(
        self,
        source: UploadSource | FetchedSource,
        *,
        retain_hours: int | None = None,
        idempotency_key: str | None = None,
    ) -> Asset:
        """Announce a recording; the answer says where to put it, unless it comes in parts or is fetched."""
        described = written(source) if isinstance(source, UploadSource) else source.document()
        body = {**described, **({} if retain_hours is None else {"retain_hours": retain_hours})}
        return read(Asset, self.caller.json(Call("POST", ASSETS, body, idempotency_key=idempotency_key)))

    def get(self, asset_id: str) -> Asset:
        """Return a recording."""
        return read(Asset, self.caller.json(Call("GET", f"{ASSETS}/{asset_id}")))

    def list(self, *, page_size: int = 50) -> Iterator[Asset]:
        """Yield all recordings, newest first; pages are fetched as they are needed."""
        return pages(self.caller, ASSETS, Asset, page_size=page_size)

    def delete(self, asset_id: str) -> None:
        """Delete a recording and all that was made of it."""
        self.caller.json(Call("DELETE", f"{ASSETS}/{asset_id}"))

    def wait(self, asset_id: str, *, timeout_s: float = SETTLED_WITHIN_S) -> Asset:
        """Return a recording once the service has looked at its bytes.

        Raises
        ------
        AssetRefusedError
            It is no good.
        WaitTimeoutError
            Nothing was found out within ``timeout_s``.
        """
        deadline, look_s = time.monotonic() + timeout_s, FIRST_LOOK_S
        while (asset := self.get(asset_id)).is_waiting:
            if time.monotonic() > deadline:
                raise WaitTimeoutError(f"asset {asset_id} was not looked at within {timeout_s:.0f} s")
            self.caller.retry.sleep(look_s)
            look_s = min(look_s * 1.5, LONGEST_LOOK_S)
        if asset.status != "ready":
            raise AssetRefusedError(asset)
        return asset

    def send(self, file: LocalFile, asset_id: str, upload: Upload | None, advance: Advance = silent) -> None:
        """PUT a file whole; a link that has expired, or a line that broke, gets a new attempt with a new link.

        Raises
        ------
        StorageError, UnreachableError
            It has not arrived.
        """
        attempt, link = 1, upload
        while link is not None:  # None: another attempt's bytes have arrived after all
            try:
                return put(self.http, link.url, link.headers, file.blocks(advance), file.size_bytes)
            except (StorageError, UnreachableError):
                if not self.caller.retry.allows(attempt):
                    raise
                self.caller.retry.sleep(self.caller.retry.pause_s(attempt))
            attempt, link = attempt + 1, self.get(asset_id).upload
        return None

    def progress(self, asset_id: str) -> UploadProgress:
        """Return what has arrived of a recording that comes in parts."""
        return read(UploadProgress, self.caller.json(Call("GET", f"{ASSETS}/{asset_id}/parts")))

    def link_parts(self, asset_id: str, md5: dict[int, str]) -> Parts:
        """Return links to parts (number → base64 of the part's MD5, which storage checks)."""
        body = {"numbers": list(md5), "md5": {str(number): digest for number, digest in md5.items()}}
        return read(Parts, self.caller.json(Call("POST", f"{ASSETS}/{asset_id}/parts", body)))

    def complete(self, asset_id: str) -> Asset:
        """Finish an upload whose parts are all there; a second time changes nothing."""
        return read(Asset, self.caller.json(Call("POST", f"{ASSETS}/{asset_id}/complete")))

    def _upload_parts(
        self,
        file: LocalFile,
        announced: UploadSource,
        retain_hours: int | None,
        idempotency_key: str | None,
        advance: Advance,
    ) -> Asset:
        # Under a key the service itself knows the asset; another one, of a note, would be another request.
        asset = None if idempotency_key else self._under_way(file, announced, retain_hours)
        if asset is None:
            asset = self.create(announced, retain_hours=retain_hours, idempotency_key=idempotency_key)
            if idempotency_key is None:
                self.notes.keep(file, asset.id, retain_hours)
        if asset.is_waiting:
            self._send_parts(file, asset.id, advance)
        try:
            settled = self.wait(asset.id)
        except AssetRefusedError:
            self.notes.drop(file)  # there is nothing to go on with
            raise
        self.notes.drop(file)
        return settled

    def _send_parts(self, file: LocalFile, asset_id: str, advance: Advance) -> None:
        progress = self.progress(asset_id)
        PartsUpload(
            file, progress, lambda md5: self.link_parts(asset_id, md5), self.http, self.caller.retry, advance
        ).run()
        self.complete(asset_id)

    def _under_way(self, file: LocalFile, announced: UploadSource, retain_hours: int | None) -> Asset | None:
        """Return the asset that an earlier process has begun with; None if there is none that can be gone on with."""
        asset_id = self.notes.find(file, retain_hours)
        if asset_id is None:
            return None
        try:
            asset = self.get(asset_id)
            if asset.is_waiting:
                self.progress(asset_id)  # refused once the upload's time is over
        except ApiError as error:
            if error.retryable:
                raise
            return None
        is_same = (asset.checksum_sha256, asset.size_bytes) == (announced.checksum_sha256, announced.size_bytes)
        return asset if is_same and asset.status != "invalid" else None
