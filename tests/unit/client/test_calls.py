"""What the client repeats and what it does not, how it signs, and what it keeps to itself."""

import logging
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from cleartake_client import (
    ApiError,
    AssetSource,
    CleartakeError,
    Client,
    ClientCredentials,
    RetryPolicy,
    UnreachableError,
    UnreadableAnswerError,
    UrlSource,
)
from tests.unit.client.fake_service import API_KEY, BASE_URL, CLIENT_ID, SECRET, TOKEN, FakeService, problem

Answers = Callable[[httpx.Request], httpx.Response | None]


def first(*answers: httpx.Response | Exception) -> Answers:
    """Meddle with the first requests: answer these, or raise them."""
    left = list(answers)

    def meddle(_request: httpx.Request) -> httpx.Response | None:
        one = left.pop(0) if left else None
        if isinstance(one, Exception):
            raise one
        return one

    return meddle


def paused(tmp_path: Path, service: FakeService, attempts: int = 4) -> tuple[Client, list[float]]:
    pauses: list[float] = []
    return service.client(tmp_path, retry=RetryPolicy(attempts=attempts, sleep=pauses.append)), pauses


SOURCE = UrlSource("https://example.com/talk.wav")


@pytest.mark.parametrize(
    "trouble",
    [
        problem(409, "asset_not_uploaded", retryable=True),
        problem(500, "internal", retryable=True),
        httpx.Response(504, json={"message": "Endpoint request timed out"}),
        httpx.Response(502, text="<html>"),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
    ],
    ids=["retryable", "internal", "gateway", "gateway in HTML", "nobody", "late"],
)
def test_what_may_help_is_tried_again_under_the_same_name(tmp_path: Path, trouble: httpx.Response | Exception) -> None:
    service = FakeService(meddle=first(trouble, trouble))
    client, pauses = paused(tmp_path, service)
    made = client.enhancements.create(SOURCE)
    asked = service.asked("POST", "/v1/enhancements")
    assert (len(asked), len(service.jobs), made.id) == (3, 1, "e0")
    assert len({one.headers["idempotency-key"] for one in asked}) == 1
    assert all(0 <= pause <= limit for pause, limit in zip(pauses, (0.5, 1.0), strict=True))


def test_what_cannot_help_is_not_tried_again(tmp_path: Path) -> None:
    body = {"code": "parameter_invalid", "detail": "strength: too much", "retryable": False, "request_id": "r7"}
    body["errors"] = [{"field": "strength", "message": "too much"}]
    service = FakeService(meddle=first(httpx.Response(422, json=body)))
    client, pauses = paused(tmp_path, service)
    with pytest.raises(ApiError, match=r"strength: too much \(parameter_invalid, HTTP 422, request r7\)") as caught:
        client.enhancements.create(SOURCE)
    error = caught.value
    assert (error.code, error.retryable, error.status, error.request_id) == ("parameter_invalid", False, 422, "r7")
    assert [(one.field, one.message) for one in error.errors] == [("strength", "too much")]
    assert pauses == []
    # The word of the service counts, not the status.
    service.meddle = first(problem(503, "closed_for_good"))
    with pytest.raises(ApiError, match="closed_for_good"):
        client.enhancements.get("e0")
    assert pauses == []


def test_retry_after_is_obeyed(tmp_path: Path) -> None:
    service = FakeService(meddle=first(*(problem(429, "rate_exceeded", retryable=True, Retry_After="7"),) * 2))
    client, pauses = paused(tmp_path, service)
    client.usage()
    assert len(pauses) == 2
    assert all(7 <= pause <= 8 for pause in pauses)


def test_nobody_waits_for_hours(tmp_path: Path) -> None:
    service = FakeService(meddle=first(problem(503, "unavailable", retryable=True, Retry_After="3600")))
    client, pauses = paused(tmp_path, service)
    with pytest.raises(ApiError) as caught:
        client.usage()
    assert (pauses, caught.value.retryable, caught.value.retry_after_s) == ([], True, 3600)


def test_in_the_end_it_gives_up(tmp_path: Path) -> None:
    service = FakeService(meddle=first(*[httpx.ConnectError("Connection refused")] * 9))
    client, pauses = paused(tmp_path, service, attempts=3)
    with pytest.raises(UnreachableError, match=f"{BASE_URL} did not answer: Connection refused"):
        client.usage()
    assert (len(service.requests), len(pauses)) == (3, 2)


