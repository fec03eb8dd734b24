"""The REST API as the command line sees it, in one process: answers for ``httpx.MockTransport``."""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from typing import Any

import httpx

BASE_URL = "http://service.test"
STORAGE_URL = "http://storage.test"
CLIENT_ID, CLIENT_SECRET, TOKEN = "client", "secret", "token"


@dataclass
class FakeService:
    """Behaves well unless told otherwise by file name.

    Attributes
    ----------
    unreadable, failing
        Names of files that become ``invalid_upload``, or whose enhancement fails.
    polls_before_done
        How often each thing is still pending when asked for.
    throttled
        How many of the next API calls are answered 429.
    """

    unreadable: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    polls_before_done: int = 1
    throttled: int = 0
    assets: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    strengths: list[int] = field(default_factory=list)
    storage_headers: list[httpx.Headers] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        with self.lock:
            if request.url.host == "storage.test":
                return self._storage(request)
            if request.url.path == "/ims/token/v3":
                return self._token(request)
            return self._api(request)

    def http(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self))

    def _token(self, request: httpx.Request) -> httpx.Response:
        if f"client_secret={CLIENT_SECRET}".encode() not in request.content:
            return httpx.Response(400, json={"error": "invalid_client"})
        return httpx.Response(200, json={"access_token": TOKEN, "token_type": "bearer", "expires_in": 86399})

    def _api(self, request: httpx.Request) -> httpx.Response:
        if self.throttled:
            self.throttled -= 1
            return httpx.Response(429, headers={"retry-after": "0"}, json={"error_code": "429050", "message": "Slow"})
        if (request.headers["x-api-key"], request.headers["authorization"]) != (CLIENT_ID, f"Bearer {TOKEN}"):
            return httpx.Response(401, json={"error_code": "401013", "message": "Oauth token is not valid"})
        return self._route(request)

    def _route(self, request: httpx.Request) -> httpx.Response:
        answer = httpx.Response(404, json={"error_code": None, "message": "Not found"})
        match request.url.path.removeprefix("/audio_services/v1/assets").strip("/").split("/"):
            case [""]:
                answer = self._create(json.loads(request.content))
            case [asset_id]:
                answer = httpx.Response(200, json=self._asset(asset_id))
            case [asset_id, "speech_enhancements"]:
                self.strengths.append(json.loads(request.content)["strength"])
                answer = httpx.Response(202, json={"id": f"e-{asset_id}", "status": "queued"})
            case [asset_id, "speech_enhancements", _]:
                answer = httpx.Response(200, json={"status": self._enhancement_status(asset_id)})
            case [asset_id, "speech_enhancements", _, "download"]:
                answer = httpx.Response(302, headers={"location": f"{STORAGE_URL}/{asset_id}?signature=1"})
        return answer

    def _create(self, body: dict[str, Any]) -> httpx.Response:
        asset_id = f"a{len(self.assets)}"
        self.assets[asset_id] = body | {"id": asset_id, "upload_url": f"{STORAGE_URL}/{asset_id}"}
        return httpx.Response(201, json=self.assets[asset_id])

    def _asset(self, asset_id: str) -> dict[str, Any]:
        asset = self.assets[asset_id]
        if asset_id not in self.uploads or self._pending(asset_id):
            return asset | {"status": "waiting_for_upload"}
        return asset | {"status": "invalid_upload" if asset["filename"] in self.unreadable else "ready_for_processing"}

    def _enhancement_status(self, asset_id: str) -> str:
        if self._pending(f"e-{asset_id}"):
            return "processing"
        return "failed" if self.assets[asset_id]["filename"] in self.failing else "succeeded"

    def _pending(self, thing: str) -> bool:
        self.asked[thing] = self.asked.get(thing, 0) + 1
        return self.asked[thing] <= self.polls_before_done

    def _storage(self, request: httpx.Request) -> httpx.Response:
        self.storage_headers.append(request.headers)
        asset_id = request.url.path.strip("/")
        asset = self.assets[asset_id]
        if request.method == "GET":
            stem, _, suffix = asset["filename"].rpartition(".")
            disposition = f'attachment; filename="{stem}-enhanced-{self.strengths[-1]}p.{suffix}"'
            return httpx.Response(
                200, headers={"content-disposition": disposition}, content=self.uploads[asset_id][::-1]
            )
        md5 = base64.b64encode(hashlib.md5(request.content).digest()).decode()  # noqa: S324 - as S3 does
        expected = (asset["checksum"], asset["content_type"], str(asset["byte_size"]))
        given = (md5, request.headers["content-type"], request.headers["content-length"])
        if given != expected or request.headers["content-md5"] != md5:
            return httpx.Response(403)
        self.uploads[asset_id] = request.content
        return httpx.Response(200)
