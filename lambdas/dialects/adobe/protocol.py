"""Adobe's wire models, field by field as its guide prints them (see SOURCE.md)."""

import base64
import binascii
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from lambdas.core.operations import MEDIA_TYPES

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
    except binascii.Error:
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


WholeNumber = Annotated[int, Field(strict=True), BeforeValidator(_whole_number)]


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True)


class AdobeAssetRequest(_Wire):
    """Body of ``POST /audio_services/v1/assets``."""

    filename: Annotated[str, Field(strict=True, pattern=FILENAME_PATTERN), AfterValidator(_filename)]
    byte_size: Annotated[WholeNumber, Field(ge=1, le=MAX_BYTE_SIZE)]
    content_type: Annotated[
        str,
        Field(strict=True, json_schema_extra={"enum": sorted(MEDIA_TYPES)}),
        AfterValidator(_media_type),
    ]
    checksum: Annotated[
        str | None,
        Field(strict=True, description="Base64 of the file's MD5. Optional; verified when given."),
        AfterValidator(lambda value: None if value is None else _checksum(value)),
    ] = None


class AdobeAsset(_Wire):
    """An asset."""

    id: str
    filename: str
    upload_url: str | None
    status: str
    created_at: str
    updated_at: str
    byte_size: int
    content_type: str
    checksum: str | None


class AdobeSpeechEnhancementRequest(_Wire):
    """Body of ``POST /audio_services/v1/assets/{asset_id}/speech_enhancements``."""

    strength: Annotated[WholeNumber, Field(ge=1, le=100)]


class AdobeSpeechEnhancement(_Wire):
    """A speech enhancement."""

    strength: int
    id: str
    download_url: str | None
    asset_id: str
    requested_processing_at: str
    finished_processing_at: str | None
    status: str
    model_id: str


class AdobeError(_Wire):
    """Body of every refusal."""

    error_code: str | None
    message: str
