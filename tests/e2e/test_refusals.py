"""What is refused, over real HTTP: at the storage by signature, at the API in Adobe's format. Nothing hangs."""

import time
from typing import Any

import httpx
import pytest

from tests.e2e.cloud import ASSETS, Api, Cloud, md5_of

UNKNOWN = "3445d7a0-2513-4606-b37b-bff0034c0214"


def is_refusal(answer: httpx.Response, status: int, code: str | None = None) -> bool:
    body = answer.json()
    return answer.status_code == status and set(body) == {"error_code", "message"} and body["error_code"] == code


class TestUploads:
    @pytest.fixture
    def asset(self, api: Api, recording: bytes) -> dict[str, Any]:
        return api.create(recording)

    @pytest.fixture
    def headers(self, asset: dict[str, Any]) -> dict[str, str]:
        return {"Content-Type": asset["content_type"], "Content-MD5": asset["checksum"]}

    def test_other_bytes_than_the_md5(
        self, api: Api, asset: dict[str, Any], headers: dict[str, str], recording: bytes
    ) -> None:
        other = bytes([recording[0] ^ 1]) + recording[1:]
        answer = api.put(asset["upload_url"], other, headers)
        assert answer.status_code == 400
        assert "BadDigest" in answer.text
        assert api.put(asset["upload_url"], recording, headers).status_code == 200  # the same URL still works

    @pytest.mark.parametrize(
        "change", [{"Content-Type": "audio/wav"}, {"Content-MD5": md5_of(b"other")}, {"Content-MD5": None}]
    )
    def test_other_headers(
        self, api: Api, asset: dict[str, Any], headers: dict[str, str], recording: bytes, change: dict[str, Any]
    ) -> None:
        sent = {name: value for name, value in (headers | change).items() if value is not None}
        answer = api.put(asset["upload_url"], recording, sent)
        assert answer.status_code == 403
        assert "SignatureDoesNotMatch" in answer.text
        assert api.asset(asset["id"])["status"] == "waiting_for_upload"

    def test_another_length(self, api: Api, asset: dict[str, Any], headers: dict[str, str], recording: bytes) -> None:
        assert api.put(asset["upload_url"], recording[:-1], headers).status_code in {400, 403}
        assert api.asset(asset["id"])["status"] == "waiting_for_upload"

    def test_a_tampered_url(self, api: Api, asset: dict[str, Any], headers: dict[str, str], recording: bytes) -> None:
        for url in (
            asset["upload_url"].replace("X-Amz-Signature=", "X-Amz-Signature=0"),
            asset["upload_url"].replace(asset["id"], UNKNOWN),
            asset["upload_url"].replace("X-Amz-Expires=900", "X-Amz-Expires=9000"),
        ):
            assert api.put(url, recording, headers).status_code == 403

    def test_an_expired_url(
        self, api: Api, cloud: Cloud, asset: dict[str, Any], headers: dict[str, str], recording: bytes
    ) -> None:
        bucket, key = httpx.URL(asset["upload_url"]).path.removeprefix("/").split("/", 1)
        declared = {"ContentMD5": asset["checksum"], "ContentType": "audio/mpeg", "ContentLength": len(recording)}
        url = cloud.aws("s3").generate_presigned_url(
            "put_object", Params={"Bucket": bucket, "Key": key, **declared}, ExpiresIn=1
        )
        time.sleep(2.1)
        assert api.put(url, recording, headers).status_code == 403
        assert api.asset(asset["id"])["status"] == "waiting_for_upload"

    def test_garbage_under_a_right_md5(self, api: Api) -> None:
        asset = api.upload(b"\x00\x01 this is no audio " * 500)
        assert (asset["status"], asset["upload_url"]) == ("invalid_upload", None)
        answer = api.enhance(asset["id"])
        assert is_refusal(answer, 422)
        assert answer.json()["message"] == "Asset is not enhanceable"

    def test_a_truncated_header(self, api: Api) -> None:
        asset = api.upload(b"RIFF\xff\xff\xff\xffWAVEfmt ", content_type="audio/wav", filename="a.wav")
        assert asset["status"] == "invalid_upload"


