"""What Adobe's two versions have in common: kinds of values, words for the core's words, and refusals."""

import base64
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from lambdas.core.assets import AssetStatus
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.operations import MEDIA_TYPES, MODEL_DEFAULT
from lambdas.dialects.common import JSON, routes_of
from lambdas.dialects.door import FieldErrors

RETRY_AFTER_S = 60

AssetStatusName = Literal["waiting_for_upload", "ready_for_processing", "invalid_upload"]
JobStatusName = Literal["queued", "processing", "succeeded", "failed"]

Uuid = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]

MAX_BYTE_SIZE = 5 * 1024**3
"""S3's limit for one PUT."""

FILENAME_PATTERN = r"^[^/\\\x00-\x1f\x7f]{1,255}$"
CHECKSUM_PATTERN = "^[A-Za-z0-9+/]{22}==$"


def _whole_number(value: Any) -> Any:
    """JSON knows one kind of number: 93.0 is 93. Text, booleans and 12.5 are left for the strict check to refuse."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _media_type(value: str) -> str:
    if value not in MEDIA_TYPES:
        raise PydanticCustomError("not_in_enum", "not in the enum")
    return value


def _checksum(value: str) -> str:
    try:
        if len(base64.b64decode(value, validate=True)) == 16:
            return value
    except ValueError:  # also what is not ASCII
        pass
    raise PydanticCustomError("string_pattern_mismatch", "not an MD5", {"pattern": CHECKSUM_PATTERN})


def _filename(value: str) -> str:
    # Lone surrogates pass JSON but can be written nowhere; dots alone name folders.
    if value in {".", ".."} or not _is_unicode(value):
        raise PydanticCustomError("string_pattern_mismatch", "not a filename", {"pattern": FILENAME_PATTERN})
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


AS_WHOLE_NUMBER = BeforeValidator(_whole_number)

Filename = Annotated[
    str,
    Field(
        strict=True,
        pattern=FILENAME_PATTERN,
        description="Name of the file, with its extension.",
        json_schema_extra={"not": {"enum": [".", ".."]}},
    ),
    AfterValidator(_filename),
]
ByteSize = Annotated[
    int,
    Field(strict=True, ge=1, le=MAX_BYTE_SIZE, description="Length of the file; the upload's Content-Length."),
    AS_WHOLE_NUMBER,
]
MediaType = Annotated[
    str,
    Field(
        strict=True,
        description="Media type of the file; the upload's Content-Type.",
        json_schema_extra={"enum": sorted(MEDIA_TYPES)},
    ),
    AfterValidator(_media_type),
]
Md5 = Annotated[
    str | None,
    Field(
        strict=True,
        description="Base64 of the file's MD5. Optional; verified when given.",
        json_schema_extra={"pattern": CHECKSUM_PATTERN},
    ),
    AfterValidator(lambda value: None if value is None else _checksum(value)),
]


ASSET_STATUS: Mapping[AssetStatus, AssetStatusName] = MappingProxyType(
    {
        AssetStatus.WAITING_FOR_UPLOAD: "waiting_for_upload",
        AssetStatus.READY: "ready_for_processing",
        AssetStatus.INVALID: "invalid_upload",
        # Never shown: a deleted asset is not found.
        AssetStatus.DELETED: "invalid_upload",
    }
)

JOB_STATUS: Mapping[JobStatus, JobStatusName] = MappingProxyType(
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
        DomainErrorCode.ENHANCEMENT_NOT_FINISHED: (HTTPStatus.CONFLICT, None, None),
        DomainErrorCode.ENHANCEMENT_DELETED: (HTTPStatus.GONE, None, None),
        DomainErrorCode.ASSET_DELETED: (HTTPStatus.GONE, None, None),
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


class AdobeError(BaseModel):
    """Body of every refusal."""

    model_config = ConfigDict(frozen=True)

    error_code: str | None
    message: str


def model_id(job: Job) -> str:
    """Return Adobe's name of a job's model."""
    return MODEL_ID.get(job.model, job.model)


def whole_strength(job: Job) -> int:
    """Return a job's strength as Adobe shows it: whole numbers from 1, whatever another dialect asked for."""
    return max(1, round(job.strength))


def answers(status: int, model: type[Any] | None, refusals: Sequence[int]) -> dict[int, Any]:
    """Describe an operation's answers for its document; ``model`` is None where there is no body."""
    made: dict[str, Any] = {"content": {JSON: {"model": model}}} if model else {}
    refused: dict[str, Any] = {"content": {JSON: {"model": AdobeError}}}
    found = {status: made, **dict.fromkeys(refusals, refused)}
    return {code: {"description": HTTPStatus(code).phrase, **answer} for code, answer in found.items()}


def refusal(app: APIGatewayRestResolver, error: DomainError, fields: FieldErrors, *, prefix: str = "") -> Response[str]:
    """Write a refusal; ``prefix`` is what the paths in messages leave out."""
    status, code, message = from_error(error)
    if fields:
        path = app.current_event.path
        template = next((route.path for route in routes_of(app) if route.matches_path(path)), path)
        message = validation_message(template.removeprefix(prefix), fields)
    body = AdobeError(error_code=code, message=message)
    too_many = status is HTTPStatus.TOO_MANY_REQUESTS
    headers = {"Retry-After": str(error.retry_after_s or RETRY_AFTER_S)} if too_many else {}
    return Response(status.value, content_type=JSON, body=json.dumps(body.model_dump()), headers=headers)


def from_error(error: DomainError) -> tuple[HTTPStatus, str | None, str]:
    """Return status, Adobe's code and message of a refusal."""
    status, code, message = ERRORS[error.code]
    return status, code, message if message is not None else error.message


def validation_message(path: str, errors: Sequence[Mapping[str, Any]]) -> str:
    """Word pydantic's errors as Adobe's service words its own: as Ruby's openapi_parser prints them.

    Parameters
    ----------
    path
        The route's template as Adobe's document has it, such as ``/v1/assets``.
    """
    pointer = path.replace("~", "~0").replace("/", "~1")
    schema = f"#/paths/{pointer}/post/requestBody/content/application~1json/schema"
    missing = [error["loc"] for error in errors if error["type"] == "missing" and len(error["loc"]) > 1]
    if missing:
        parent = missing[0][:-1]
        names = ", ".join(str(place[-1]) for place in missing if place[:-1] == parent)
        return f"{_place(schema, parent)} missing required parameters: {names}"
    return _word(schema, errors[0])


def _place(schema: str, location: Sequence[Any]) -> str:
    return schema + "".join(f"/properties/{name}" for name in location[1:])


def _word(schema: str, error: Mapping[str, Any]) -> str:  # noqa: PLR0911 - a table
    kind, value, context = str(error["type"]), error.get("input"), error.get("ctx") or {}
    where = _place(schema, error["loc"])
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
    return f"{where} expected {_expected(kind)}, but received {_ruby(value)}"


def _expected(kind: str) -> str:
    """Name the JSON type that was wanted, by the first part of pydantic's error type."""
    return {"int": "integer", "float": "number"}.get(kind.partition("_")[0], "string")


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
