"""The native API through the real handlers: what none of the hosted services has."""

from datetime import UTC, datetime
from typing import Any

import boto3
import jsonschema_rs
import pytest
import requests

from lambdas import bootstrap
from lambdas.core.clock import to_text
from lambdas.core.errors import TransientError
from lambdas.core.rates import DEFAULT_LIMITS, WINDOW_S, RateClass
from lambdas.core.services.listing import JobListing
from lambdas.dialects.native.enhancement_routes import MAX_WAIT_S
from lambdas.dialects.openapi import document
from tests.integration.cloud import AUDIO, BASE_URL, TABLE, Answer, Cloud, md5_of
from tests.integration.conftest import GOOD, POISON, pretend_work

UPLOAD = {"filename": "talk.wav", "size_bytes": len(GOOD), "content_type": "audio/wav", "checksum_md5": md5_of(GOOD)}


@pytest.fixture
def caller(cloud: Cloud) -> dict[str, str]:
    return cloud.sign_in("acme")


def enhance(cloud: Cloud, caller: dict[str, str], key: str | None = None, **changes: Any) -> Answer:
    body = {"source": {"upload": UPLOAD}, "strength": 80} | changes
    headers = caller | ({"Idempotency-Key": key} if key else {})
    return cloud.call("POST", "/v1/enhancements", body, headers=headers)


def send(cloud: Cloud, caller: dict[str, str], made: dict[str, Any], data: bytes = GOOD) -> None:
    upload = made["upload"]
    assert requests.put(upload["url"], data=data, headers=upload["headers"], timeout=5).status_code == 200
    cloud.uploaded(made["asset_id"], caller["x-api-key"])


def show(cloud: Cloud, caller: dict[str, str], job_id: str, query: str = "") -> Any:
    return cloud.call("GET", f"/v1/enhancements/{job_id}{query}", headers=caller).body


@pytest.mark.parametrize("media_type", ["video/quicktime", "video/x-matroska", "audio/amr"])
def test_films_are_taken_by_their_own_names_and_adobes_api_shows_them(
    cloud: Cloud, caller: dict[str, str], media_type: str
) -> None:
    made = cloud.call("POST", "/v1/assets", UPLOAD | {"content_type": media_type}, headers=caller)
    assert made.status == 201, made.body
    seen = cloud.call("GET", f"/audio_services/v1/assets/{made.body['id']}", headers=caller)
    assert (seen.status, seen.body["content_type"]) == (200, media_type)


def test_one_call_and_one_upload(cloud: Cloud, caller: dict[str, str]) -> None:
    options = {"dereverb": "on", "loudness_lufs": -16, "report": "basic"}
    answer = enhance(cloud, caller, strength=72.5, model="dfn3-hq", reference="episode 7", options=options)
    assert answer.status == 202, answer.text
    made = answer.body
    assert (made["status"], made["upload"]["method"]) == ("waiting_for_upload", "PUT")
    assert answer.headers["Location"] == f"{BASE_URL}/v1/enhancements/{made['id']}" == made["links"]["self"]
    assert show(cloud, caller, made["id"])["status"] == "waiting_for_upload"
    send(cloud, caller, made)
    waiting = show(cloud, caller, made["id"])
    assert (waiting["status"], waiting["queue_position"]) == ("queued", 1)
    cloud.drain()
    done = show(cloud, caller, made["id"], "?wait=1")
    assert (done["status"], done["strength"], done["reference"]) == ("succeeded", 72.5, "episode 7")
    (order,) = cloud.dispatched
    assert (order.model, order.dereverb, order.loudness_lufs, order.report) == ("dfn3-hq", "on", -16, "basic")
    found = cloud.call("GET", f"/v1/enhancements/{made['id']}/download", headers=caller)
    assert found.status == 302
    assert requests.get(found.headers["Location"], timeout=5).content == GOOD
    usage = cloud.call("GET", "/v1/usage", headers=caller).body
    assert [day["succeeded"] for day in usage["days"]] == [1]


