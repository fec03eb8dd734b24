"""Pages of other sites: none may call unless their origin was configured; then they may, and others still may not."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lambdas import bootstrap
from lambdas.entrypoints import api
from tests.integration.cloud import Cloud, Context, _proxy_event

PAGE, OTHER = "https://app.example.com", "https://evil.example.com"
Call = Callable[..., tuple[int, dict[str, str], str]]


@pytest.fixture
def served(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Call]:
    """Return what makes the function of one dialect, configured with some origins."""

    def serve(*origins: str, dialect: str = "native") -> Call:
        monkeypatch.setenv("CLEARTAKE_DIALECT", dialect)
        if origins:
            monkeypatch.setenv("CLEARTAKE_CORS_ORIGINS", json.dumps(origins))
        for cached in (bootstrap.api_settings, api._resolver, api._cors):
            cached.cache_clear()

        def call(method: str, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
            event = _proxy_event(method, path, None)
            event["headers"] = {name.replace("_", "-"): value for name, value in headers.items()}
            answer: dict[str, Any] = api.handler(event, Context())
            found = {name.lower(): values[-1] for name, values in (answer.get("multiValueHeaders") or {}).items()}
            return answer["statusCode"], found, answer["body"]

        return call

    return serve


@pytest.fixture(autouse=True)
def forget() -> Any:
    yield
    for cached in (api._resolver, api._cors):
        cached.cache_clear()


def preflight(call: Call, path: str, origin: str, method: str = "POST") -> tuple[int, dict[str, str], str]:
    return call("OPTIONS", path, Origin=origin, Access_Control_Request_Method=method)


def about_origins(headers: dict[str, str]) -> set[str]:
    return {name for name in headers if name.startswith("access-control-") or name == "vary"}


def test_nothing_is_said_unless_it_was_configured(served: Callable[..., Call], cloud: Cloud) -> None:
    call, caller = served(), cloud.sign_in("acme")
    status, headers, _ = call("GET", "/v1/assets", Origin=PAGE, **caller)
    assert (status, about_origins(headers)) == (200, set())
    status, headers, _ = preflight(call, "/v1/assets", PAGE)
    assert (status, about_origins(headers)) == (405, set())


@pytest.mark.parametrize(
    ("dialect", "path", "methods"),
    [
        ("native", "/v1/enhancements", "GET, POST"),
        ("native", "/v1/webhooks/5b8e2a94-63b1-4f0e-8d0c-2f6f3f1d9c77", "DELETE, GET, PATCH"),
        ("adobe", "/audio_services/v1/assets", "POST"),
        ("adobe-v2", "/v2/assets/5b8e2a94-63b1-4f0e-8d0c-2f6f3f1d9c77", "DELETE, GET"),
    ],
)
def test_a_browser_may_ask_for_a_page_that_was_named(
    served: Callable[..., Call], dialect: str, path: str, methods: str
) -> None:
    status, headers, body = preflight(served(PAGE, dialect=dialect), path, PAGE)
    assert (status, body) == (204, "")
    assert headers["access-control-allow-origin"] == PAGE
    assert headers["access-control-allow-methods"] == methods
    assert {"authorization", "content-type", "idempotency-key", "x-api-key"} == set(
        headers["access-control-allow-headers"].split(", ")
    )
    assert "access-control-allow-credentials" not in headers
    assert headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", [OTHER, "null", "*", "", f"{PAGE}.evil.example.com", "http://app.example.com"])
def test_other_pages_may_not(served: Callable[..., Call], cloud: Cloud, origin: str) -> None:
    call, caller = served(PAGE), cloud.sign_in("acme")
    status, headers, _ = preflight(call, "/v1/enhancements", origin)
    assert (status, about_origins(headers)) == (405, {"vary"})
    _, headers, _ = call("GET", "/v1/enhancements", Origin=origin, **caller)
    assert about_origins(headers) == {"vary"}


def test_answers_and_refusals_can_be_read_by_the_page(served: Callable[..., Call], cloud: Cloud) -> None:
    call, caller = served(PAGE, "https://second.example.com"), cloud.sign_in("acme")
    for expected, credentials in ((200, caller), (401, {})):
        status, headers, _ = call("GET", "/v1/enhancements", Origin=PAGE, **credentials)
        assert (status, headers["access-control-allow-origin"], headers["vary"]) == (expected, PAGE, "Origin")
        assert "Retry-After" in headers["access-control-expose-headers"]


@pytest.mark.parametrize("path", ["/ims/token/v3", "/nothing", "/v1/nothing"])
def test_a_secret_is_never_sent_by_a_page(served: Callable[..., Call], path: str) -> None:
    status, headers, _ = preflight(served(PAGE, dialect="adobe"), path, PAGE)
    assert status in {404, 405}
    assert "access-control-allow-methods" not in headers
