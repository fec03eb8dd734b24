"""Every refusal of Adobe's dialect: status, code and message, and nothing else changes."""

from typing import Any

import pytest

from lambdas import bootstrap
from lambdas.adapters.caching import LIFETIME
from tests.integration.cloud import Cloud, md5_of
from tests.integration.conftest import GOOD
from tests.ports.conftest import TABLE

ASSETS = "/audio_services/v1/assets"
SCHEMA = "#/paths/~1v1~1assets/post/requestBody/content/application~1json/schema"
STRENGTH = SCHEMA.replace("~1assets/", "~1assets~1{asset_id}~1speech_enhancements/") + "/properties/strength"
UNKNOWN = "3445d7a0-2513-4606-b37b-bff0034c0214"
ASSET = {"filename": "a.wav", "byte_size": len(GOOD), "content_type": "audio/wav", "checksum": md5_of(GOOD)}


@pytest.fixture
def caller(cloud: Cloud) -> dict[str, str]:
    return cloud.sign_in("acme")


@pytest.fixture
def ready(cloud: Cloud, caller: dict[str, str]) -> str:
    asset = cloud.call("POST", ASSETS, ASSET, headers=caller).body
    assert cloud.put(asset, GOOD) == 200
    cloud.uploaded(asset["id"], caller["x-api-key"])
    return str(asset["id"])


def refusal(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error_code": code, "message": message}


def test_the_key_is_looked_at_before_the_token_and_both_before_the_body(cloud: Cloud, caller: dict[str, str]) -> None:
    other = cloud.sign_in("other")
    for headers, status, body in (
        ({}, 403, refusal("Api Key is required", "403000")),
        ({"authorization": caller["authorization"]}, 403, refusal("Api Key is required", "403000")),
        ({**caller, "x-api-key": "nobody"}, 403, refusal("Api Key is invalid", "403003")),
        ({**caller, "x-api-key": "no#body" * 500}, 403, refusal("Api Key is invalid", "403003")),
        ({"x-api-key": caller["x-api-key"]}, 401, refusal("Oauth token is not valid", "401013")),
        ({**caller, "authorization": "Bearer nonsense"}, 401, refusal("Oauth token is not valid", "401013")),
        ({**caller, "authorization": "Basic YTpi"}, 401, refusal("Oauth token is not valid", "401013")),
        ({**caller, "x-api-key": other["x-api-key"]}, 403, refusal("Api Key is invalid", "403003")),
    ):
        for body_sent in (ASSET, {"filename": 7}):
            answer = cloud.call("POST", ASSETS, body_sent, headers=headers)
            assert (answer.status, answer.body) == (status, body)


def test_an_expired_token(cloud: Cloud, caller: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = bootstrap.CLOCK
    later = clock.now().timestamp() + 86_400

    class Later:
        def now(self) -> Any:
            return clock.now().fromtimestamp(later, tz=clock.now().tzinfo)

    bootstrap.adobe_services.cache_clear()
    monkeypatch.setattr(bootstrap, "CLOCK", Later())
    answer = cloud.call("GET", f"{ASSETS}/{UNKNOWN}", headers=caller)
    assert (answer.status, answer.body) == (401, refusal("Oauth token is not valid", "401013"))


def test_a_disabled_client_is_shut_out_within_half_a_minute(cloud: Cloud, caller: dict[str, str]) -> None:
    assert cloud.call("GET", f"{ASSETS}/{UNKNOWN}", headers=caller).status == 404
    bootstrap.client_administration(TABLE).set_disabled(caller["x-api-key"], disabled=True)
    assert LIFETIME.total_seconds() <= 30
    for remembered in (bootstrap.adobe_services, bootstrap._known_clients):
        remembered.cache_clear()  # a function container that has remembered nothing
    assert cloud.call("GET", f"{ASSETS}/{UNKNOWN}", headers=caller).status == 403


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filename": None}, f"{SCHEMA}/properties/filename does not allow null values"),
        ({"filename": 7}, f"{SCHEMA}/properties/filename expected string, but received Integer: 7"),
        ({"filename": "../etc/passwd"}, f"{SCHEMA}/properties/filename pattern "),
        ({"filename": "a\u0000.wav"}, f"{SCHEMA}/properties/filename pattern "),
        ({"filename": "a\\b.wav"}, f"{SCHEMA}/properties/filename pattern "),
        ({"filename": ".."}, f"{SCHEMA}/properties/filename pattern "),
        ({"filename": ""}, f"{SCHEMA}/properties/filename pattern "),
        ({"filename": "x" * 256}, f"{SCHEMA}/properties/filename pattern "),
        ({"byte_size": -1}, f"{SCHEMA}/properties/byte_size -1 is less than minimum value"),
        ({"byte_size": 0}, f"{SCHEMA}/properties/byte_size 0 is less than minimum value"),
        ({"byte_size": 10**30}, f"{SCHEMA}/properties/byte_size {10**30} is more than maximum value"),
        ({"byte_size": "12"}, f'{SCHEMA}/properties/byte_size expected integer, but received String: "12"'),
        ({"byte_size": True}, f"{SCHEMA}/properties/byte_size expected integer, but received TrueClass: true"),
        ({"content_type": "video/mp4"}, f'"video/mp4" isn\'t part of the enum in {SCHEMA}/properties/content_type'),
        ({"content_type": ["audio/wav"]}, f"{SCHEMA}/properties/content_type expected string, but received Array: "),
        ({"checksum": "abc"}, f"{SCHEMA}/properties/checksum pattern "),
        ({"checksum": "\u00e9" * 24}, f"{SCHEMA}/properties/checksum pattern "),
        ({"checksum": 1}, f"{SCHEMA}/properties/checksum expected string, but received Integer: 1"),
    ],
)
def test_an_asset_that_is_declared_wrongly(
    cloud: Cloud, caller: dict[str, str], changes: dict[str, Any], message: str
) -> None:
    answer = cloud.call("POST", ASSETS, ASSET | changes, headers=caller)
    assert answer.status == 422
    assert answer.body["error_code"] is None
    assert answer.body["message"].startswith(message)