def test_a_webhook_is_asked_for_again_under_the_same_key(tmp_path: Path) -> None:
    service = FakeService(meddle=first(httpx.ReadTimeout("late")))
    client, _ = paused(tmp_path, service)
    assert client.webhooks.create("https://example.com/hook").id == "w0"
    keys = [one.headers["idempotency-key"] for one in service.asked("POST", "/v1/webhooks")]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_secret_that_may_have_been_changed_is_not_changed_again(tmp_path: Path) -> None:
    service = FakeService()
    client, _ = paused(tmp_path, service)
    made = client.webhooks.create("https://example.com/hook")
    service.meddle = first(httpx.ReadTimeout("late"))
    with pytest.raises(UnreachableError):
        client.webhooks.rotate_secret(made.id)
    service.meddle = first(problem(500, "internal", retryable=True))
    with pytest.raises(ApiError):
        client.webhooks.rotate_secret(made.id)
    # Whoever was not let in, or never reached anybody, may come again.
    service.meddle = first(problem(429, "rate_exceeded", retryable=True), httpx.ConnectError("refused"))
    assert client.webhooks.rotate_secret(made.id).secret == "whsec_two"


def test_a_webhook_may_be_named_by_who_makes_it(tmp_path: Path) -> None:
    service = FakeService()
    service.client(tmp_path).webhooks.create("https://example.com/hook", idempotency_key="hook-1")
    (asked,) = service.asked("POST", "/v1/webhooks")
    assert asked.headers["idempotency-key"] == "hook-1"


def test_one_name_is_not_its_letters(tmp_path: Path) -> None:
    service = FakeService()
    client = service.client(tmp_path)
    client.webhooks.create("https://example.com/hook", events="enhancement.failed")
    assert service.webhooks["w0"]["events"] == ["enhancement.failed"]
    client.webhooks.create("https://example.com/hook")
    assert service.webhooks["w1"]["events"] == ["*"]
    assert list(client.enhancements.list(status="running")) == []
    assert service.requests[-1].url.params.get_list("status") == ["running"]


def test_a_time_without_a_zone_is_local(tmp_path: Path) -> None:
    service, noon = FakeService(), datetime(2026, 1, 2, 12)  # noqa: DTZ001 - that is the point
    assert list(service.client(tmp_path).enhancements.list(created_after=noon)) == []
    (asked,) = service.asked("GET", "/v1/enhancements")
    sent = datetime.fromisoformat(asked.url.params["created_after"])
    assert sent.utcoffset() is not None
    assert sent == noon.astimezone(UTC)


def test_an_enhancement_is_deleted(tmp_path: Path) -> None:
    service = FakeService(meddle=first(httpx.Response(204)))
    service.client(tmp_path).enhancements.delete("e0")
    assert len(service.asked("DELETE", "/v1/enhancements/e0")) == 1


def test_an_error_comes_out_of_another_process(tmp_path: Path) -> None:
    service = FakeService(meddle=first(problem(422, "parameter_invalid")))
    with pytest.raises(ApiError) as caught:
        service.client(tmp_path).usage()
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert (str(again), again.code, again.status) == (str(caught.value), "parameter_invalid", 422)


@pytest.mark.parametrize("address", ["api.example.com", "localhost:8080", "ftp://example.com"])
def test_an_address_without_a_scheme_is_refused_at_once(address: str) -> None:
    with pytest.raises(ValueError, match="no address like https://"):
        Client(address, API_KEY)


def test_a_redirect_is_told_without_what_may_be_secret(tmp_path: Path) -> None:
    moved = httpx.Response(301, headers={"location": "https://service.test/v1/usage?token=hush"})
    with pytest.raises(UnreachableError, match=r"redirects to https://service\.test: is"):
        FakeService(meddle=first(moved)).client(tmp_path).usage()


def test_every_post_has_a_name(tmp_path: Path) -> None:
    service = FakeService()
    client = service.client(tmp_path)
    made = client.enhancements.create(SOURCE, idempotency_key="episode-42")
    assert client.enhancements.create(SOURCE, idempotency_key="episode-42").id == made.id
    client.enhancements.create(AssetSource("a9"))
    client.enhancements.cancel(made.id)
    client.webhooks.send_test(client.webhooks.create("https://example.com/hook").id)
    names = [one.headers.get("idempotency-key") for one in service.requests if one.method == "POST"]
    assert names[:2] == ["episode-42"] * 2
    assert len(set(names)) == len(names) - 1
    assert None not in names


def test_a_deletion_whose_answer_was_lost_is_a_deletion(tmp_path: Path) -> None:
    service = FakeService()
    client = service.client(tmp_path)
    lost = first(httpx.ReadError("lost"))
    service.meddle = lambda request: lost(request) if request.method == "DELETE" else None
    client.assets.delete("gone")
    with pytest.raises(ApiError, match="not_found"):
        client.assets.delete("never there")


