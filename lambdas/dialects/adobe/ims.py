"""Adobe's token endpoint, ``POST /ims/token/v3``: form body or query string in, OAuth 2.0 (RFC 6749) JSON out."""

import base64
import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs

from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.services.authentication import TokenService

logger = logging.getLogger(__name__)

PATH = "/ims/token/v3"

ERRORS: Mapping[DomainErrorCode, tuple[HTTPStatus, str]] = MappingProxyType(
    {
        DomainErrorCode.GRANT_UNSUPPORTED: (HTTPStatus.BAD_REQUEST, "unsupported_grant_type"),
        DomainErrorCode.PARAMETER_INVALID: (HTTPStatus.BAD_REQUEST, "invalid_request"),
        DomainErrorCode.CREDENTIALS_INVALID: (HTTPStatus.UNAUTHORIZED, "invalid_client"),
        DomainErrorCode.UNAVAILABLE: (HTTPStatus.SERVICE_UNAVAILABLE, "temporarily_unavailable"),
    }
)
"""Core code → status and OAuth error; everything else is a ``server_error``."""


def answer(event: Mapping[str, Any], tokens: TokenService) -> dict[str, Any]:
    """Answer one API Gateway proxy event. Nothing of the request is logged: it holds a secret."""
    fields = _fields(event)
    try:
        token = tokens.issue(
            grant_type=fields.get("grant_type"),
            client_id=fields.get("client_id"),
            client_secret=fields.get("client_secret"),
        )
    except DomainError as error:
        status, name = ERRORS.get(error.code, (HTTPStatus.INTERNAL_SERVER_ERROR, "server_error"))
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.exception("no token")
            return _json(status, {"error": name, "error_description": "Please try again later"})
        return _json(status, {"error": name, "error_description": error.message})
    return _json(HTTPStatus.OK, {"access_token": token.text, "token_type": "bearer", "expires_in": token.expires_in_s})


def _fields(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the form's fields, and the query's where the form does not have them."""
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body).decode("utf-8", errors="replace")
    form = {name: values[-1] for name, values in parse_qs(body).items()}
    return {**(event.get("queryStringParameters") or {}), **form}


def _json(status: HTTPStatus, body: Mapping[str, object]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return {"statusCode": status.value, "headers": headers, "body": json.dumps(body)}