def test_fields_that_are_missing_are_all_named(cloud: Cloud, caller: dict[str, str]) -> None:
    answer = cloud.call("POST", ASSETS, {"checksum": None}, headers=caller)
    expected = f"{SCHEMA} missing required parameters: filename, byte_size, content_type"
    assert (answer.status, answer.body) == (422, refusal(expected))


@pytest.mark.parametrize(
    "raw",
    [
        "{",
        "",
        "[]",
        "[" * 5000,
        '{"byte_size": ' + "9" * 5000 + "}",
        '"text"',
        "null",
        "7",
        "{'a': 1}",
        '{"filename": NaN}',
        "\u00e9",
    ],
)
def test_bodies_that_are_no_objects(cloud: Cloud, caller: dict[str, str], raw: str) -> None:
    answer = cloud.call("POST", ASSETS, raw=raw, headers=caller)
    assert answer.status == 422
    assert set(answer.body) == {"error_code", "message"}
    assert answer.body["error_code"] is None


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded"])
def test_other_content_types(cloud: Cloud, caller: dict[str, str], kind: str) -> None:
    answer = cloud.call("POST", ASSETS, raw='{"a": 1}', headers={**caller, "content-type": kind})
    assert answer.status == 422
    assert set(answer.body) == {"error_code", "message"}


def test_checksum_may_be_left_out(cloud: Cloud, caller: dict[str, str]) -> None:
    body = {name: value for name, value in ASSET.items() if name != "checksum"}
    answer = cloud.call("POST", ASSETS, body, headers=caller)
    assert (answer.status, answer.body["checksum"]) == (201, None)
    assert "content-md5" not in answer.body["upload_url"]
    assert cloud.put(answer.body, GOOD) == 200


@pytest.mark.parametrize(
    ("strength", "message"),
    [
        (0, f"{STRENGTH} 0 is less than minimum value"),
        (101, f"{STRENGTH} 101 is more than maximum value"),
        ("x", f'{STRENGTH} expected integer, but received String: "x"'),
        ("93", f'{STRENGTH} expected integer, but received String: "93"'),
        ("12.5", f'{STRENGTH} expected integer, but received String: "12.5"'),
        (12.5, f"{STRENGTH} expected integer, but received Float: 12.5"),
        (None, f"{STRENGTH} does not allow null values"),
        (True, f"{STRENGTH} expected integer, but received TrueClass: true"),
        ([93], f"{STRENGTH} expected integer, but received Array: [93]"),
    ],
)
def test_a_strength_that_is_none(cloud: Cloud, caller: dict[str, str], ready: str, strength: Any, message: str) -> None:
    answer = cloud.call("POST", f"{ASSETS}/{ready}/speech_enhancements", {"strength": strength}, headers=caller)
    assert (answer.status, answer.body) == (422, refusal(message))


def test_no_strength_at_all(cloud: Cloud, caller: dict[str, str], ready: str) -> None:
    answer = cloud.call("POST", f"{ASSETS}/{ready}/speech_enhancements", {}, headers=caller)
    expected = STRENGTH.removesuffix("/properties/strength") + " missing required parameters: strength"
    assert (answer.status, answer.body) == (422, refusal(expected))


def test_json_knows_one_kind_of_number(cloud: Cloud, caller: dict[str, str], ready: str) -> None:
    answer = cloud.call("POST", f"{ASSETS}/{ready}/speech_enhancements", raw='{"strength": 93.0}', headers=caller)
    assert (answer.status, answer.body["strength"]) == (202, 93)


