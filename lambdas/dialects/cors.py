"""Calls by pages of other sites: which may make them, and how a browser is told (https://fetch.spec.whatwg.org)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from lambdas.dialects.common import Route

ASKED: Final = "authorization, content-type, idempotency-key, x-api-key"
"""What a call may carry beyond what any page may send."""

TOLD: Final = "Location, RateLimit, RateLimit-Policy, Retry-After"
"""What a page may read of an answer beyond what any page may."""

LIFETIME_S: Final = 3600
"""So long a browser need not ask again; not all of them wait longer than two hours."""


@dataclass(frozen=True)
class Cors:
    """The origins whose pages may call; without any, nothing of this is in any answer."""

    origins: frozenset[str] = frozenset()

    def preflight(self, event: Mapping[str, Any], routes: Iterable[Route]) -> dict[str, Any] | None:
        """Answer a browser that asks before it calls one of ``routes``; None for every other request.

        Credentials of the browser's own, such as cookies, are never wanted: calls carry a token or a key.
        """
        headers = _lower(event)
        origin = headers.get("origin", "")
        if event["httpMethod"] != "OPTIONS" or "access-control-request-method" not in headers:
            return None
        methods = sorted({route.method for route in routes if route.matches_path(event["path"])})
        if origin not in self.origins or not methods:
            return None
        told = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": ", ".join(methods),
            "Access-Control-Allow-Headers": ASKED,
            "Access-Control-Max-Age": str(LIFETIME_S),
            "Vary": "Origin",
        }
        return {"statusCode": HTTPStatus.NO_CONTENT.value, "multiValueHeaders": _listed(told), "body": ""}

    def opened(self, event: Mapping[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        """Return the answer as the page that asked may read it."""
        if not self.origins:
            return answer
        told = {"Vary": "Origin"}
        origin = _lower(event).get("origin", "")
        if origin in self.origins:
            told |= {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": TOLD}
        return answer | {"multiValueHeaders": {**(answer.get("multiValueHeaders") or {}), **_listed(told)}}


def _lower(event: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def _listed(headers: Mapping[str, str]) -> dict[str, list[str]]:
    return {name: [value] for name, value in headers.items()}
