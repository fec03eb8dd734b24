"""The wire models of Adobe's version 2, field by field as its document has them (see SOURCE.md)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from lambdas.dialects.adobe_words import AssetStatusName, ByteSize, Filename, JobStatusName, MediaType, Moment, Uuid
from lambdas.dialects.examples import (
    ASSET_ID,
    CREATED_AT,
    DOWNLOAD_URL,
    ENHANCEMENT_ID,
    FILENAME,
    FINISHED_AT,
    MEDIA_TYPE,
    SIZE_BYTES,
    UPDATED_AT,
    UPLOAD_URL,
)

ASSET_PREFIX = "audio-services:asset:"
"""Of an asset's identifier, where it is an input."""


_ASSET: JsonDict = {
    "id": ASSET_ID,
    "fileName": FILENAME,
    "uploadUrl": UPLOAD_URL,
    "status": "waiting_for_upload",
    "byteSize": SIZE_BYTES,
    "mediaType": MEDIA_TYPE,
    "checksum": None,
    "updatedAt": CREATED_AT,
    "createdAt": CREATED_AT,
}
_ENHANCEMENT: JsonDict = {
    "id": ENHANCEMENT_ID,
    "strength": 90,
    "modelId": "v1",
    "assetId": ASSET_ID,
    "requestedProcessingAt": UPDATED_AT,
    "finishedProcessingAt": FINISHED_AT,
    "status": "succeeded",
    "output": {"url": DOWNLOAD_URL},
}
_ASKED = ("fileName", "byteSize", "mediaType")


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True)


class AdobeV2AssetRequest(_Wire):
    """Body of ``POST /v2/assets``."""

    model_config = ConfigDict(json_schema_extra={"examples": [{name: _ASSET[name] for name in _ASKED}]})

    file_name: Filename
    byte_size: ByteSize
    media_type: MediaType


class AdobeV2Asset(_Wire):
    """An asset."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ASSET]})

    id: Uuid
    file_name: str
    upload_url: Annotated[str | None, Field(description="Where to PUT the file; null once it has been uploaded.")]
    status: AssetStatusName
    byte_size: Annotated[int | None, Field(ge=0)]
    media_type: str | None
    checksum: Annotated[str | None, Field(description="Base64 of the file's MD5, where it was declared.")]
    updated_at: Moment
    created_at: Moment


class AdobeV2Input(_Wire):
    """What shall be enhanced."""

    upload_id: Annotated[
        str, Field(strict=True, description=f"Identifier of the asset, with the prefix `{ASSET_PREFIX}`.")
    ]


class AdobeV2SpeechEnhancementRequest(_Wire):
    """Body of ``POST /v2/speech-enhancements``."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"strength": 90, "input": {"uploadId": f"{ASSET_PREFIX}{ASSET_ID}"}}]}
    )

    strength: Annotated[
        float,
        Field(
            strict=True,
            ge=1,
            le=100,
            description="Percentage strength of speech enhancement; rounded to the nearest whole number.",
        ),
    ]
    input: AdobeV2Input


class AdobeV2Output(_Wire):
    """Where the result is."""

    url: Annotated[str | None, Field(description="A link of some minutes to the enhanced file.")]


class AdobeV2SpeechEnhancement(_Wire):
    """A speech enhancement."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ENHANCEMENT]})

    id: Uuid
    strength: Annotated[int, Field(ge=1, le=100)]
    model_id: str
    asset_id: Uuid
    requested_processing_at: Moment
    finished_processing_at: Moment | None
    status: JobStatusName
    output: Annotated[AdobeV2Output | None, Field(description="null until the status is `succeeded`.")]