def test_a_token_is_fetched_once_and_renewed_before_its_end(tmp_path: Path) -> None:
    service, now = FakeService(), [1000.0]
    client = service.client_with_secret(tmp_path, now=lambda: now[0])
    client.usage()
    client.usage()
    assert len(service.asked("POST", "/ims/token/v3")) == 1
    now[0] += 86399 - 301
    client.usage()
    assert len(service.asked("POST", "/ims/token/v3")) == 1
    now[0] += 2
    client.usage()
    assert len(service.asked("POST", "/ims/token/v3")) == 2


def test_a_token_that_is_refused_is_replaced_once(tmp_path: Path) -> None:
    service = FakeService()
    client = service.client_with_secret(tmp_path)
    client.usage()
    service.meddle = first(problem(401, "token_invalid"))
    client.usage()
    assert len(service.asked("POST", "/ims/token/v3")) == 2
    service.meddle = lambda request: problem(401, "token_invalid") if request.url.path == "/v1/usage" else None
    with pytest.raises(ApiError, match="token_invalid"):
        client.usage()
    assert len(service.asked("POST", "/ims/token/v3")) == 3


def test_wrong_credentials_are_said(tmp_path: Path) -> None:
    service = FakeService()
    client = service.client(tmp_path, api_key=None, credentials=ClientCredentials(CLIENT_ID, "wrong"))
    with pytest.raises(ApiError, match="invalid_client"):
        client.usage()
    with pytest.raises(ApiError, match="token_invalid"):
        service.client(tmp_path, api_key="client-1.wrong").usage()
    with pytest.raises(ValueError, match="either"):
        Client(BASE_URL)


def test_a_wrong_address_is_told_from_a_broken_service(tmp_path: Path) -> None:
    service = FakeService(meddle=lambda _request: httpx.Response(200, html="<html>a shop</html>"))
    with pytest.raises(UnreachableError, match="is it the service"):
        service.client(tmp_path).usage()
    service.meddle = lambda _request: httpx.Response(200, json={"shop": 1})
    with pytest.raises(UnreadableAnswerError, match="Usage"):
        service.client(tmp_path).usage()
    with pytest.raises(UnreadableAnswerError, match="no list"):
        list(service.client(tmp_path).assets.list())


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (httpx.Response(200, html="<html>sign in</html>"), UnreachableError, "is it the service"),
        (httpx.Response(200), UnreachableError, "is it the service"),
        (httpx.Response(200, json={"access_token": TOKEN}), UnreadableAnswerError, "no Token: 'expires_in'"),
        (httpx.Response(200, json={"expires_in": 60}), UnreadableAnswerError, "no Token: 'access_token'"),
        (httpx.Response(200, json=[]), UnreadableAnswerError, "no Token"),
    ],
    ids=["a page", "nothing", "no life", "no token", "a list"],
)
def test_what_is_no_token_is_told_as_such(
    tmp_path: Path, answer: httpx.Response, error: type[CleartakeError], words: str
) -> None:
    service = FakeService(meddle=first(answer))
    with pytest.raises(error, match=words):
        service.client_with_secret(tmp_path).usage()


def test_secrets_are_in_no_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    service = FakeService()
    credentials = ClientCredentials(CLIENT_ID, SECRET)
    client = service.client(tmp_path, api_key=None, credentials=credentials)
    file = tmp_path / "talk.wav"
    file.write_bytes(b"RIFF")
    made = client.enhance(str(file), wait=False)
    hook = client.webhooks.create("https://example.com/hook", secret="whsec_mine")
    client.enhancements.download(client.enhancements.wait(made.id).id, tmp_path)
    with service.client(tmp_path) as keyed:
        texts = [repr(one) for one in (client, keyed, keyed._caller, credentials, made, hook, keyed.assets)]
    assert "talk" in caplog.text or "/v1/enhancements" in caplog.text
    for text in (caplog.text, *texts):
        assert not any(secret in text for secret in (SECRET, API_KEY, TOKEN, "abcdef0123", "whsec_one", "whsec_mine"))
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own


def test_lists_are_fetched_page_by_page(tmp_path: Path) -> None:
    service = FakeService()
    client = service.client(tmp_path)
    for number in range(5):
        client.enhancements.create(SOURCE, idempotency_key=str(number))
    found = client.enhancements.list(status=["running", "queued"], page_size=2)
    assert next(found).id == "e0"
    assert len(service.asked("GET", "/v1/enhancements")) == 1
    assert [one.id for one in found] == ["e1", "e2", "e3", "e4"]
    asked = service.asked("GET", "/v1/enhancements")
    assert [one.url.params.get("cursor") for one in asked] == [None, "2", "4"]
    assert asked[0].url.params.get_list("status") == ["running", "queued"]
    assert [one.id for one in client.webhooks.deliveries("w0", page_size=2)] == ["msg_0", "msg_1", "msg_2"]
