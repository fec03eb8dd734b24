"""Adobe's face of the service as one of its clients sees it: what smoke test, drills and benchmarks measure.

The command line has the native API, and its own client of it: `cleartake_client`.
"""

import base64
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cleartake_client import CleartakeError
from cleartake_client.storage import BLOCK_BYTES, save, silent
from scripts.local.paths import Cloud
from scripts.local.tenants import Credentials

FIRST_POLL_S, LONGEST_POLL_S = 0.1, 2.0
PATIENCE_S = 3600.0
TOO_MANY_REQUESTS = httpx.codes.TOO_MANY_REQUESTS


class ApiError(CleartakeError):
    """The service refused, or an enhancement failed; the message is for people."""


@dataclass(frozen=True)
class Access:
    """Where the service is and who calls it."""

    base_url: str
    client_id: str
    client_secret: str


def local_access() -> Access:
    """Return the first client of the local cloud; raises `LauncherError` where there is none."""
    known = Credentials.require(Cloud.from_environment().credentials_file)
    return Access(known.base_url, known.client_id, known.client_secret)


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

    def upload(self, path: Path, asset: dict[str, Any]) -> None:
        """PUT the bytes straight to storage."""
        headers = {
            "Content-Type": asset["content_type"],
            "Content-MD5": asset["checksum"],
            "Content-Length": str(path.stat().st_size),
        }
        answer = self.http.put(asset["upload_url"], headers=headers, content=_blocks(path))
        if answer.is_error:
            raise ApiError(f"the upload was refused ({answer.status_code})")

    def wait_until_ready(self, asset_id: str) -> None:
        """Wait until the service has looked at the bytes."""
        asset = self._poll(f"/audio_services/v1/assets/{asset_id}", pending={"waiting_for_upload"})
        if asset["status"] != "ready_for_processing":
            raise ApiError("the file holds no audio that can be enhanced")

    def enhance(self, asset_id: str, strength: int) -> str:
        """Enhance an asset; return the address of the result."""
        collection = f"/audio_services/v1/assets/{asset_id}/speech_enhancements"
        created = self.call("POST", collection, json={"strength": strength})
        path = f"{collection}/{created['id']}"
        done = self._poll(path, pending={"queued", "processing"})
        if done["status"] != "succeeded":
            raise ApiError("the enhancement failed")
        return path + "/download"

    def download(self, path: str, folder: Path) -> Path:
        """Save the result in ``folder`` under the name the service gives it."""
        answer = self._request("GET", path)
        if not answer.has_redirect_location:
            raise ApiError(f"the download answered {answer.status_code} instead of a redirect")
        return save(self.http, answer.headers["location"], folder, silent)

    def _poll(self, path: str, *, pending: set[str]) -> dict[str, Any]:
        """GET ``path`` until its status is not ``pending`` any more, at growing intervals."""
        began, interval_s = time.monotonic(), FIRST_POLL_S
        while time.monotonic() - began < PATIENCE_S:
            answer = self.call("GET", path)
            if answer["status"] not in pending:
                return answer
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


def md5_base64(path: Path) -> str:
    """Return the checksum as ``Content-MD5`` spells it."""
    with path.open("rb") as file:
        return base64.b64encode(hashlib.file_digest(file, _md5).digest()).decode()


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


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
