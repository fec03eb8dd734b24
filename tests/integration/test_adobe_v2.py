"""Version 2 of Adobe's API through the real handlers."""

from typing import Any

import pytest
import requests

from tests.integration.cloud import Answer, Cloud, md5_of
from tests.integration.conftest import GOOD

ASSETS, ENHANCEMENTS = "/v2/assets", "/v2/speech-enhancements"
V1 = "/audio_services/v1/assets"
ASSET = {"fileName": "talk.wav", "byteSize": len(GOOD), "mediaType": "audio/wav"}
UNKNOWN = "91c8c3bf-be89-4284-a4f3-cfda5352fc4c"
ENHANCE = "#/paths/~1v2~1speech-enhancements/post/requestBody/content/application~1json/schema"
CREATE = "#/paths/~1v2~1assets/post/requestBody/content/application~1json/schema"


@pytest.fixture
def caller(cloud: Cloud) -> dict[str, str]:
    return cloud.sign_in("acme")


@pytest.fixture
def ready(cloud: Cloud, caller: dict[str, str]) -> str:
    made = cloud.call("POST", ASSETS, ASSET, headers=caller)
    assert made.status == 201, made.text
    upload = requests.put(made.body["uploadUrl"], data=GOOD, headers={"Content-Type": "audio/wav"}, timeout=5)
    assert upload.status_code == 200
    cloud.uploaded(made.body["id"], caller["x-api-key"])
    return str(made.body["id"])


def enhance(cloud: Cloud, caller: dict[str, str], asset_id: str, strength: Any = 90) -> Answer:
    body = {"strength": strength, "input": {"uploadId": f"audio-services:asset:{asset_id}"}}
    return cloud.call("POST", ENHANCEMENTS, body, headers=caller)


