"""What API Gateway says itself, in the body every client of the API knows."""

import json

from aws_cdk import aws_apigateway as apigateway

_JSON = "application/json"
_GATEWAY_MESSAGE = "$context.error.messageString"
"""Quoted by API Gateway, so it stands in the template without quotes."""

TOO_MANY_REQUESTS = "429050"
RETRY_AFTER_S = 1
"""The stage's throttle refills each second."""
RETRY_FAILURE_AFTER_S = 2
_MAY_PASS = {"503", "504"}

_T = apigateway.ResponseType
_FIXED: tuple[tuple[str, apigateway.ResponseType, str, str], ...] = (
    ("MissingAuthenticationToken", _T.MISSING_AUTHENTICATION_TOKEN, "404", "Not found"),
    ("ResourceNotFound", _T.RESOURCE_NOT_FOUND, "404", "Not found"),
    ("RequestTooLarge", _T.REQUEST_TOO_LARGE, "413", "Request too large"),
    ("WafFiltered", _T.WAF_FILTERED, "403", "Forbidden"),
    ("IntegrationFailure", _T.INTEGRATION_FAILURE, "503", "Service unavailable"),
    ("IntegrationTimeout", _T.INTEGRATION_TIMEOUT, "504", "Service timed out"),
    ("Default5xx", _T.DEFAULT_5_XX, "500", "Internal server error"),
)
"""Resource, type, status and message. A path that does not exist is reported by the gateway as a missing token."""


def add_gateway_responses(api: apigateway.RestApi) -> None:
    """Give ``api`` its own words for everything that never reaches a function."""
    api.add_gateway_response("Default4xx", type=_T.DEFAULT_4_XX, templates={_JSON: _body(None, _GATEWAY_MESSAGE)})
    for name, kind, status, message in _FIXED:
        headers = {"retry-after": f"'{RETRY_FAILURE_AFTER_S}'"} if status in _MAY_PASS else None
        templates = {_JSON: _body(None, json.dumps(message))}
        api.add_gateway_response(name, type=kind, status_code=status, response_headers=headers, templates=templates)
    for name, kind in (("Throttled", _T.THROTTLED), ("QuotaExceeded", _T.QUOTA_EXCEEDED)):
        api.add_gateway_response(
            name,
            type=kind,
            status_code="429",
            response_headers={"retry-after": f"'{RETRY_AFTER_S}'"},
            templates={_JSON: _body(TOO_MANY_REQUESTS, json.dumps("Too many requests"))},
        )


def _body(code: str | None, quoted_message: str) -> str:
    return f'{{"error_code": {json.dumps(code)}, "message": {quoted_message}}}'
