"""The edge: one base URL in front of API Gateway, as CloudFront or a custom domain is in AWS.

It passes requests and answers through as streams and adds nothing but the forwarding headers. Redirects
go to the client untouched. Only paths inside the API's stage can be reached, never the emulator itself.
"""

import argparse
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from scripts.local.paths import HOST

PATH_ARGUMENT = 2
"""Where uvicorn's access log has the path: (client, method, path, version, status)."""

HEALTH_PATH = "/_cleartake/health"

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
FORWARDED = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto"}
)
"""Never taken from the client: the emulator believes them."""

UPSTREAM_READ_S = 65.0
"""A little more than any answer of API Gateway (29 s) can take."""

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Upstream:
    """The deployed API; ``origin`` is the emulator."""

    origin: str
    api_id: str
    stage: str

    def url(self, path: bytes, query: bytes) -> httpx.URL:
        """Return the address of ``path`` (raw, normalised) inside the API's stage."""
        prefix = f"/_aws/execute-api/{self.api_id}/{self.stage}".encode()
        return httpx.URL(self.origin).copy_with(raw_path=prefix + path + (b"?" + query if query else b""))


class Proxy:
    """ASGI application that forwards everything it gets."""

    def __init__(self, upstream: Upstream, client: httpx.AsyncClient) -> None:
        self.upstream = upstream
        self.client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ClientDisconnect:
            return
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        raw_path: bytes = request.scope["raw_path"]
        if b"%2f" in raw_path.lower():
            return problem(404, "Not found")  # the emulator would answer 403; no id holds a slash
        path = normalised(raw_path)
        try:
            answer = await self.client.send(self._forwarded(request, path), stream=True)
        except httpx.TimeoutException:
            return problem(504, "The service did not answer in time")
        except httpx.TransportError:
            return problem(502, "The service is not reachable. Is the local cloud up? Try `cleartake status`.")
        return relayed(answer)

    def _forwarded(self, request: Request, path: bytes) -> httpx.Request:
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        return self.client.build_request(
            request.method,
            self.upstream.url(path, request.scope["query_string"]),
            headers=forwarded_headers(request),
            content=request.stream() if has_body else None,
        )


def normalised(raw_path: bytes) -> bytes:
    """Resolve ``.`` and ``..`` (percent-encoded ones too) and drop empty segments; never leaves the root."""
    kept: list[bytes] = []
    segments = raw_path.split(b"/")
    for segment in segments:
        plain = segment.lower().replace(b"%2e", b".")
        if plain == b"..":
            del kept[-1:]
        elif plain not in {b"", b"."}:
            kept.append(segment)
    trailing = b"/" if kept and segments[-1] == b"" else b""
    return b"/" + b"/".join(kept) + trailing


def forwarded_headers(request: Request) -> Headers:
    """Return the client's headers without those of this hop, with where it came from."""
    kept = without(request.headers.raw, HOP_BY_HOP | FORWARDED | connection_options(request.headers.raw))
    host = request.headers.get("host", "")
    port = host.rpartition(":")[2] if ":" in host else "80"
    return [
        *kept,
        (b"x-forwarded-for", (request.client.host if request.client else HOST).encode()),
        (b"x-forwarded-host", host.encode()),
        (b"x-forwarded-port", port.encode()),
        (b"x-forwarded-proto", request.url.scheme.encode()),
    ]


def connection_options(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Return the header names that ``Connection`` declares to be for this hop only."""
    return frozenset(
        option.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for option in value.split(b",")
    )


def without(headers: Iterable[tuple[bytes, bytes]], names: frozenset[bytes]) -> Headers:
    """Return ``headers`` without ``names``; repeated headers stay repeated."""
    return [(name.lower(), value) for name, value in headers if name.lower() not in names]


def relayed(answer: httpx.Response) -> Response:
    """Return the upstream's answer byte for byte, still encoded as it came."""

    async def body() -> AsyncIterator[bytes]:
        try:
            async for block in answer.aiter_raw():
                yield block
        finally:
            await answer.aclose()

    relay = StreamingResponse(body(), status_code=answer.status_code)
    relay.raw_headers = without(answer.headers.raw, HOP_BY_HOP)
    return relay


def problem(status: int, message: str) -> JSONResponse:
    """Return an error in the format that clients of the Adobe face parse."""
    return JSONResponse({"error_code": None, "message": message}, status_code=status)


async def health(request: Request) -> JSONResponse:
    """Say that the edge itself is up, and in front of what."""
    upstream: Upstream = request.app.state.upstream
    return JSONResponse({"status": "ok", "upstream": upstream.origin, "api_id": upstream.api_id})


def create_app(upstream: Upstream, transport: httpx.AsyncBaseTransport | None = None) -> Starlette:
    """Return the edge in front of ``upstream``; tests pass a ``transport`` of their own."""
    client = httpx.AsyncClient(
        transport=transport
        or httpx.AsyncHTTPTransport(
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30),
        ),
        timeout=httpx.Timeout(UPSTREAM_READ_S, connect=2.0, pool=None),
        follow_redirects=False,
        trust_env=False,
    )
    client.headers.clear()  # what the client did not send, the API must not see

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    edge = Starlette(routes=[Route(HEALTH_PATH, health)], lifespan=lifespan)
    edge.router.default = Proxy(upstream, client)  # no route of Starlette's takes a path with a line break in it
    edge.state.upstream = upstream
    return edge


class WithoutQuery(logging.Filter):
    """Cuts the query off every line of the access log: a token request may carry its secret there."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, with the path alone."""
        if isinstance(record.args, tuple) and len(record.args) > PATH_ARGUMENT:
            path = str(record.args[PATH_ARGUMENT]).split("?", 1)[0]
            record.args = (*record.args[:PATH_ARGUMENT], path, *record.args[PATH_ARGUMENT + 1 :])
        return True


def main() -> None:
    """Serve until SIGTERM."""
    logging.getLogger("uvicorn.access").addFilter(WithoutQuery())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, help="origin of the emulator, http://127.0.0.1:4566")
    parser.add_argument("--api-id", required=True)
    parser.add_argument("--stage", required=True)
    given = parser.parse_args()
    edge = create_app(Upstream(given.upstream, given.api_id, given.stage))
    uvicorn.run(
        edge,
        host=HOST,
        port=given.port,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        log_level="info",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()