def refusal(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error_code": code, "message": message}


def test_from_the_file_to_the_result(cloud: Cloud, caller: dict[str, str], ready: str) -> None:
    asset = cloud.call("GET", f"{ASSETS}/{ready}", headers=caller).body
    assert (asset["status"], asset["uploadUrl"], asset["checksum"]) == ("ready_for_processing", None, None)
    accepted = enhance(cloud, caller, ready)
    assert accepted.status == 202
    assert (accepted.body["status"], accepted.body["output"], accepted.body["modelId"]) == ("queued", None, "v1")
    cloud.drain()
    done = cloud.call("GET", f"{ENHANCEMENTS}/{accepted.body['id']}", headers=caller).body
    assert (done["status"], done["strength"], done["assetId"]) == ("succeeded", 90, ready)
    assert requests.get(done["output"]["url"], timeout=5).content == GOOD


def test_what_one_dialect_makes_the_others_see(cloud: Cloud, caller: dict[str, str], ready: str) -> None:
    first = cloud.call("POST", f"{V1}/{ready}/speech_enhancements", {"strength": 30}, headers=caller).body
    second = enhance(cloud, caller, ready, 60).body
    native = {"source": {"asset_id": ready}, "strength": 0.4, "model": "dfn3-hq"}
    third = cloud.call("POST", "/v1/enhancements", native, headers=caller).body
    cloud.drain()
    for made, strength, model in ((first, 30, "v1"), (second, 60, "v1"), (third, 1, "dfn3-hq")):
        for path in (f"{ENHANCEMENTS}/{made['id']}", f"{V1}/{ready}/speech_enhancements/{made['id']}"):
            shown = cloud.call("GET", path, headers=caller).body
            assert (shown["status"], shown["strength"]) == ("succeeded", strength)
            assert shown.get("modelId", shown.get("model_id")) == model
        assert cloud.call("GET", f"/v1/enhancements/{made['id']}", headers=caller).body["status"] == "succeeded"
    again = enhance(cloud, caller, ready, 30)
    assert (again.status, again.body) == (
        422,
        refusal("Speech enhancement already exists for specified asset, model and strength."),
    )
    shown = cloud.call("POST", V1, _first(), headers=caller).body
    assert cloud.call("GET", f"{ASSETS}/{shown['id']}", headers=caller).body["checksum"] == md5_of(GOOD)


def _first() -> dict[str, Any]:
    return {"filename": "b.wav", "byte_size": len(GOOD), "content_type": "audio/wav", "checksum": md5_of(GOOD)}


def test_deleting_takes_the_enhancements_along_for_every_dialect(
    cloud: Cloud, caller: dict[str, str], ready: str
) -> None:
    job = enhance(cloud, caller, ready).body
    cloud.drain()
    assert cloud.call("DELETE", f"{ASSETS}/{ready}", headers=cloud.sign_in("other")).status == 404
    deleted = cloud.call("DELETE", f"{ASSETS}/{ready}", headers=caller)
    assert (deleted.status, deleted.text) == (204, "")
    for method, path in (
        ("GET", f"{ASSETS}/{ready}"),
        ("DELETE", f"{ASSETS}/{ready}"),
        ("GET", f"{ENHANCEMENTS}/{job['id']}"),
        ("GET", f"{V1}/{ready}"),
        ("GET", f"{V1}/{ready}/speech_enhancements/{job['id']}/download"),
        ("GET", f"/v1/assets/{ready}"),
    ):
        assert cloud.call(method, path, headers=caller).status == 404
    assert enhance(cloud, caller, ready).status == 404
    cloud.deliver_erasing()
    assert cloud.s3.list_object_versions(Bucket="audio-bucket").get("Versions", []) == []


def test_before_the_upload(cloud: Cloud, caller: dict[str, str]) -> None:
    made = cloud.call("POST", ASSETS, ASSET, headers=caller).body
    answer = enhance(cloud, caller, made["id"])
    assert (answer.status, answer.body) == (422, refusal("Asset has not been uploaded yet"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mediaType": "text/plain"}, f'"text/plain" isn\'t part of the enum in {CREATE}/properties/mediaType'),
        ({"byteSize": 0}, f"{CREATE}/properties/byteSize 0 is less than minimum value"),
        ({"byteSize": "1"}, f'{CREATE}/properties/byteSize expected integer, but received String: "1"'),
        ({"fileName": None}, f"{CREATE}/properties/fileName does not allow null values"),
    ],
)
def test_an_asset_that_is_declared_wrongly(
    cloud: Cloud, caller: dict[str, str], changes: dict[str, Any], message: str
) -> None:
    answer = cloud.call("POST", ASSETS, ASSET | changes, headers=caller)
    assert (answer.status, answer.body) == (422, refusal(message))


def test_fields_that_are_missing_are_all_named(cloud: Cloud, caller: dict[str, str]) -> None:
    answer = cloud.call("POST", ASSETS, {"byteSize": 1}, headers=caller)
    assert (answer.status, answer.body) == (422, refusal(f"{CREATE} missing required parameters: fileName, mediaType"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": {}}, "/properties/input missing required parameters: uploadId"),
        ({"input": 7}, "/properties/input expected object, but received Integer: 7"),
        ({"strength": 101}, "/properties/strength 101 is more than maximum value"),
        ({"strength": 0.9}, "/properties/strength 0.9 is less than minimum value"),
        ({"strength": "9"}, '/properties/strength expected number, but received String: "9"'),
        ({"strength": True}, "/properties/strength expected number, but received TrueClass: true"),
        ({"strength": 10**400}, "/properties/strength "),
    ],
)
def test_an_enhancement_that_is_asked_for_wrongly(
    cloud: Cloud, caller: dict[str, str], changes: dict[str, Any], message: str
) -> None:
    body = {"strength": 9, "input": {"uploadId": "x"}} | changes
    answer = cloud.call("POST", ENHANCEMENTS, body, headers=caller)
    assert (answer.status, answer.body["error_code"]) == (422, None)
    assert answer.body["message"].startswith(f"{ENHANCE}{message}")


def test_who_is_calling_and_what_is_there(cloud: Cloud, caller: dict[str, str]) -> None:
    assert cloud.call("GET", f"{ASSETS}/{UNKNOWN}").body == refusal("Api Key is required", "403000")
    key_only = {"x-api-key": caller["x-api-key"]}
    assert cloud.call("DELETE", f"{ASSETS}/{UNKNOWN}", headers=key_only).body == refusal(
        "Oauth token is not valid", "401013"
    )
    for upload_id in (UNKNOWN, "not-an-id"):
        answer = enhance(cloud, caller, upload_id)
        assert (answer.status, answer.body) == (404, refusal("Not found"))
    assert cloud.call("GET", ENHANCEMENTS, headers=caller).headers["Allow"] == "POST"