class TestCallers:
    def test_headers(self, api: Api, stranger: Api) -> None:
        key, token = {"x-api-key": api.client_id}, {"Authorization": api.headers["Authorization"]}
        for headers, status, code in (
            ({}, 403, "403000"),
            (token, 403, "403000"),
            ({**token, "x-api-key": "nobody"}, 403, "403003"),
            ({**token, "x-api-key": stranger.client_id}, 403, "403003"),
            (key, 401, "401013"),
            ({**key, "Authorization": "Bearer x.y.z"}, 401, "401013"),
            ({**key, "Authorization": api.headers["Authorization"][:-4] + "AAAA"}, 401, "401013"),
        ):
            assert is_refusal(api.http.get(f"{ASSETS}/{UNKNOWN}", headers=headers), status, code)
            assert is_refusal(api.http.post(ASSETS, headers=headers, json={}), status, code)

    def test_token(self, api: Api) -> None:
        assert api.token(client_secret="wrong").status_code == 401
        assert api.token(client_id="nobody").status_code == 401
        assert api.token(grant_type="password").status_code == 400
        query = {"grant_type": "client_credentials", "client_id": api.client_id, "client_secret": api.client_secret}
        answer = api.http.post("/ims/token/v3", params=query)
        assert answer.status_code == 200
        assert set(answer.json()) == {"access_token", "token_type", "expires_in"}


class TestBodies:
    GOOD = {"filename": "a.mp3", "byte_size": 10, "content_type": "audio/mpeg"}

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"content_type": "text/plain"}, "content_type"),
            ({"byte_size": -1}, "byte_size"),
            ({"byte_size": 10**15}, "byte_size"),
            ({"filename": "../x.mp3"}, "filename"),
            ({"filename": "a\nb.mp3"}, "filename"),
            ({"checksum": "zz"}, "checksum"),
            ({"filename": None}, "filename"),
        ],
    )
    def test_assets(self, api: Api, change: dict[str, Any], named: str) -> None:
        answer = api.call("POST", ASSETS, self.GOOD | change)
        assert is_refusal(answer, 422)
        assert named in answer.json()["message"]

    def test_missing_fields_and_broken_json(self, api: Api) -> None:
        answer = api.call("POST", ASSETS, {})
        assert is_refusal(answer, 422)
        assert "missing required parameters: filename, byte_size, content_type" in answer.json()["message"]
        for body in (b"{", b"", b"[]", b"\xff\xfe"):
            headers = api.headers | {"Content-Type": "application/json"}
            assert is_refusal(api.http.post(ASSETS, content=body, headers=headers), 422)

    @pytest.mark.parametrize("strength", [None, 0, 101, "x", "12.5", 12.5, True])
    def test_strength(self, api: Api, strength: Any) -> None:
        answer = api.enhance(UNKNOWN, strength)
        assert is_refusal(answer, 422)
        assert "strength" in answer.json()["message"]

    def test_before_the_upload_and_twice(self, api: Api, recording: bytes) -> None:
        asset = api.create(recording)
        answer = api.enhance(asset["id"])
        assert is_refusal(answer, 422)
        assert answer.json()["message"] == "Asset has not been uploaded yet"
        ready = api.upload(recording)
        assert api.enhance(ready["id"], 40).status_code == 202
        again = api.enhance(ready["id"], 40)
        assert is_refusal(again, 422)
        assert "already exists" in again.json()["message"]


class TestPaths:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", f"{ASSETS}/{UNKNOWN}", 404),
            ("GET", f"{ASSETS}/nonsense", 404),
            ("GET", f"{ASSETS}/a%2Fb", 404),
            ("GET", "/audio_services/v1/nothing", 404),
            ("GET", "/audio_services", 404),
            ("GET", "/", 404),
            ("GET", "/nothing/at/all", 404),
            ("DELETE", f"{ASSETS}/{UNKNOWN}", 405),
            ("GET", ASSETS, 405),
            ("PUT", ASSETS, 405),
            ("GET", "/ims/token/v3", 405),
        ],
    )
    def test_unknown(self, api: Api, method: str, path: str, status: int) -> None:
        assert is_refusal(api.call(method, path), status)
