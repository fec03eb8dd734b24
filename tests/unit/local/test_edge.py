"""The edge passes everything through, inside the API's stage only."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from scripts.local.edge import Upstream, create_app, normalised

UPSTREAM = Upstream("http://127.0.0.1:4566", "abc123", "dev")
PREFIX = "/_aws/execute-api/abc123/dev"
Handler = Callable[[httpx.Request], httpx.Response]


def call(handler: Handler, method: str, path: str, **request: object) -> tuple[httpx.Response, list[httpx.Request]]:
    """Send one request through the edge to ``handler``; return the answer and what the upstream saw."""
    seen: list[httpx.Request] = []

    async def upstream(received: httpx.Request) -> httpx.Response:
        await received.aread()
        seen.append(received)
        made = handler(received)
        if not made.is_stream_consumed:
            return made
        # As a real transport gives it: not read yet.
        return httpx.Response(made.status_code, headers=made.headers, stream=Bytes(made.content))

    async def send() -> httpx.Response:
        edge = create_app(UPSTREAM, httpx.MockTransport(upstream))
        transport = httpx.ASGITransport(edge, client=("192.0.2.7", 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            return await client.request(method, path, **request)  # type: ignore[arg-type]

    return asyncio.run(send()), seen


def ok(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"fine": True})


def test_path_query_method_and_body_reach_the_stage() -> None:
    answer, (seen,) = call(ok, "POST", "/audio_services/v1/assets?a=1&a=%20b", content=b'{"x": 1}')
    assert answer.json() == {"fine": True}
    assert (seen.method, seen.url.raw_path) == ("POST", f"{PREFIX}/audio_services/v1/assets?a=1&a=%20b".encode())
    assert seen.content == b'{"x": 1}'
    assert seen.headers["content-length"] == "8"
    assert "transfer-encoding" not in seen.headers


def test_a_line_break_in_a_path_is_for_the_api_to_answer() -> None:
    _, (seen,) = call(ok, "GET", "/v1/webhooks/a%0Ab")
    assert seen.url.raw_path == f"{PREFIX}/v1/webhooks/a%0Ab".encode()


def test_the_handler_can_compute_links_and_forged_origins_are_dropped() -> None:
    forged = {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Host": "evil", "Forwarded": "for=10.0.0.1"}
    _, (seen,) = call(ok, "GET", "/x", headers=forged)
    assert seen.headers["host"] == "127.0.0.1:8080"
    assert seen.headers.get_list("x-forwarded-for") == ["192.0.2.7"]
    assert seen.headers["x-forwarded-host"] == "127.0.0.1:8080"
    assert (seen.headers["x-forwarded-proto"], seen.headers["x-forwarded-port"]) == ("http", "8080")
    assert "forwarded" not in seen.headers


def test_headers_of_one_hop_stay_there() -> None:
    def answer_with_hop(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=[("Keep-Alive", "timeout=5"), ("X-A", "1"), ("X-A", "2")], content=b"y")

    answer, (seen,) = call(
        answer_with_hop, "GET", "/x", headers={"Connection": "close, x-mine", "X-Mine": "1", "TE": "gzip"}
    )
    assert not {"x-mine", "te"} & set(seen.headers)
    assert "keep-alive" not in answer.headers
    assert answer.headers.get_list("x-a") == ["1", "2"]


def test_nothing_is_added_that_the_client_did_not_send() -> None:
    _, (seen,) = call(ok, "GET", "/x", headers={"user-agent": "mine/1", "accept": "*/*"})
    assert seen.headers["user-agent"] == "mine/1"


def test_redirects_go_to_the_client() -> None:
    link = "http://127.0.0.1:4566/bucket/key?X-Amz-Signature=0"
    answer, seen = call(lambda _: httpx.Response(302, headers={"Location": link}), "GET", "/x/download")
    assert (answer.status_code, answer.headers["location"], len(seen)) == (302, link, 1)


def test_compressed_answers_stay_as_they_are() -> None:
    body = gzip.compress(b"hello")
    answer, _ = call(
        lambda _: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Bytes(body)), "GET", "/x"
    )
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == b"hello"


class Bytes(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body


def test_an_encoded_slash_is_not_found_in_the_format_of_the_face() -> None:
    answer, seen = call(ok, "GET", "/audio_services/v1/assets/a%2Fb")
    assert (answer.status_code, answer.json(), seen) == (404, {"error_code": None, "message": "Not found"}, [])


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadError("cut")])
def test_an_absent_emulator_is_a_502_in_the_format_of_the_face(error: Exception) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise error

    answer, _ = call(broken, "GET", "/x")
    assert answer.status_code == 502
    assert json.loads(answer.content)["error_code"] is None
    assert "local cloud" in answer.json()["message"]


def test_a_slow_service_is_a_504() -> None:
    def slow(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    answer, _ = call(slow, "GET", "/x")
    assert (answer.status_code, answer.json()["error_code"]) == (504, None)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/a/b", b"/a/b"),
        (b"/", b"/"),
        (b"//a///b/", b"/a/b/"),
        (b"/a/./b/../c", b"/a/c"),
        (b"/../../_ministack/reset", b"/_ministack/reset"),
        (b"/a/%2e%2E/b", b"/b"),
        (b"/a%20b", b"/a%20b"),
    ],
)
def test_paths_are_normalised_and_never_leave_the_root(raw: bytes, expected: bytes) -> None:
    assert normalised(raw) == expected


def test_the_emulator_itself_is_out_of_reach() -> None:
    _, (seen,) = call(ok, "POST", "/%2e%2e/%2e%2e/%2e%2e/_ministack/reset")
    assert seen.url.raw_path == f"{PREFIX}/_ministack/reset".encode()


def test_the_edge_tells_that_it_is_up() -> None:
    answer, seen = call(ok, "GET", "/_cleartake/health")
    assert (answer.status_code, answer.json()["status"], seen) == (200, "ok", [])
