"""Adobe's token endpoint, ``POST /ims/token/v3``: form body or query string in, OAuth 2.0 (RFC 6749) JSON out."""

import base64
import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, Field

from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.services.authentication import TokenService
from lambdas.dialects.common import JSON

logger = logging.getLogger(__name__)

PATH = "/ims/token/v3"
TAG = "Tokens"


class ImsToken(BaseModel):
    """An access token (RFC 6749, section 5.1)."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"access_token": "eyJhbGciOi…", "token_type": "bearer", "expires_in": 86_399}]}
    )

    access_token: str
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(description="Seconds that it is good for.")]


class ImsRefusal(BaseModel):
    """Why there is no token (RFC 6749, section 5.2)."""

    error: str
    error_description: str


class ImsTokenRequest(BaseModel):
    """Form of a request for an access token."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "grant_type": "client_credentials",
                    "client_id": "4f1c0f0e6d9b4d0f8b1d1c6a5c0e7a11",
                    "client_secret": "the-secret",
                    "scope": "openid",
                }
            ]
        }
    )

    grant_type: Literal["client_credentials"]
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: Annotated[str, Field(min_length=1)]
    scope: Annotated[str, Field(description="Taken and not looked at.")] = ""


SCHEMAS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {model.__name__: model.model_json_schema() for model in (ImsToken, ImsRefusal, ImsTokenRequest)}
)


def _answer(description: str, model: type[BaseModel]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"description": description, "content": {JSON: {"schema": schema}}}


OPERATION: Mapping[str, Any] = MappingProxyType(
    {
        "operationId": "createToken",
        "summary": "Get an access token",
        "description": "The form's fields may stand in the query instead; a secret is better kept in the form.",
        "tags": [TAG],
        "security": [],
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {"schema": {"$ref": "#/components/schemas/ImsTokenRequest"}}
            },
        },
        "responses": {
            "200": _answer("OK", ImsToken),
            "400": _answer("Bad Request", ImsRefusal),
            "401": _answer("Unauthorized", ImsRefusal),
        },
    }
)
"""What the OpenAPI document says of it."""

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
    headers = {"Content-Type": JSON, "Cache-Control": "no-store"}
    return {"statusCode": status.value, "headers": headers, "body": json.dumps(body)}
