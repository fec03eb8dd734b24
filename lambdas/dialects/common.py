"""What every dialect offers, so that one table can list them all."""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.workflow import FunctionName

JSON = "application/json"

Security = tuple[Mapping[str, tuple[str, ...]], ...]
"""What a call has to carry, as OpenAPI says it: one of these, all the schemes of it."""

TOKEN_AND_CLIENT_ID: Security = ({"token": (), "clientId": ()},)
TOKEN_OR_API_KEY: Security = ({"token": ()}, {"apiKey": ()})

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Route:
    """One operation: an HTTP method and a path template such as ``/v1/assets/{asset_id}``."""

    method: str
    path: str

    def matches(self, method: str, path: str) -> bool:
        """Tell whether a request is this operation's."""
        return method.upper() == self.method and self.matches_path(path)

    def matches_path(self, path: str) -> bool:
        """Tell whether a request's path fits the template."""
        pattern = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in _PARTS.split(self.path))
        return re.fullmatch(pattern, path.rstrip("/")) is not None  # Powertools, too, takes trailing slashes


_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_SUPPOSED = ("HTTPValidationError", "ValidationError", "ResponseValidationError")
_PARTS = re.compile(r"(\{[^}]+\})")


@dataclass(frozen=True)
class Dialect:
    """One API face.

    Attributes
    ----------
    title, about
        For the reader of the document: its operations stand under this title, unless they have tags of their own.
    security
        What each of its calls carries.
    prefixes
        The path prefixes this dialect owns; whatever is not a route below them is answered in its error format.
    cancels, deletes, uploads_in_parts, has_webhooks, fetches
        What its clients can do beyond asking and looking; its function gets the permissions for that and no other.
    build
        Makes the resolver; it gets a function that returns the dialect's services, called per request only, so
        that the routes can be read without any environment.
    """

    name: str
    title: str
    about: str
    function: FunctionName
    prefixes: tuple[str, ...]
    security: Security
    build: Callable[[Callable[[], Any]], APIGatewayRestResolver]
    cancels: bool = False
    deletes: bool = False
    uploads_in_parts: bool = False
    has_webhooks: bool = False
    fetches: bool = False

    def schema(self) -> dict[str, Any]:
        """Return the dialect's OpenAPI document, without the answers that Powertools supposes."""
        resolver = self.build(_no_services)
        model = resolver.get_openapi_schema(title=f"Cleartake, {self.name} dialect", version="1")
        schema: dict[str, Any] = model.model_dump(by_alias=True, exclude_none=True, mode="json")
        for item in schema["paths"].values():
            for operation in item.values():
                if "HTTPValidationError" in json.dumps(operation["responses"].get("422", {})):
                    del operation["responses"]["422"]
        for name in _SUPPOSED:
            schema["components"]["schemas"].pop(name, None)
        return schema

    def routes(self) -> tuple[Route, ...]:
        """Return every operation, read from the OpenAPI document."""
        return routes_of(self.build(_no_services))


class JsonResolver(APIGatewayRestResolver):
    """Takes JSON and nothing else: what Powertools would read as a form is as strange to it as any other kind."""

    def __init__(self) -> None:
        super().__init__(enable_validation=True, json_body_deserializer=from_json)

    def resolve(self, event: Any, context: Any) -> dict[str, Any]:
        """Answer one API Gateway proxy event."""
        headers = {name: _not_a_form(name, value) for name, value in (event.get("headers") or {}).items()}
        return super().resolve({**event, "headers": headers}, context)


@lru_cache(maxsize=16)
def routes_of(app: APIGatewayRestResolver) -> tuple[Route, ...]:
    """Return every operation of a resolver, read from its OpenAPI document."""
    paths = app.get_openapi_schema(title="", version="").model_dump(exclude_none=True)["paths"]
    return tuple(Route(method.upper(), path) for path, item in paths.items() for method in METHODS if method in item)


def from_json(text: str) -> Any:
    """Read a body; what Python cannot read for its size or depth, and what JSON has no words for, is no valid JSON."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise json.JSONDecodeError("not readable", "", 0) from None


def resource_id(text: str) -> str:
    """Return a path's identifier; raises `DomainError` NOT_FOUND if it cannot be one."""
    try:
        parsed = str(uuid.UUID(text))
    except ValueError:
        raise DomainError(DomainErrorCode.NOT_FOUND) from None
    if parsed != text.lower():
        raise DomainError(DomainErrorCode.NOT_FOUND)
    return parsed


def base_url(app: APIGatewayRestResolver, configured: str) -> str:
    """Return the origin of links: as configured, else the request's own domain and stage."""
    if configured:
        return configured.rstrip("/")
    context = app.current_event.request_context
    return f"https://{context.domain_name}/{context.stage}"


def _not_a_form(name: str, value: str) -> str:
    is_form = name.lower() == "content-type" and value.strip().startswith(_FORMS)
    return f"other than JSON: {value}" if is_form else value


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _no_services() -> Any:
    msg = "a schema is read without services"
    raise RuntimeError(msg)
