"""What every native route says the same way: answers, their documentation, identifiers."""

from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from lambdas.core.paging import MAX_LIMIT
from lambdas.dialects.native.views import NativeProblem

T = TypeVar("T")

JSON, PROBLEM = "application/json", "application/problem+json"

POLL_AFTER_S = 2
"""How long to wait before the same question again."""

REFUSALS: Final[dict[int, Any]] = {
    status: {"description": HTTPStatus(status).phrase, "content": {PROBLEM: {"model": NativeProblem}}}
    for status in (401, 403, 404, 409, 410, 422, 429)
}

ResourceId = Annotated[str, Path(description="Identifier, as an earlier answer gave it.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many at most.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]


def answers(status: int, model: type[Any]) -> dict[int, Any]:
    """Document what a route answers."""
    return {status: {"description": HTTPStatus(status).phrase, "content": {JSON: {"model": model}}}, **REFUSALS}


def as_json(status: HTTPStatus, body: T, headers: dict[str, str] | None = None) -> Response[T]:
    """Answer with a document."""
    return Response(status.value, content_type=JSON, body=body, headers=dict(headers or {}))


def next_link(app: APIGatewayRestResolver, base_url: str, cursor: str | None) -> str | None:
    """Return the request's own address with the next page's cursor; None where there is no next page."""
    if cursor is None:
        return None
    asked = {**app.current_event.resolved_query_string_parameters, "cursor": [cursor]}
    return f"{base_url}{app.current_event.path}?{urlencode(asked, doseq=True)}"


def elsewhere(url: str) -> Response[str]:
    """Answer with a short-lived location that nobody keeps."""
    return Response(HTTPStatus.FOUND.value, body="", headers={"Location": url, "Cache-Control": "no-store"})
