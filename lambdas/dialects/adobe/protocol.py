"""Adobe's wire models, field by field as its guide prints them (see SOURCE.md)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from lambdas.dialects.adobe_words import (
    AS_WHOLE_NUMBER,
    AssetStatusName,
    ByteSize,
    Filename,
    JobStatusName,
    Md5,
    MediaType,
    Moment,
    Uuid,
)
from lambdas.dialects.examples import (
    ASSET_ID,
    CREATED_AT,
    ENHANCEMENT_ID,
    FILENAME,
    FINISHED_AT,
    MD5,
    MEDIA_TYPE,
    ORIGIN,
    SIZE_BYTES,
    UPDATED_AT,
    UPLOAD_URL,
)

_ASSET: JsonDict = {
    "id": ASSET_ID,
    "filename": FILENAME,
    "upload_url": UPLOAD_URL,
    "status": "waiting_for_upload",
    "created_at": CREATED_AT,
    "updated_at": CREATED_AT,
    "byte_size": SIZE_BYTES,
    "content_type": MEDIA_TYPE,
    "checksum": MD5,
}
_ENHANCEMENT: JsonDict = {
    "strength": 90,
    "id": ENHANCEMENT_ID,
    "download_url": (f"{ORIGIN}/audio_services/api/assets/{ASSET_ID}/speech_enhancements/{ENHANCEMENT_ID}/download"),
    "asset_id": ASSET_ID,
    "requested_processing_at": UPDATED_AT,
    "finished_processing_at": FINISHED_AT,
    "status": "succeeded",
    "model_id": "v1",
}
_ASKED = ("filename", "byte_size", "content_type", "checksum")


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True)


class AdobeAssetRequest(_Wire):
    """Body of ``POST /audio_services/v1/assets``."""

    model_config = ConfigDict(json_schema_extra={"examples": [{name: _ASSET[name] for name in _ASKED}]})

    filename: Filename
    byte_size: ByteSize
    content_type: MediaType
    checksum: Md5 = None


class AdobeAsset(_Wire):
    """An asset."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ASSET]})

    id: Uuid
    filename: str
    upload_url: str | None
    status: AssetStatusName
    created_at: Moment
    updated_at: Moment
    byte_size: int
    content_type: str
    checksum: str | None


class AdobeSpeechEnhancementRequest(_Wire):
    """Body of ``POST /audio_services/v1/assets/{asset_id}/speech_enhancements``."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"strength": 90}]})

    strength: Annotated[
        int,
        Field(strict=True, ge=1, le=100, description="Percentage strength of speech enhancement."),
        AS_WHOLE_NUMBER,
    ]


class AdobeSpeechEnhancement(_Wire):
    """A speech enhancement."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ENHANCEMENT]})

    strength: int
    id: Uuid
    download_url: str | None
    asset_id: Uuid
    requested_processing_at: Moment
    finished_processing_at: Moment | None
    status: JobStatusName
    model_id: str
