"""Adobe's words for the core's, both ways: pure tables and functions."""

import json
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from lambdas.core.assets import AssetStatus
from lambdas.core.clock import to_text
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.operations import MODEL_DEFAULT
from lambdas.core.services.assets import AssetView, CreateAsset
from lambdas.dialects.adobe.protocol import AdobeAsset, AdobeAssetRequest, AdobeSpeechEnhancement

PREFIX = "/audio_services"

ASSET_STATUS: Mapping[AssetStatus, str] = MappingProxyType(
    {
        AssetStatus.WAITING_FOR_UPLOAD: "waiting_for_upload",
        AssetStatus.READY: "ready_for_processing",
        AssetStatus.INVALID: "invalid_upload",
        # Never shown: a deleted asset is not found.
        AssetStatus.DELETED: "invalid_upload",
    }
)

JOB_STATUS: Mapping[JobStatus, str] = MappingProxyType(
    {
        JobStatus.WAITING_FOR_UPLOAD: "queued",
        JobStatus.QUEUED: "queued",
        JobStatus.ADMITTED: "processing",
        JobStatus.DISPATCHED: "processing",
        JobStatus.RUNNING: "processing",
        JobStatus.SUCCEEDED: "succeeded",
        JobStatus.FAILED: "failed",
        # Adobe knows neither a word for it nor a way to do it: another dialect's client has cancelled the job.
        JobStatus.CANCELLED: "failed",
    }
)

MODEL_ID: Mapping[str, str] = MappingProxyType({MODEL_DEFAULT: "v1"})
"""Adobe knows one model; a job that another dialect made with another model shows that model's name."""

ERRORS: Mapping[DomainErrorCode, tuple[HTTPStatus, str | None, str | None]] = MappingProxyType(
    {
        DomainErrorCode.API_KEY_MISSING: (HTTPStatus.FORBIDDEN, "403000", "Api Key is required"),
        DomainErrorCode.API_KEY_UNKNOWN: (HTTPStatus.FORBIDDEN, "403003", "Api Key is invalid"),
        DomainErrorCode.TOKEN_INVALID: (HTTPStatus.UNAUTHORIZED, "401013", "Oauth token is not valid"),
        DomainErrorCode.CREDENTIALS_INVALID: (HTTPStatus.UNAUTHORIZED, None, "Client credentials are not valid"),
        DomainErrorCode.GRANT_UNSUPPORTED: (HTTPStatus.BAD_REQUEST, None, None),
        DomainErrorCode.NOT_FOUND: (HTTPStatus.NOT_FOUND, None, "Not found"),
        DomainErrorCode.METHOD_NOT_ALLOWED: (HTTPStatus.METHOD_NOT_ALLOWED, None, "Method not allowed"),
        DomainErrorCode.PARAMETER_INVALID: (HTTPStatus.UNPROCESSABLE_ENTITY, None, None),
        DomainErrorCode.ASSET_NOT_UPLOADED: (
            HTTPStatus.UNPROCESSABLE_ENTITY,
            None,
            "Asset has not been uploaded yet",
        ),
        DomainErrorCode.ASSET_NOT_ENHANCEABLE: (HTTPStatus.UNPROCESSABLE_ENTITY, None, "Asset is not enhanceable"),
        DomainErrorCode.ENHANCEMENT_EXISTS: (
            HTTPStatus.UNPROCESSABLE_ENTITY,
            None,
            "Speech enhancement already exists for specified asset, model and strength.",
        ),
        DomainErrorCode.RATE_EXCEEDED: (HTTPStatus.TOO_MANY_REQUESTS, "429050", "Too many requests"),
        # Adobe's client can do about it what it does about its rate: wait and come again.
        DomainErrorCode.QUEUE_FULL: (HTTPStatus.TOO_MANY_REQUESTS, "429050", "Too many requests"),
        DomainErrorCode.ALREADY_FINISHED: (HTTPStatus.CONFLICT, None, None),
        DomainErrorCode.IDEMPOTENCY_MISMATCH: (HTTPStatus.UNPROCESSABLE_ENTITY, None, None),
        DomainErrorCode.UPLOAD_EXPIRED: (HTTPStatus.GONE, None, None),
        # Adobe has neither URLs of clients nor webhooks: none of its routes can meet these.
        DomainErrorCode.URL_NOT_ALLOWED: (HTTPStatus.UNPROCESSABLE_ENTITY, None, None),
        DomainErrorCode.WEBHOOK_DISABLED: (HTTPStatus.CONFLICT, None, None),
        DomainErrorCode.WEBHOOK_LIMIT: (HTTPStatus.CONFLICT, None, None),
        DomainErrorCode.CONFLICT: (HTTPStatus.CONFLICT, None, "The resource has changed, please try again"),
        DomainErrorCode.UNAVAILABLE: (
            HTTPStatus.SERVICE_UNAVAILABLE,
            None,
            "Service is temporarily unavailable, please try again",
        ),
        DomainErrorCode.INTERNAL: (HTTPStatus.INTERNAL_SERVER_ERROR, None, "Internal server error"),
    }
)
"""Core code → status, Adobe's code, Adobe's message (None: the error's own message)."""


