"""The native API and its storage in one process: answers for ``httpx.MockTransport``."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cleartake_client import Client, ClientCredentials, RetryPolicy

BASE_URL, STORAGE_URL = "http://service.test", "http://storage.test"
CLIENT_ID, SECRET, TOKEN = "client-1", "s3cret", "t0ken"
API_KEY = f"{CLIENT_ID}.{SECRET}"
SIGNATURE = "X-Amz-Signature=abcdef0123"
NOW = "2026-01-02T03:04:05.678Z"
PART_BYTES = 1000
PATIENT = RetryPolicy(attempts=4, sleep=lambda _s: None)

Meddle = Callable[[httpx.Request], httpx.Response | None]
"""Looks at a request first: answers it, raises, or lets it through with None."""


@dataclass
class FakeService:
    """Behaves well unless told otherwise.

    Attributes
    ----------
    meddle
        Looks at each request first.
    unreadable, failing, refused
        Names of files that become ``invalid``, whose enhancement fails, or that a batch does not take.
    polls_before_done
        How often an enhancement is still running when asked for.
    """

    meddle: Meddle = lambda _request: None
    unreadable: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    polls_before_done: int = 1
    requests: list[httpx.Request] = field(default_factory=list)
    assets: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    polls: dict[str, int] = field(default_factory=dict)
    by_key: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked_by_key: dict[str, bytes] = field(default_factory=dict)
    webhooks: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        with self.lock:
            self.requests.append(request)
            meddled = self.meddle(request)
            if meddled is not None:
                return meddled
            if request.url.host == "storage.test":
                return self._storage(request)
            return self._api(request)

    def client(self, state: Path | None, **more: Any) -> Client:
        given = {"api_key": API_KEY, "retry": PATIENT} | more
        return Client(BASE_URL, state=state, transport=httpx.MockTransport(self), **given)

    def client_with_secret(self, state: Path, **more: Any) -> Client:
        return self.client(state, api_key=None, credentials=ClientCredentials(CLIENT_ID, SECRET, **more))

    def asked(self, method: str, path: str) -> list[httpx.Request]:
        return [one for one in self.requests if (one.method, one.url.path) == (method, path)]

    def puts(self) -> list[str]:
        return [one.url.path for one in self.requests if one.method == "PUT"]

    # the API

    def _api(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/ims/token/v3":
            if f"client_secret={SECRET}".encode() not in request.content:
                return httpx.Response(401, json={"error": "invalid_client"})
            return httpx.Response(200, json={"access_token": TOKEN, "expires_in": 86399})
        signed = (
            request.headers.get("x-api-key") == API_KEY or request.headers.get("authorization") == f"Bearer {TOKEN}"
        )
        if not signed:
            return problem(401, "token_invalid")
        if self._is_another_request(request):
            return problem(422, "idempotency_mismatch")
        body = json.loads(request.content) if request.content else {}
        path = request.url.path.removeprefix("/v1/").split("/")
        answer = getattr(self, f"_{request.method.lower()}_{path[0]}")(path[1:], body, request)
        assert isinstance(answer, httpx.Response)
        return answer

    def _post_assets(self, path: list[str], body: Any, request: httpx.Request) -> httpx.Response:
        match path:
            case []:
                return httpx.Response(201, json=self._shown(self._new_asset(body, request)))
            case [asset_id, "parts"]:
                return httpx.Response(200, json={"parts": [self._part(asset_id, one, body) for one in body["numbers"]]})
            case [asset_id, "complete"]:
                if self._missing(asset_id):
                    return problem(409, "asset_not_uploaded", retryable=True)
                arrived = self.parts.get(asset_id, {})
                self._settle(asset_id, b"".join(arrived[number] for number in sorted(arrived)))
                return httpx.Response(200, json=self._shown(self.assets[asset_id]))
        return problem(404, "not_found")

    def _get_assets(self, path: list[str], _body: Any, request: httpx.Request) -> httpx.Response:
        match path:
            case []:
                return self._page(list(self.assets.values()), request)
            case [asset_id] if asset_id in self.assets:
                if _is_fetched(self.assets[asset_id]):
                    self._settle(asset_id, b"fetched")
                return httpx.Response(200, json=self._shown(self.assets[asset_id]))
            case [asset_id, "parts"] if asset_id in self.assets:
                missing = self._missing(asset_id)
                size_bytes, parts = self.assets[asset_id]["size_bytes"], self.assets[asset_id]["parts"]
                sizes = [min(PART_BYTES, size_bytes - number * PART_BYTES) for number in range(parts)]
                arrived = sum(size for number, size in enumerate(sizes, 1) if number not in missing)
                progress = {"asset_id": asset_id, "part_size_bytes": PART_BYTES, "parts": parts}
                return httpx.Response(200, json=progress | {"arrived_bytes": arrived, "missing": missing})
        return problem(404, "not_found")

    def _delete_assets(self, path: list[str], _body: Any, _request: httpx.Request) -> httpx.Response:
        found = self.assets.pop(path[0], None)
        return httpx.Response(204) if found else problem(404, "not_found")

    def _post_enhancements(self, path: list[str], body: Any, request: httpx.Request) -> httpx.Response:
        match path:
            case []:
                return httpx.Response(202, json=self._new_job(body, request))
            case [job_id, "cancel"]:
                self.jobs[job_id]["status"] = "cancelled"
                return httpx.Response(200, json=self.jobs[job_id])
        return problem(404, "not_found")

    def _get_enhancements(self, path: list[str], _body: Any, request: httpx.Request) -> httpx.Response:
        match path:
            case []:
                wanted = request.url.params.get_list("status")
                return self._page([job for job in self.jobs.values() if not wanted or job["status"] in wanted], request)
            case [job_id] if job_id in self.jobs:
                return httpx.Response(200, json=self._looked_at(self.jobs[job_id]))
            case [job_id, what] if job_id in self.jobs:
                location = f"{STORAGE_URL}/{what}/{job_id}?{SIGNATURE}"
                return httpx.Response(302, headers={"location": location})
        return problem(404, "not_found")

    def _post_batches(self, _path: list[str], body: Any, request: httpx.Request) -> httpx.Response:
        items = []
        for index, item in enumerate(body["items"]):
            is_refused = item["source"].get("upload", {}).get("filename") in self.refused
            fault = {"code": "parameter_invalid", "message": "no", "retryable": False}
            items.append(
                {"index": index, "enhancement": None, "error": fault}
                if is_refused
                else {"index": index, "enhancement": self._new_job(item, request, f"#{index}"), "error": None}
            )
        batch = {"id": "b1", "created_at": NOW, "reference": None, "finished": False, "counts": {}, "items": items}
        return httpx.Response(202, json=batch)

    def _get_usage(self, _path: list[str], _body: Any, request: httpx.Request) -> httpx.Response:
        day = {"day": request.url.params.get("from", "2026-01-02"), "succeeded": 2, "failed": 1, "cancelled": 0}
        return httpx.Response(200, json={"days": [day | {"audio_minutes": 1.5}], "audio_minutes": 1.5})

    def _post_webhooks(self, path: list[str], body: Any, _request: httpx.Request) -> httpx.Response:
        match path:
            case []:
                made = {"id": f"w{len(self.webhooks)}", "enabled": True, "created_at": NOW, "updated_at": NOW}
                kept = self.webhooks.setdefault(made["id"], made | body | {"disabled_reason": None})
                return httpx.Response(201, json=kept | {"secret": "whsec_one"})
            case [webhook_id, "secret"]:
                return httpx.Response(200, json=self.webhooks[webhook_id] | {"secret": "whsec_two"})
            case [_, "test"]:
                return httpx.Response(202, json=delivery("msg_test", "webhook.test"))
            case [_, "deliveries", message_id, "redeliver"]:
                return httpx.Response(202, json=delivery(message_id, "enhancement.succeeded"))
        return problem(404, "not_found")

    def _get_webhooks(self, path: list[str], _body: Any, request: httpx.Request) -> httpx.Response:
        match path:
            case []:
                return httpx.Response(200, json={"items": list(self.webhooks.values())})
            case [_, "deliveries"]:
                return self._page([delivery(f"msg_{number}", "enhancement.failed") for number in range(3)], request)
        return httpx.Response(200, json=self.webhooks[path[0]])

    def _delete_webhooks(self, path: list[str], _body: Any, _request: httpx.Request) -> httpx.Response:
        self.webhooks.pop(path[0])
        return httpx.Response(204)

    # what is behind it

    def _is_another_request(self, request: httpx.Request) -> bool:
        key = f"{request.url.path} {request.headers.get('idempotency-key')}"
        return request.method == "POST" and self.asked_by_key.setdefault(key, request.content) != request.content

    def _page(self, everything: list[Any], request: httpx.Request) -> httpx.Response:
        limit, start = int(request.url.params["limit"]), int(request.url.params.get("cursor", 0))
        more = str(start + limit) if start + limit < len(everything) else None
        return httpx.Response(200, json={"items": everything[start : start + limit], "next_cursor": more})

    def _new_asset(self, body: Any, request: httpx.Request) -> dict[str, Any]:
        key = "asset" + request.headers["idempotency-key"]
        if _is_fetched(body):
            place = body["url"]["href"] if "url" in body else body["s3"]["uri"]
            body |= {"filename": place.rpartition("/")[2], "size_bytes": 7, "content_type": "audio/wav"}
        parts = -(-body["size_bytes"] // PART_BYTES) if body.get("in_parts") else None
        asset = {"id": f"a{len(self.assets)}", "status": "waiting_for_upload", "created_at": NOW, "updated_at": NOW}
        kept = self.by_key.setdefault(key, asset | body | {"parts": parts})
        return self.assets.setdefault(kept["id"], kept)

    def _new_job(self, body: Any, request: httpx.Request, suffix: str = "") -> dict[str, Any]:
        key = request.headers["idempotency-key"] + suffix
        if key not in self.by_key:
            upload, asset_id = body["source"].get("upload"), body["source"].get("asset_id", "fetched")
            if upload:
                asset_id = f"a{len(self.assets)}"
                waiting = {"id": asset_id, "status": "waiting_for_upload", "created_at": NOW, "updated_at": NOW}
                self.assets[asset_id] = waiting | upload | {"parts": None}
            job = {
                "id": f"e{len(self.jobs)}",
                "asset_id": asset_id,
                "strength": body["strength"],
                "model": body["model"],
            }
            job |= {"status": "running", "created_at": NOW, "updated_at": NOW, "options": body["options"]}
            self.by_key[key] = self.jobs[job["id"]] = job
        job = self.by_key[key]
        asset = self.assets.get(job["asset_id"])
        return job | ({"upload": self._shown(asset)["upload"]} if asset else {})

    def _looked_at(self, job: dict[str, Any]) -> dict[str, Any]:
        self.polls[job["id"]] = self.polls.get(job["id"], 0) + 1
        if job["status"] == "running" and self.polls[job["id"]] > self.polls_before_done:
            name = self.assets.get(job["asset_id"], {}).get("filename")
            job["status"] = "failed" if name in self.failing else "succeeded"
            job["error"] = {"code": "engine_failed", "message": "it broke"} if name in self.failing else None
        return job | {"progress_percent": 50.0}

    def _shown(self, asset: dict[str, Any]) -> dict[str, Any]:
        waits_for_put = asset["status"] == "waiting_for_upload" and not asset["parts"] and not _is_fetched(asset)
        url = f"{STORAGE_URL}/put/{asset['id']}?{SIGNATURE}"
        headers = {"Content-Type": asset["content_type"], "Content-MD5": asset.get("checksum_md5") or ""}
        return asset | {"upload": {"url": url, "headers": headers, "expires_at": NOW} if waits_for_put else None}

    def _part(self, asset_id: str, number: int, body: Any) -> dict[str, Any]:
        size_bytes = min(PART_BYTES, self.assets[asset_id]["size_bytes"] - (number - 1) * PART_BYTES)
        url = f"{STORAGE_URL}/part/{asset_id}/{number}?{SIGNATURE}"
        headers = {"Content-MD5": body["md5"][str(number)]}
        return {"number": number, "size_bytes": size_bytes, "url": url, "headers": headers, "expires_at": NOW}

    def _missing(self, asset_id: str) -> list[int]:
        return [n for n in range(1, self.assets[asset_id]["parts"] + 1) if n not in self.parts.get(asset_id, {})]

    def _settle(self, asset_id: str, data: bytes) -> None:
        asset = self.assets[asset_id]
        self.bodies[asset_id] = data
        sha256 = base64.b64encode(hashlib.sha256(data).digest()).decode()
        if asset.get("checksum_sha256") not in {None, sha256}:
            fault = {"code": "input_checksum_mismatch", "message": "other bytes have arrived"}
            asset |= {"status": "invalid", "error": fault}
        elif asset["filename"] in self.unreadable:
            asset |= {"status": "invalid", "error": {"code": "input_no_audio", "message": "there is no audio in it"}}
        else:
            asset["status"] = "ready"

    def _storage(self, request: httpx.Request) -> httpx.Response:
        assert not {"authorization", "x-api-key"} & set(request.headers)
        match request.method, request.url.path.strip("/").split("/"):
            case "PUT", [kind, asset_id, *number]:
                md5 = base64.b64encode(hashlib.md5(request.content).digest()).decode()  # noqa: S324 - as S3 does
                if request.headers["content-md5"] != md5:
                    return httpx.Response(400)
                if kind == "part":
                    self.parts.setdefault(asset_id, {})[int(number[0])] = request.content
                else:
                    self._settle(asset_id, request.content)
                return httpx.Response(200)
            case "GET", ["report", _]:
                return httpx.Response(200, json={"quality": {"before": 1, "after": 2}})
            case "GET", ["download", job_id]:
                job = self.jobs[job_id]
                name = self.assets.get(job["asset_id"], {"filename": "talk.wav"})["filename"]
                stem, _, suffix = name.rpartition(".")
                disposition = f'attachment; filename="{stem}-enhanced-{job["strength"]:g}p.{suffix}"'
                data = self.bodies.get(job["asset_id"], b"fetched")[::-1]
                return httpx.Response(200, headers={"content-disposition": disposition}, content=data)
        return httpx.Response(404)


def _is_fetched(asset: dict[str, Any]) -> bool:
    return "url" in asset or "s3" in asset


def problem(status: int, code: str, *, retryable: bool = False, **headers: str) -> httpx.Response:
    body = {"type": f"/v1/problems/{code}", "title": code, "status": status, "detail": f"about {code}", "code": code}
    content = json.dumps(body | {"retryable": retryable, "request_id": "r1", "errors": []})
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers={"content-type": "application/problem+json", **fields}, content=content)


def delivery(message_id: str, event: str) -> dict[str, Any]:
    attempt = {"at": NOW, "status_code": 500, "error": None}
    return {"id": message_id, "event": event, "status": "pending", "created_at": NOW, "attempts": [attempt]}
