"""The route table as the API sees it: what the dialects' registry lists, and nothing else."""

from dataclasses import dataclass
from typing import Final

from lambdas.core.workflow import FunctionName
from lambdas.dialects.registry import DIALECTS, DOCS_ROUTES, FALLBACK, TOKEN_ROUTE

FALLBACK_FUNCTION: Final = FALLBACK.function
"""Answers every path that no dialect owns."""


_COLLECTIONS: Final = frozenset({"assets", "speech_enhancements", "speech-enhancements", "enhancements", "runs"})


@dataclass(frozen=True)
class ApiRoute:
    """One method on one path template, and the function that answers it."""

    method: str
    path: str
    function: FunctionName


@dataclass(frozen=True)
class ApiPrefix:
    """A path under which one dialect answers everything, also what it does not know."""

    path: str
    function: FunctionName


OWN_ROUTES: Final = (
    ApiRoute(TOKEN_ROUTE.method, TOKEN_ROUTE.path, FunctionName.TOKEN),
    *(ApiRoute(route.method, route.path, FunctionName.DOCS) for route in DOCS_ROUTES),
)
"""What functions of their own answer; the other methods on these paths are the fallback's."""


def api_routes() -> tuple[ApiRoute, ...]:
    """Return every route of every dialect."""
    return tuple(
        ApiRoute(route.method, route.path, dialect.function) for dialect in DIALECTS for route in dialect.routes()
    )


def creating_routes() -> tuple[ApiRoute, ...]:
    """Return the routes that clients make recordings and enhancements with: the most work, and none ever waits."""
    return tuple(
        route for route in api_routes() if route.method == "POST" and route.path.rpartition("/")[2] in _COLLECTIONS
    )


def api_prefixes() -> tuple[ApiPrefix, ...]:
    """Return every prefix of every dialect."""
    return tuple(ApiPrefix(prefix, dialect.function) for dialect in DIALECTS for prefix in dialect.prefixes)
