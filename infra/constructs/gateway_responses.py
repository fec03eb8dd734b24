"""What API Gateway and the firewall say themselves, in one body that every client of the API can read."""

import json
from dataclasses import dataclass

from aws_cdk import aws_apigateway as apigateway

from lambdas.core.errors import DomainErrorCode

_JSON = "application/json"
_GATEWAY_MESSAGE = "$context.error.messageString"
"""Quoted by API Gateway, so it stands in the template without quotes."""

TOO_MANY_REQUESTS = "429050"
"""Adobe's own code."""
RETRY_AFTER_S = 1
"""The stage's throttle refills each second."""
RETRY_FAILURE_AFTER_S = 2

_T = apigateway.ResponseType


@dataclass(frozen=True)
class Refusal:
    """One answer of the gateway's own.

    Attributes
    ----------
    code
        The native API's stable name of it.
    adobe_code
        Adobe's, where it has one.
    retry_after_s
        When the same request may succeed; None where it will not.
    """

    status: int
    message: str
    code: str
    adobe_code: str | None = None
    retry_after_s: int | None = None

    def body(self) -> str:
        """Return the answer's body: Adobe's two fields, and those of a problem document (RFC 9457).

        Who refuses here does not know whose path it was. Adobe's clients read their fields and leave the others alone.
        """
        return _body(self, json.dumps(self.message), status=self.status)


THROTTLED = Refusal(
    429, "Too many requests", DomainErrorCode.RATE_EXCEEDED, adobe_code=TOO_MANY_REQUESTS, retry_after_s=RETRY_AFTER_S
)
_NOT_FOUND = Refusal(404, "Not found", DomainErrorCode.NOT_FOUND)
_BAD_REQUEST = Refusal(400, "", DomainErrorCode.PARAMETER_INVALID)
_REFUSALS: tuple[tuple[str, apigateway.ResponseType, Refusal], ...] = (
    # The gateway reports a path that does not exist as a missing token.
    ("MissingAuthenticationToken", _T.MISSING_AUTHENTICATION_TOKEN, _NOT_FOUND),
    ("ResourceNotFound", _T.RESOURCE_NOT_FOUND, _NOT_FOUND),
    ("RequestTooLarge", _T.REQUEST_TOO_LARGE, Refusal(413, "Request too large", "request_too_large")),
    ("WafFiltered", _T.WAF_FILTERED, Refusal(403, "Forbidden", "forbidden")),
    ("Throttled", _T.THROTTLED, THROTTLED),
    ("QuotaExceeded", _T.QUOTA_EXCEEDED, THROTTLED),
    (
        "IntegrationFailure",
        _T.INTEGRATION_FAILURE,
        Refusal(503, "Service unavailable", DomainErrorCode.UNAVAILABLE, retry_after_s=RETRY_FAILURE_AFTER_S),
    ),
    (
        "IntegrationTimeout",
        _T.INTEGRATION_TIMEOUT,
        Refusal(504, "Service timed out", DomainErrorCode.UNAVAILABLE, retry_after_s=RETRY_FAILURE_AFTER_S),
    ),
    (
        "Default5xx",
        _T.DEFAULT_5_XX,
        Refusal(500, "Internal server error", DomainErrorCode.INTERNAL, retry_after_s=RETRY_FAILURE_AFTER_S),
    ),
)


def add_gateway_responses(api: apigateway.RestApi) -> None:
    """Give ``api`` its own words for everything that never reaches a function."""
    # Of several statuses, none of which a template can name: whatever it is, it says why in words.
    default = _body(_BAD_REQUEST, _GATEWAY_MESSAGE)
    api.add_gateway_response("Default4xx", type=_T.DEFAULT_4_XX, templates={_JSON: default})
    for name, kind, refusal in _REFUSALS:
        wait_s = refusal.retry_after_s
        api.add_gateway_response(
            name,
            type=kind,
            status_code=str(refusal.status),
            response_headers={"retry-after": f"'{wait_s}'"} if wait_s else None,
            templates={_JSON: refusal.body()},
        )


def _body(refusal: Refusal, quoted_message: str, *, status: int | None = None) -> str:
    fields = {
        "error_code": json.dumps(refusal.adobe_code),
        "message": quoted_message,
        "type": json.dumps(f"/v1/problems/{refusal.code}"),
        "title": quoted_message,
        **({"status": json.dumps(status)} if status else {}),
        "detail": quoted_message,
        "code": json.dumps(refusal.code),
        "retryable": json.dumps(refusal.retry_after_s is not None),
    }
    return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"
