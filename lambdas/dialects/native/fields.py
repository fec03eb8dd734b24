"""The native API's fields: snake case, units in names, each checked and described once."""

import base64
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from lambdas.core.clock import to_text
from lambdas.core.operations import FURTHER_MEDIA_TYPES, MEDIA_TYPES
from lambdas.core.uploads import MAX_UPLOAD_BYTES

MAX_RETAIN_HOURS = 24 * 365
ALL_MEDIA_TYPES = sorted(MEDIA_TYPES | FURTHER_MEDIA_TYPES)


Moment = Annotated[
    datetime, PlainSerializer(to_text, return_type=str), WithJsonSchema({"type": "string", "format": "date-time"})
]


def _written(value: Any) -> Any:
    """Pydantic would take a number for seconds since 1970."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d", value):
        msg = "not a date as ISO 8601 writes it"
        raise ValueError(msg)
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        msg = "out of range"
        raise ValueError(msg) from None


Day = Annotated[date, BeforeValidator(_written)]
Instant = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_in_utc)]
Model = Literal["dfn3", "dfn3-ll", "dfn3-hq"]
EnhancementStatus = Literal["waiting_for_upload", "queued", "running", "succeeded", "failed", "cancelled"]
AssetStatusName = Literal["waiting_for_upload", "ready", "invalid"]


def unicode_text(value: str) -> str:
    """Return a text that can be written; lone surrogates pass JSON, and nothing after it."""
    value.encode()
    return value


def _filename(value: str) -> str:
    if value in {".", ".."}:
        msg = "dots alone name folders"
        raise ValueError(msg)
    return unicode_text(value)


def known_media_type(value: str) -> str:
    """Return a media type that an upload may have."""
    if value not in ALL_MEDIA_TYPES:
        msg = f"not one of {', '.join(ALL_MEDIA_TYPES)}"
        raise ValueError(msg)
    return value


def digest_text(value: str, length: int) -> str:
    """Return a checksum that is the Base64 of ``length`` bytes."""
    try:
        if len(base64.b64decode(value, validate=True)) == length:
            return value
    except ValueError:  # also what is not ASCII
        pass
    msg = f"not the base64 of {length} bytes"
    raise ValueError(msg)


Filename = Annotated[
    str,
    Field(
        pattern=r"^[^/\\\x00-\x1f\x7f]{1,255}$",
        description="Name of the recording; the result is named after it.",
        examples=["talk.wav"],
        json_schema_extra={"not": {"enum": [".", ".."]}},
    ),
    AfterValidator(_filename),
]
Reference = Annotated[
    str,
    Field(max_length=256, description="Your own word for it, given back with every answer.", examples=["episode-42"]),
    AfterValidator(unicode_text),
]
RetainHours = Annotated[
    int,
    Field(
        ge=1,
        le=MAX_RETAIN_HOURS,
        description="Delete the recording and all that was made of it after so many hours. "
        "Without it the deployment's own retention holds, which also is the longest.",
    ),
]


Md5 = Annotated[
    str,
    Field(json_schema_extra={"pattern": "^[A-Za-z0-9+/]{22}==$"}),
    AfterValidator(lambda value: digest_text(value, 16)),
]
PartNumber = Annotated[str, Field(pattern="^[1-9][0-9]{0,4}$")]


SizeBytes = Annotated[int, Field(ge=1, le=MAX_UPLOAD_BYTES, description="Exact length of the file in bytes.")]
MediaType = Annotated[
    str,
    Field(
        description="Media type of the file.",
        examples=["audio/wav"],
        json_schema_extra={"enum": list(ALL_MEDIA_TYPES)},
    ),
    AfterValidator(known_media_type),
]
Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        description="Public https address.",
        examples=["https://example.com/talk.wav"],
        json_schema_extra={"pattern": "^https://"},  # what else is right is for the core to say
    ),
    AfterValidator(unicode_text),
]
Strength = Annotated[
    float,
    Field(
        ge=0,
        le=100,
        multiple_of=0.1,
        description="How much of the noise is taken away, in percent, in steps of 0.1.",
        examples=[90],
    ),
]
Secret = Annotated[
    str,
    Field(
        pattern=r"^whsec_(?:(?:[A-Za-z0-9+/]{4}){8,20}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
        r"|(?:[A-Za-z0-9+/]{4}){21}(?:[A-Za-z0-9+/]{2}==)?)$",
        description="Your own signing secret: 24 to 64 bytes in base64 behind `whsec_`; without it you get one.",
    ),
]
EventName = Literal["*", "enhancement.succeeded", "enhancement.failed", "enhancement.cancelled"]
Description = Annotated[str, Field(max_length=200), AfterValidator(unicode_text)]


class Asked(BaseModel):
    """What a client sends: a field that is not known is a mistake, and strings are no numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Told(BaseModel):
    """What a client is answered."""

    model_config = ConfigDict(frozen=True)
