"""Adobe's wire models, field by field as its guide prints them (see SOURCE.md)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

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


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True)


class AdobeAssetRequest(_Wire):
    """Body of ``POST /audio_services/v1/assets``."""

    filename: Filename
    byte_size: ByteSize
    content_type: MediaType
    checksum: Md5 = None


class AdobeAsset(_Wire):
    """An asset."""

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

    strength: Annotated[
        int,
        Field(strict=True, ge=1, le=100, description="Percentage strength of speech enhancement."),
        AS_WHOLE_NUMBER,
    ]


class AdobeSpeechEnhancement(_Wire):
    """A speech enhancement."""

    strength: int
    id: Uuid
    download_url: str | None
    asset_id: Uuid
    requested_processing_at: Moment
    finished_processing_at: Moment | None
    status: JobStatusName
    model_id: str