def test_enhancing_before_the_upload(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = cloud.call("POST", ASSETS, ASSET, headers=caller).body
    answer = cloud.call("POST", f"{ASSETS}/{asset['id']}/speech_enhancements", {"strength": 9}, headers=caller)
    assert (answer.status, answer.body) == (422, refusal("Asset has not been uploaded yet"))


def test_each_get_before_the_upload_gives_a_fresh_url(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = cloud.call("POST", ASSETS, ASSET, headers=caller).body
    shown = cloud.call("GET", f"{ASSETS}/{asset['id']}", headers=caller).body
    assert shown["upload_url"]
    assert {**shown, "upload_url": ""} == {**asset, "upload_url": ""}


def test_another_clients_resources_are_not_there(cloud: Cloud, caller: dict[str, str], ready: str) -> None:
    job = cloud.call("POST", f"{ASSETS}/{ready}/speech_enhancements", {"strength": 9}, headers=caller).body
    cloud.drain()
    stranger = cloud.sign_in("other")
    one = f"{ASSETS}/{ready}/speech_enhancements/{job['id']}"
    for method, path, body in (
        ("GET", f"{ASSETS}/{ready}", None),
        ("POST", f"{ASSETS}/{ready}/speech_enhancements", {"strength": 9}),
        ("GET", one, None),
        ("GET", f"{one}/download", None),
        ("GET", f"{one.replace('/v1/', '/api/')}/download", None),
    ):
        answer = cloud.call(method, path, body, headers=stranger)
        assert (answer.status, answer.body) == (404, refusal("Not found"))


@pytest.mark.parametrize("asset_id", [UNKNOWN, "x", "META", "A%23", "c" * 2000, "..", "é"])
def test_ids_that_are_none(cloud: Cloud, caller: dict[str, str], asset_id: str) -> None:
    for path in (f"{ASSETS}/{asset_id}", f"{ASSETS}/{UNKNOWN}/speech_enhancements/{asset_id}"):
        answer = cloud.call("GET", path, headers=caller)
        assert (answer.status, answer.body) == (404, refusal("Not found"))


def test_an_enhancement_is_found_under_its_own_asset_only(cloud: Cloud, caller: dict[str, str], ready: str) -> None:
    job = cloud.call("POST", f"{ASSETS}/{ready}/speech_enhancements", {"strength": 9}, headers=caller).body
    other = cloud.call("POST", ASSETS, ASSET, headers=caller).body
    answer = cloud.call("GET", f"{ASSETS}/{other['id']}/speech_enhancements/{job['id']}", headers=caller)
    assert answer.status == 404


def test_download_before_success(cloud: Cloud, caller: dict[str, str], ready: str) -> None:
    job = cloud.call("POST", f"{ASSETS}/{ready}/speech_enhancements", {"strength": 9}, headers=caller).body
    path = f"{ASSETS}/{ready}/speech_enhancements/{job['id']}/download"
    answer = cloud.call("GET", path, headers=caller)
    assert (answer.status, answer.body) == (404, refusal("Not found"))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/audio_services/v1/nothing", 404),
        ("POST", "/audio_services/v9/assets", 404),
        ("GET", ASSETS, 405),
        ("DELETE", f"{ASSETS}/{UNKNOWN}", 405),
        ("PUT", f"{ASSETS}/{UNKNOWN}/speech_enhancements", 405),
        ("PATCH", ASSETS, 405),
        ("GET", "/audio_services/v1/nothing/", 404),
    ],
)
def test_paths_and_methods_that_are_not_there(
    cloud: Cloud, caller: dict[str, str], method: str, path: str, status: int
) -> None:
    assert cloud.call(method, path).status == status  # for a stranger too
    answer = cloud.call(method, path, headers=caller)
    assert answer.status == status
    assert set(answer.body) == {"error_code", "message"}
    assert (answer.headers.get("Allow") is not None) == (status == 405)


def test_an_unexpected_error_says_nothing_of_itself(
    cloud: Cloud, caller: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("lambdas.core.services.assets.AssetService.show", broken)
    answer = cloud.call("GET", f"{ASSETS}/{UNKNOWN}", headers=caller)
    assert (answer.status, answer.body) == (500, refusal("Internal server error"))


def test_a_trailing_slash_opens_no_door(cloud: Cloud, caller: dict[str, str]) -> None:
    for path in (f"{ASSETS}/{UNKNOWN}/", f"{ASSETS}/{UNKNOWN}//"):
        assert cloud.call("GET", path).status == 403
        assert cloud.call("GET", path, headers=caller).status == 404
    assert cloud.call("POST", f"{ASSETS}/", {"filename": 7}, headers=caller).status == 422


def test_a_lost_wake_up_is_not_the_clients_trouble(
    cloud: Cloud, caller: dict[str, str], ready: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lambdas.adapters.aws.messaging import SqsAdmissionQueue
    from lambdas.core.errors import TransientError

    def away(*_arguments: object) -> None:
        raise TransientError("SQS is away")

    with monkeypatch.context() as patched:
        patched.setattr(SqsAdmissionQueue, "tick", away)
        answer = cloud.call("POST", f"{ASSETS}/{ready}/speech_enhancements", {"strength": 9}, headers=caller)
    assert answer.status == 202
    cloud.sweep()
    cloud.drain()
    path = f"{ASSETS}/{ready}/speech_enhancements/{answer.body['id']}"
    assert cloud.call("GET", path, headers=caller).body["status"] == "succeeded"