def test_bytes_that_are_not_audio_fail_the_enhancement_that_waits_for_them(
    cloud: Cloud, caller: dict[str, str]
) -> None:
    data = b"no sound at all"
    upload = UPLOAD | {"size_bytes": len(data), "checksum_md5": md5_of(data)}
    made = enhance(cloud, caller, source={"upload": upload}).body
    send(cloud, caller, made, data)
    failed = show(cloud, caller, made["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "input_corrupt")
    assert [outcome["job_id"] for outcome in cloud.outcomes()] == [made["id"]]


def test_what_one_dialect_makes_the_other_sees(cloud: Cloud, caller: dict[str, str]) -> None:
    made = enhance(cloud, caller, strength=93).body
    send(cloud, caller, made)
    cloud.drain()
    adobe = f"/audio_services/v1/assets/{made['asset_id']}"
    assert cloud.call("GET", adobe, headers=caller).body["status"] == "ready_for_processing"
    job = cloud.call("GET", f"{adobe}/speech_enhancements/{made['id']}", headers=caller).body
    assert (job["status"], job["strength"]) == ("succeeded", 93)


def test_the_same_key_makes_nothing_new(cloud: Cloud, caller: dict[str, str]) -> None:
    first = enhance(cloud, caller, key="k1")
    again = enhance(cloud, caller, key="k1")
    assert (again.status, again.body["id"], again.body["asset_id"]) == (202, first.body["id"], first.body["asset_id"])
    other = enhance(cloud, caller, key="k1", strength=81)
    assert (other.status, other.body["code"]) == (422, "idempotency_mismatch")
    assert enhance(cloud, cloud.sign_in("other"), key="k1").body["id"] != first.body["id"]
    assert len(cloud.call("GET", "/v1/enhancements", headers=caller).body["items"]) == 1


def test_who_comes_before_the_recording_is_told_to_come_again(cloud: Cloud, caller: dict[str, str]) -> None:
    """Its bytes may be there and be looked at: one by one, and in a batch."""
    asset = cloud.call("POST", "/v1/assets", UPLOAD, headers=caller).body
    body = {"source": {"asset_id": asset["id"]}, "strength": 80}
    early = enhance(cloud, caller, **body)
    assert (early.status, early.body["code"], early.body["retryable"]) == (409, "asset_not_uploaded", True)
    assert int(early.headers["Retry-After"]) > 0
    (item,) = cloud.call("POST", "/v1/batches", {"items": [body]}, headers=caller).body["items"]
    assert (item["error"]["code"], item["error"]["retryable"]) == ("asset_not_uploaded", True)
    send(cloud, caller, {"upload": asset["upload"], "asset_id": asset["id"]})
    assert enhance(cloud, caller, **body).status == 202


def test_a_batch_sent_again_makes_nothing_of_what_was_refused(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = cloud.call("POST", "/v1/assets", UPLOAD, headers=caller).body
    items = [{"source": {"upload": UPLOAD}, "strength": 10}, {"source": {"asset_id": asset["id"]}, "strength": 20}]
    headers = caller | {"Idempotency-Key": "b2"}
    first = cloud.call("POST", "/v1/batches", {"items": items}, headers=headers).body
    send(cloud, caller, {"upload": asset["upload"], "asset_id": asset["id"]})
    again = cloud.call("POST", "/v1/batches", {"items": items}, headers=headers).body
    assert again["counts"] == first["counts"] == {"waiting_for_upload": 1, "refused": 1}
    made = [one["id"] for one in cloud.call("GET", "/v1/enhancements", headers=caller).body["items"]]
    assert made == [first["items"][0]["enhancement"]["id"]]
    send(cloud, caller, again["items"][0]["enhancement"])


def test_cancel_before_and_after_the_upload(cloud: Cloud, caller: dict[str, str]) -> None:
    early, late = enhance(cloud, caller).body, enhance(cloud, caller).body
    send(cloud, caller, late)
    for made in (early, late):
        answer = cloud.call("POST", f"/v1/enhancements/{made['id']}/cancel", headers=caller)
        assert (answer.status, answer.body["status"]) == (200, "cancelled")
    send(cloud, caller, early)
    assert cloud.drain() == 0
    assert show(cloud, caller, early["id"])["status"] == "cancelled"


def test_what_has_ended_cannot_be_cancelled(cloud: Cloud, caller: dict[str, str]) -> None:
    made = enhance(cloud, caller).body
    send(cloud, caller, made)
    cloud.drain()
    answer = cloud.call("POST", f"/v1/enhancements/{made['id']}/cancel", headers=caller)
    assert (answer.status, answer.body["code"], answer.body["retryable"]) == (409, "already_finished", False)


def test_deleting_a_recording(cloud: Cloud, caller: dict[str, str]) -> None:
    made = enhance(cloud, caller).body
    send(cloud, caller, made)
    cloud.drain()
    path = f"/v1/assets/{made['asset_id']}"
    assert cloud.call("DELETE", path, headers=cloud.sign_in("other")).status == 404
    assert cloud.call("DELETE", path, headers=caller).status == 204
    assert cloud.call("GET", path, headers=caller).status == 404
    assert cloud.call("DELETE", path, headers=caller).status == 404
    assert cloud.call("GET", f"/v1/enhancements/{made['id']}/download", headers=caller).status == 404
    cloud.deliver_erasing()
    assert cloud.call("GET", f"/v1/enhancements/{made['id']}", headers=caller).status == 404


def test_deleting_an_enhancement(cloud: Cloud, caller: dict[str, str]) -> None:
    kept = enhance(cloud, caller).body
    send(cloud, caller, kept)
    cloud.drain()
    source = {"asset_id": kept["asset_id"]}
    made = enhance(cloud, caller, key="k1", source=source, strength=30).body
    path = f"/v1/enhancements/{made['id']}"
    refused = cloud.call("DELETE", path, headers=caller)
    assert (refused.status, refused.body["code"], refused.body["retryable"]) == (409, "enhancement_not_finished", False)
    assert "cancel it first" in refused.body["detail"]
    cloud.drain()
    usage = cloud.call("GET", "/v1/usage", headers=caller).body
    assert cloud.call("DELETE", path, headers=cloud.sign_in("other")).status == 404
    deleted = cloud.call("DELETE", path, headers=caller)
    assert (deleted.status, deleted.text) == (204, "")
    assert cloud.call("DELETE", path, headers=caller).status == 404
    for gone in (path, f"{path}/download", f"{path}/report"):
        assert cloud.call("GET", gone, headers=caller).status == 404
    assert cloud.deliver_erasing() == {"batchItemFailures": []}
    listed = cloud.s3.list_object_versions(Bucket=AUDIO).get("Versions", [])
    assert sorted(one["Key"].split("/")[0] for one in listed) == ["in", "out"]
    assert not [one["Key"] for one in listed if made["id"] in one["Key"]]
    assert cloud.call("GET", f"/v1/enhancements/{kept['id']}/download", headers=caller).status == 302
    assert cloud.call("GET", f"/v1/assets/{kept['asset_id']}", headers=caller).status == 200
    assert cloud.call("GET", "/v1/usage", headers=caller).body == usage
    again = enhance(cloud, caller, key="k1", source=source, strength=30)
    assert (again.status, again.body["code"], again.body["retryable"]) == (410, "enhancement_deleted", False)
    assert enhance(cloud, caller, key="k2", source=source, strength=30).status == 202


def test_a_batch_shows_what_was_deleted_of_it(cloud: Cloud, caller: dict[str, str]) -> None:
    items = [{"source": {"upload": UPLOAD}, "strength": strength} for strength in (10, 20)]
    batch = cloud.call("POST", "/v1/batches", {"items": items}, headers=caller).body
    first, _ = (item["enhancement"]["id"] for item in batch["items"])
    cloud.call("POST", f"/v1/enhancements/{first}/cancel", headers=caller)
    assert cloud.call("DELETE", f"/v1/enhancements/{first}", headers=caller).status == 204
    shown = cloud.call("GET", f"/v1/batches/{batch['id']}", headers=caller).body
    assert shown["counts"] == {"deleted": 1, "waiting_for_upload": 1}
    assert [item["error"] and item["error"]["code"] for item in shown["items"]] == ["enhancement_deleted", None]
    assert not shown["finished"]


def test_lists_in_pages_with_filters(cloud: Cloud, caller: dict[str, str]) -> None:
    ids = [enhance(cloud, caller).body["id"] for _ in range(5)]
    cloud.call("POST", f"/v1/enhancements/{ids[0]}/cancel", headers=caller)
    first = cloud.call("GET", "/v1/enhancements?limit=2", headers=caller).body
    second = cloud.call("GET", f"/v1/enhancements?limit=3&cursor={first['next_cursor']}", headers=caller).body
    assert [one["id"] for one in first["items"] + second["items"]] == ids[::-1]
    assert second["next_cursor"] is None
    cancelled = cloud.call("GET", "/v1/enhancements?status=cancelled", headers=caller).body
    assert [one["id"] for one in cancelled["items"]] == ids[:1]
    refused = cloud.call("GET", "/v1/enhancements?cursor=nonsense", headers=caller)
    assert (refused.status, refused.body["code"]) == (422, "parameter_invalid")
    assert len(cloud.call("GET", "/v1/assets?limit=3", headers=caller).body["items"]) == 3


def test_a_page_links_to_the_next_with_its_own_filters(cloud: Cloud, caller: dict[str, str]) -> None:
    ids = [enhance(cloud, caller).body["id"] for _ in range(5)]
    url, seen = f"{BASE_URL}/v1/enhancements?limit=2&status=waiting_for_upload&status=queued", []
    while url:
        assert url.startswith(f"{BASE_URL}/v1/enhancements?limit=2&status=waiting_for_upload&status=queued")
        page = cloud.call("GET", url.removeprefix(BASE_URL), headers=caller).body
        seen += [one["id"] for one in page["items"]]
        url = page["nextLink"]
    assert seen == ids[::-1]
    assets = cloud.call("GET", "/v1/assets?limit=3", headers=caller).body
    again = cloud.call("GET", assets["nextLink"].removeprefix(BASE_URL), headers=caller).body
    assert (len(again["items"]), again["nextLink"]) == (2, None)


def test_a_run_answers_202_until_the_enhancement_has_ended(cloud: Cloud, caller: dict[str, str]) -> None:
    body = {"source": {"upload": UPLOAD}, "strength": 80}
    asked = cloud.call("POST", "/v1/runs", body, headers=caller | {"Idempotency-Key": "k1"})
    assert (asked.status, asked.headers["Retry-After"]) == (202, "2")
    location = asked.headers["Location"]
    assert location == f"{BASE_URL}/v1/runs/{asked.body['id']}"
    path = location.removeprefix(BASE_URL)
    waiting = cloud.call("GET", path, headers=caller)
    assert (waiting.status, waiting.headers["Location"], waiting.headers["Retry-After"]) == (202, location, "2")
    send(cloud, caller, asked.body)
    assert cloud.call("GET", path, headers=caller).status == 202
    cloud.drain()
    done = cloud.call("GET", path, headers=caller)
    assert (done.status, done.body["status"]) == (200, "succeeded")
    assert done.body == show(cloud, caller, asked.body["id"])
    assert not {"Location", "Retry-After"} & set(done.headers)
    again = enhance(cloud, caller, key="k1")
    assert again.body["id"] == asked.body["id"], "a run is the same enhancement"


def test_a_run_ends_however_the_enhancement_does(cloud: Cloud, caller: dict[str, str]) -> None:
    body = {"source": {"upload": UPLOAD}, "strength": 80}
    made = cloud.call("POST", "/v1/runs", body, headers=caller).body
    cloud.call("POST", f"/v1/enhancements/{made['id']}/cancel", headers=caller)
    ended = cloud.call("GET", f"/v1/runs/{made['id']}", headers=caller)
    assert (ended.status, ended.body["status"]) == (200, "cancelled")


def test_links_for_those_who_follow_no_redirect(cloud: Cloud, caller: dict[str, str]) -> None:
    made = enhance(cloud, caller).body
    send(cloud, caller, made)
    path = f"/v1/enhancements/{made['id']}/download/link"
    assert cloud.call("GET", path, headers=caller).status == 404
    cloud.drain()
    link = cloud.call("GET", path, headers=caller)
    assert (link.status, link.headers["Cache-Control"]) == (200, "no-store")
    assert requests.get(link.body["url"], timeout=5).content == GOOD
    assert link.body["expires_at"] > made["created_at"]
    no_report = cloud.call("GET", f"/v1/enhancements/{made['id']}/report/link", headers=caller)
    assert (no_report.status, no_report.body["code"]) == (404, "not_found")


def test_where_a_webhook_is_said_to_be_it_is_deleted(cloud: Cloud, caller: dict[str, str]) -> None:
    made = cloud.call("POST", "/v1/webhooks", {"url": "https://93.184.216.34/hook"}, headers=caller)
    assert (made.status, made.headers["Location"]) == (201, f"{BASE_URL}/v1/webhooks/{made.body['id']}")
    path = made.headers["Location"].removeprefix(BASE_URL)
    assert [cloud.call("DELETE", path, headers=caller).status for _ in range(2)] == [204, 404]


def test_what_the_document_says_of_a_url_is_what_is_taken(cloud: Cloud, caller: dict[str, str]) -> None:
    schema = document()["components"]["schemas"]["NativeEnhancementRequest"] | {"components": document()["components"]}
    asked = jsonschema_rs.Draft202012Validator(schema)
    url = {"href": "https://example.com/talk.wav"}
    assert asked.is_valid({"source": {"url": url}, "strength": 80, "retain_hours": 24})
    for source in ({"url": url, "asset_id": "a"}, {"url": url, "upload": UPLOAD}, {}):
        assert not asked.is_valid({"source": source, "strength": 80})


def test_a_batch_accepts_what_it_can(cloud: Cloud, caller: dict[str, str]) -> None:
    items = [
        {"source": {"upload": UPLOAD}, "strength": 10},
        {"source": {"asset_id": "00000000-0000-4000-8000-000000000000"}, "strength": 20},
        {"source": {"upload": UPLOAD}, "strength": 30},
    ]
    headers = caller | {"Idempotency-Key": "b1"}
    answer = cloud.call("POST", "/v1/batches", {"items": items, "reference": "season 2"}, headers=headers)
    assert answer.status == 202, answer.text
    batch = answer.body
    assert [item["index"] for item in batch["items"]] == [0, 1, 2]
    assert batch["items"][1]["error"]["code"] == "not_found"
    assert (batch["finished"], batch["counts"]) == (False, {"waiting_for_upload": 2, "refused": 1})
    again = cloud.call("POST", "/v1/batches", {"items": items, "reference": "season 2"}, headers=headers).body
    assert [item["enhancement"] and item["enhancement"]["id"] for item in again["items"]] == [
        item["enhancement"] and item["enhancement"]["id"] for item in batch["items"]
    ]
    for index in (0, 2):
        send(cloud, caller, batch["items"][index]["enhancement"])
    cloud.drain()
    done = cloud.call("GET", f"/v1/batches/{batch['id']}", headers=caller).body
    assert (done["finished"], done["counts"]) == (True, {"succeeded": 2, "refused": 1})
    assert cloud.call("GET", f"/v1/batches/{batch['id']}", headers=cloud.sign_in("other")).status == 404


def test_a_client_learns_what_it_may_still_do_and_when_to_come_again(cloud: Cloud, caller: dict[str, str]) -> None:
    bootstrap.client_administration(TABLE).set_rate_limit(caller["x-api-key"], RateClass.NATIVE, 3)
    answers = [cloud.call("GET", "/v1/assets", headers=caller) for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"minute";q=3;w=60'
    assert answers[0].headers["RateLimit"].startswith('"minute";r=2;t=')
    assert 0 < int(answers[3].headers["Retry-After"]) <= 65
    assert answers[3].headers["RateLimit-Policy"] == answers[0].headers["RateLimit-Policy"]
    assert answers[3].headers["RateLimit"] == f'"minute";r=0;t={answers[3].headers["Retry-After"]}'
    assert (answers[3].body["code"], answers[3].body["retryable"]) == ("rate_exceeded", True)


def test_calls_that_wait_are_counted_apart_since_each_keeps_a_function_busy(
    cloud: Cloud, caller: dict[str, str]
) -> None:
    assert DEFAULT_LIMITS[RateClass.NATIVE_WAIT] * MAX_WAIT_S / WINDOW_S <= 40, "functions that one client may occupy"
    bootstrap.client_administration(TABLE).set_rate_limit(caller["x-api-key"], RateClass.NATIVE_WAIT, 2)
    nothing = "/v1/enhancements/00000000-0000-4000-8000-000000000000"

    waiting = [cloud.call("GET", f"{nothing}?wait=20", headers=caller).status for _ in range(3)]
    at_once = [cloud.call("GET", f"{nothing}{query}", headers=caller).status for query in ("", "?wait=0")]

    assert (waiting, at_once) == ([404, 404, 429], [404, 404])


def test_refusals_say_too_what_a_client_may_still_do(cloud: Cloud, caller: dict[str, str]) -> None:
    bootstrap.client_administration(TABLE).set_rate_limit(caller["x-api-key"], RateClass.NATIVE, 5)
    nothing = "/v1/enhancements/00000000-0000-4000-8000-000000000000"
    answers = [
        cloud.call("GET", nothing, headers=caller),
        cloud.call("DELETE", nothing, headers=caller),
        cloud.call("GET", "/v1/assets?limit=0", headers=caller),
        cloud.call("GET", "/v1/assets", headers=caller),
        cloud.call("GET", "/v1/usage", headers=caller),
        cloud.call("GET", "/v1/usage", headers=caller),
    ]
    assert [answer.status for answer in answers] == [404, 404, 422, 200, 200, 429]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"minute";q=5;w=60'}
    left = [answer.headers["RateLimit"].partition(";t=")[0] for answer in answers]
    assert left == [f'"minute";r={count}' for count in (4, 3, 2, 1, 0, 0)]
    assert "Retry-After" in answers[5].headers


@pytest.mark.parametrize(
    ("failure", "status"), [(TransientError("the table is away"), 503), (RuntimeError("a mistake"), 500)]
)
def test_what_may_pass_says_when_to_come_again(
    cloud: Cloud, caller: dict[str, str], monkeypatch: pytest.MonkeyPatch, failure: Exception, status: int
) -> None:
    def fail(*_arguments: object, **_named: object) -> None:
        raise failure

    monkeypatch.setattr(JobListing, "page", fail)
    answer = cloud.call("GET", "/v1/enhancements", headers=caller)
    assert (answer.status, answer.body["retryable"]) == (status, True)
    assert int(answer.headers["Retry-After"]) >= 1
    assert "RateLimit" in answer.headers
    assert str(failure) not in answer.text


def test_lists_and_batches_show_places_in_the_queue_and_what_is_left(
    cloud: Cloud, caller: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [{"source": {"upload": UPLOAD}, "strength": strength} for strength in (10, 20, 30)]
    batch = cloud.call("POST", "/v1/batches", {"items": items}, headers=caller).body
    made = [item["enhancement"] for item in batch["items"]]
    for one in made[:2]:
        send(cloud, caller, one)
    listed = cloud.call("GET", "/v1/enhancements", headers=caller).body["items"]
    assert {one["id"]: one["queue_position"] for one in listed} == dict(
        zip([one["id"] for one in made], (1, 2, None), strict=True)
    )
    shown = cloud.call("GET", f"/v1/batches/{batch['id']}", headers=caller).body["items"]
    assert [item["enhancement"]["queue_position"] for item in shown] == [1, 2, None]
    seen: list[Any] = []

    def working(order: Any) -> Any:
        key = {"pk": f"C#{caller['x-api-key']}", "sk": f"J#{order.job_id}"}
        boto3.resource("dynamodb").Table(TABLE).update_item(
            Key=key,
            UpdateExpression="SET #status = :running, progress = :half, started_at = :begun",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":running": "running", ":half": 50, ":begun": to_text(datetime.now(UTC))},
        )
        running = cloud.call("GET", "/v1/enhancements?status=running", headers=caller).body["items"]
        seen.extend(one for one in running if one["id"] == order.job_id)
        return pretend_work(order)

    monkeypatch.setattr(cloud, "work", working)
    cloud.drain()
    assert [(one["eta_s"] >= 1, one["progress_percent"]) for one in seen] == [(True, 50)] * 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"source": {}, "strength": 80}, "source"),
        ({"source": {"asset_id": "x", "upload": UPLOAD}, "strength": 80}, "source"),
        ({"source": {"upload": UPLOAD}, "strength": "80"}, "strength"),
        ({"source": {"upload": UPLOAD}, "strength": 100.1}, "strength"),
        ({"source": {"upload": UPLOAD}, "strength": 12.34}, "strength"),
        ({"source": {"upload": UPLOAD}, "strength": True}, "strength"),
        ({"source": {"upload": UPLOAD}, "strength": 80, "stength": 1}, "stength"),
        ({"source": {"upload": UPLOAD}, "strength": 80, "options": {"loudness_lufs": -60}}, "options.loudness_lufs"),
        ({"source": {"upload": UPLOAD | {"content_type": "text/plain"}}, "strength": 80}, "source.upload.content_type"),
        ({"source": {"upload": UPLOAD | {"size_bytes": 6 * 2**30}}, "strength": 80}, "source.upload"),
    ],
)
def test_a_request_that_is_not_valid_says_which_field(
    cloud: Cloud, caller: dict[str, str], body: dict[str, Any], field: str
) -> None:
    answer = cloud.call("POST", "/v1/enhancements", body, headers=caller)
    assert answer.status == 422, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["code"] == "parameter_invalid"
    assert field in {error["field"] for error in answer.body["errors"]}
    assert field in answer.body["detail"]


