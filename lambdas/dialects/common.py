"""What every dialect offers, so that one table can list them all."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from lambdas.core.workflow import FunctionName

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


_PARTS = re.compile(r"(\{[^}]+\})")


@dataclass(frozen=True)
class Dialect:
    """One API face.

    Attributes
    ----------
    prefixes
        The path prefixes this dialect owns; whatever is not a route below them is answered in its error format.
    cancels, deletes, uploads_in_parts, has_webhooks
        What its clients can do beyond asking and looking; its function gets the permissions for that and no other.
    build
        Makes the resolver; it gets a function that returns the dialect's services, called per request only, so
        that the routes can be read without any environment.
    """

    name: str
    function: FunctionName
    prefixes: tuple[str, ...]
    build: Callable[[Callable[[], Any]], APIGatewayRestResolver]
    cancels: bool = False
    deletes: bool = False
    uploads_in_parts: bool = False
    has_webhooks: bool = False

    def schema(self) -> dict[str, Any]:
        """Return the dialect's OpenAPI document."""
        resolver = self.build(_no_services)
        model = resolver.get_openapi_schema(title=f"Cleartake, {self.name} dialect", version="1")
        return model.model_dump(by_alias=True, exclude_none=True, mode="json")

    def routes(self) -> tuple[Route, ...]:
        """Return every operation, read from the OpenAPI document."""
        return routes_of(self.build(_no_services))


@lru_cache(maxsize=16)
def routes_of(app: APIGatewayRestResolver) -> tuple[Route, ...]:
    """Return every operation of a resolver, read from its OpenAPI document."""
    paths = app.get_openapi_schema(title="", version="").model_dump(exclude_none=True)["paths"]
    return tuple(Route(method.upper(), path) for path, item in paths.items() for method in METHODS if method in item)


def _no_services() -> Any:
    msg = "a schema is read without services"
    raise RuntimeError(msg)
