"""The public REST API (Adobe's face) as a client sees it: a token, then assets and enhancements."""

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import httpx

MEDIA_TYPES = {
    ".aac": "audio/aac",
    ".aif": "audio/x-aiff",
    ".aiff": "audio/x-aiff",
    ".flac": "audio/flac",
    ".m4a": "audio/m4a",
    ".mp3": "audio/mpeg",
    ".mp4": "audio/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/opus",
    ".wav": "audio/wav",
}

BLOCK_BYTES = 256 * 1024
FIRST_POLL_S, LONGEST_POLL_S = 0.1, 2.0
PATIENCE_S = 3600.0
TOO_MANY_REQUESTS = httpx.codes.TOO_MANY_REQUESTS

Advance = Callable[[float], None]
"""Told the share of a step that is done, 0 to 1."""


class ApiError(Exception):
    """The service refused, or an enhancement failed; the message is for people."""


@dataclass(frozen=True)
class Access:
    """Where the service is and who calls it."""

    base_url: str
    client_id: str
    client_secret: str


@dataclass(frozen=True)
class Api:
    """A signed-in client; its methods may be called from several threads."""

    http: httpx.Client
    base_url: str
    client_id: str
    token: str

    @classmethod
    def sign_in(cls, http: httpx.Client, access: Access) -> "Api":
        """Get a token for ``access``."""
        form = {
            "grant_type": "client_credentials",
            "client_id": access.client_id,
            "client_secret": access.client_secret,
            "scope": "openid",
        }
        answer = http.post(f"{access.base_url}/ims/token/v3", data=form)
        _require_success(answer)
        return cls(http, access.base_url, access.client_id, str(answer.json()["access_token"]))

    def create_asset(self, path: Path, media_type: str) -> dict[str, Any]:
        """Announce a file; the answer holds the ``upload_url``."""
        body = {
            "filename": path.name,
            "byte_size": path.stat().st_size,
            "content_type": media_type,
            "checksum": md5_base64(path),
        }
        return self.call("POST", "/audio_services/v1/assets", json=body)

    def upload(self, path: Path, asset: dict[str, Any], advance: Advance) -> None:
        """PUT the bytes straight to storage."""
        size_bytes = path.stat().st_size
        headers = {
            "Content-Type": asset["content_type"],
            "Content-MD5": asset["checksum"],
            "Content-Length": str(size_bytes),
        }
        answer = self.http.put(asset["upload_url"], headers=headers, content=_blocks(path, size_bytes, advance))
        if answer.is_error:
            raise ApiError(f"the upload was refused ({answer.status_code})")

    def wait_until_ready(self, asset_id: str) -> None:
        """Wait until the service has looked at the bytes."""
        asset = self._poll(f"/audio_services/v1/assets/{asset_id}", pending={"waiting_for_upload"})
        if asset["status"] != "ready_for_processing":
            raise ApiError("the file holds no audio that can be enhanced")

    def enhance(self, asset_id: str, strength: int, advance: Advance) -> str:
        """Enhance an asset; return the address of the result."""
        collection = f"/audio_services/v1/assets/{asset_id}/speech_enhancements"
        created = self.call("POST", collection, json={"strength": strength})
        path = f"{collection}/{created['id']}"
        done = self._poll(path, pending={"queued", "processing"}, advance=advance)
        if done["status"] != "succeeded":
            raise ApiError("the enhancement failed")
        return path + "/download"

    def download(self, path: str, folder: Path, advance: Advance) -> Path:
        """Save the result in ``folder`` under the name the service gives it."""
        answer = self._request("GET", path)
        if not answer.has_redirect_location:
            raise ApiError(f"the download answered {answer.status_code} instead of a redirect")
        # The link carries its own signature: our token stays out of it.
        with self.http.stream("GET", answer.headers["location"]) as result:
            _require_success(result)
            target = folder / _filename(result)
            partial = target.with_name(target.name + ".part")
            size_bytes = int(result.headers.get("content-length", 0))
            with partial.open("wb") as file:
                for block in result.iter_bytes(BLOCK_BYTES):
                    file.write(block)
                    advance(file.tell() / size_bytes if size_bytes else 0.0)
            partial.replace(target)
        return target

    def _poll(self, path: str, *, pending: set[str], advance: Advance | None = None) -> dict[str, Any]:
        """GET ``path`` until its status is not ``pending`` any more, at growing intervals."""
        began, interval_s = time.monotonic(), FIRST_POLL_S
        while time.monotonic() - began < PATIENCE_S:
            answer = self.call("GET", path)
            if answer["status"] not in pending:
                return answer
            if advance:
                # The Adobe face tells no progress: approach the end without ever reaching it.
                waited_s = time.monotonic() - began
                advance(waited_s / (waited_s + 10.0))
            time.sleep(interval_s)
            interval_s = min(interval_s * 1.3, LONGEST_POLL_S)
        raise ApiError(f"no result within {PATIENCE_S / 60:.0f} minutes")

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Return the JSON of one call; raises `ApiError` where it is refused."""
        answer = self._request(method, path, **request)
        body: dict[str, Any] = answer.json()
        return body

    def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"x-api-key": self.client_id, "Authorization": f"Bearer {self.token}"}
        while True:
            answer = self.http.request(method, self.base_url + path, headers=headers, **request)
            if answer.status_code != TOO_MANY_REQUESTS:
                break
            time.sleep(float(answer.headers.get("retry-after", LONGEST_POLL_S)))
        _require_success(answer)
        return answer


def media_type_of(path: Path) -> str:
    """Return the media type for a file name; raises `ApiError` for a suffix the service does not take."""
    try:
        return MEDIA_TYPES[path.suffix.lower()]
    except KeyError:
        raise ApiError(f"not an audio file by its name; known: {' '.join(sorted(MEDIA_TYPES))}") from None


def md5_base64(path: Path) -> str:
    """Return the checksum as ``Content-MD5`` spells it."""
    with path.open("rb") as file:
        return base64.b64encode(hashlib.file_digest(file, _md5).digest()).decode()


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)


def _blocks(path: Path, size_bytes: int, advance: Advance) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
            advance(file.tell() / size_bytes)


def _require_success(answer: httpx.Response) -> None:
    if not answer.is_error:
        return
    answer.read()
    try:
        body = answer.json()
        message = body.get("message") or body.get("error_description") or body.get("error")
    except (ValueError, AttributeError):
        message = None
    raise ApiError(f"{message or 'the service refused'} (HTTP {answer.status_code})")


def _filename(answer: httpx.Response) -> str:
    """Return the name in Content-Disposition, reduced to a plain file name."""
    disposition = Message()
    disposition["Content-Disposition"] = answer.headers.get("content-disposition", "")
    name = Path(disposition.get_filename() or "").name
    if name in {"", ".", ".."}:
        raise ApiError("the result came without a file name")
    return name