def test_who_is_calling(cloud: Cloud, caller: dict[str, str]) -> None:
    assert cloud.call("GET", "/v1/assets").status == 401
    assert cloud.call("GET", "/v1/assets", headers={"x-api-key": caller["x-api-key"]}).status == 403
    assert cloud.call("GET", "/v1/assets", headers={"authorization": caller["authorization"]}).status == 200
    assert cloud.call("GET", "/v1/nothing", headers=caller).body["code"] == "not_found"
    refused = cloud.call("PUT", "/v1/assets", headers=caller)
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, POST")


def test_an_api_key_is_enough_for_a_client_that_takes_them(cloud: Cloud) -> None:
    administration = bootstrap.client_administration(TABLE)
    client, secret = administration.create("flow", takes_api_keys=True)
    strict, other = administration.create("strict")
    for key, status in (
        (f"{client.id}.{secret}", 200),
        (f"{client.id}.{secret}", 200),
        (f"{client.id}.wrong", 403),
        (f"{strict.id}.{other}", 403),
    ):
        assert cloud.call("GET", "/v1/assets", headers={"x-api-key": key}).status == status


def test_a_poison_file_says_so_in_the_end(cloud: Cloud, caller: dict[str, str]) -> None:
    upload = UPLOAD | {"size_bytes": len(POISON), "checksum_md5": md5_of(POISON)}
    made = enhance(cloud, caller, source={"upload": upload}).body
    send(cloud, caller, made, POISON)
    cloud.drain()
    failed = show(cloud, caller, made["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "input_corrupt")


def test_a_recording_is_deleted_when_its_client_wanted(cloud: Cloud, caller: dict[str, str]) -> None:
    made = cloud.call("POST", "/v1/assets", UPLOAD | {"retain_hours": 1}, headers=caller).body
    assert made["retain_until"] > made["created_at"]
    send(cloud, caller, made | {"asset_id": made["id"]})
    key = {"pk": f"C#{caller['x-api-key']}", "sk": f"A#{made['id']}"}
    item = boto3.resource("dynamodb").Table(TABLE).get_item(Key=key)["Item"]
    assert str(item["gsi3pk"]).startswith("S#retained#")


def test_uploads_that_the_queue_has_no_room_for_are_queued_later(cloud: Cloud) -> None:
    caller = cloud.sign_in("small", max_queued=1)
    made = [enhance(cloud, caller).body for _ in range(3)]
    for one in made:
        send(cloud, caller, one)
    seen = []
    for _ in made:
        seen.append([show(cloud, caller, one["id"])["status"] for one in made])
        assert cloud.drain() == 1
        cloud.sweep()
    assert seen[0] == ["queued", "waiting_for_upload", "waiting_for_upload"]
    assert [statuses.count("queued") for statuses in seen] == [1, 1, 1]
    assert {show(cloud, caller, one["id"])["status"] for one in made} == {"succeeded"}