def to_create_asset(client_id: str, body: AdobeAssetRequest) -> CreateAsset:
    """Read a request for a new asset."""
    return CreateAsset(
        client_id=client_id,
        filename=body.filename,
        size_bytes=body.byte_size,
        content_type=body.content_type,
        checksum_md5=body.checksum,
    )


def from_asset(view: AssetView) -> AdobeAsset:
    """Write an asset."""
    asset = view.asset
    return AdobeAsset(
        id=asset.id,
        filename=asset.filename,
        upload_url=view.upload_url,
        status=ASSET_STATUS[asset.status],
        created_at=to_text(asset.created_at),
        updated_at=to_text(asset.updated_at),
        byte_size=asset.size_bytes,
        content_type=asset.content_type,
        checksum=asset.checksum_md5,
    )


def from_job(job: Job, *, base_url: str) -> AdobeSpeechEnhancement:
    """Write a speech enhancement; its download URL has the path that Adobe's JSON prints."""
    path = f"{PREFIX}/api/assets/{job.asset_id}/speech_enhancements/{job.id}/download"
    return AdobeSpeechEnhancement(
        strength=round(job.strength),
        id=job.id,
        download_url=f"{base_url}{path}" if job.status is JobStatus.SUCCEEDED else None,
        asset_id=job.asset_id,
        requested_processing_at=to_text(job.requested_at),
        finished_processing_at=to_text(job.finished_at) if job.finished_at else None,
        status=JOB_STATUS[job.status],
        model_id=MODEL_ID.get(job.model, job.model),
    )


def from_error(error: DomainError) -> tuple[HTTPStatus, str | None, str]:
    """Return status, Adobe's code and message of a refusal."""
    status, code, message = ERRORS[error.code]
    return status, code, message if message is not None else error.message


def resource_id(text: str) -> str:
    """Return a path's identifier; raises `DomainError` NOT_FOUND if it cannot be one."""
    try:
        return str(uuid.UUID(text)) if str(uuid.UUID(text)) == text.lower() else _not_found()
    except ValueError:
        return _not_found()


def _not_found() -> str:
    raise DomainError(DomainErrorCode.NOT_FOUND)


def validation_message(path: str, errors: Sequence[Mapping[str, Any]]) -> str:
    """Word pydantic's errors as Adobe's service words its own: as Ruby's openapi_parser prints them.

    Parameters
    ----------
    path
        The route's template below ``/audio_services``, such as ``/v1/assets``.
    """
    pointer = path.replace("~", "~0").replace("/", "~1")
    schema = f"#/paths/{pointer}/post/requestBody/content/application~1json/schema"
    missing = [str(error["loc"][-1]) for error in errors if error["type"] == "missing" and len(error["loc"]) > 1]
    if missing:
        return f"{schema} missing required parameters: {', '.join(missing)}"
    return _word(schema, errors[0])


def _word(schema: str, error: Mapping[str, Any]) -> str:  # noqa: PLR0911 - a table
    kind, value, context = str(error["type"]), error.get("input"), error.get("ctx") or {}
    field = str(error["loc"][1]) if len(error["loc"]) > 1 else None
    where = f"{schema}/properties/{field}" if field else schema
    match kind:
        case "json_invalid":
            return "Request body wasn't valid JSON."
        case "unsupported_content_type":
            return 'The Content-Type header must be "application/json".'
        case "missing" | "model_type" | "model_attributes_type" | "dict_type":
            return f"{where} expected object, but received {_ruby(value)}"
        case "greater_than_equal" | "greater_than":
            return f"{where} {_number(value)} is less than minimum value"
        case "less_than_equal" | "less_than":
            return f"{where} {_number(value)} is more than maximum value"
        case "not_in_enum":
            return f"{json.dumps(value)} isn't part of the enum in {where}"
        case "string_pattern_mismatch":
            return f"{where} pattern {context.get('pattern')} does not match value: {_quoted(value)}"
    if value is None:
        return f"{where} does not allow null values"
    expected = "integer" if kind.startswith("int") else "string"
    return f"{where} expected {expected}, but received {_ruby(value)}"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and not value.is_integer() else str(int(value))


def _quoted(value: Any) -> str:
    return json.dumps(str(value)[:200])


def _ruby(value: Any) -> str:  # noqa: PLR0911 - a table
    """Name a JSON value as Ruby's ``inspect`` does."""
    match value:
        case None:
            return "NilClass: nil"
        case bool():
            return f"{'TrueClass' if value else 'FalseClass'}: {json.dumps(value)}"
        case int():
            return f"Integer: {value}"
        case float():
            return f"Float: {value}"
        case str():
            return f"String: {_quoted(value)}"
        case list():
            return f"Array: {json.dumps(value)[:200]}"
        case _:
            return f"Hash: {json.dumps(value, default=str)[:200]}"
