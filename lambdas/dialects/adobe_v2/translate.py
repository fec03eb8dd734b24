"""Version 2 of Adobe's API for the core's words, both ways: pure functions over the tables of both versions."""

import math

from lambdas.core.clock import to_text
from lambdas.core.jobs import Job
from lambdas.core.services.assets import AssetView, CreateAsset
from lambdas.core.services.enhancements import Wish
from lambdas.dialects.adobe_v2.protocol import (
    ASSET_PREFIX,
    AdobeV2Asset,
    AdobeV2AssetRequest,
    AdobeV2Output,
    AdobeV2SpeechEnhancement,
    AdobeV2SpeechEnhancementRequest,
)
from lambdas.dialects.adobe_words import ASSET_STATUS, JOB_STATUS, model_id, whole_strength
from lambdas.dialects.common import resource_id


def to_create_asset(client_id: str, body: AdobeV2AssetRequest) -> CreateAsset:
    """Read a request for a new asset."""
    return CreateAsset(
        client_id=client_id, filename=body.file_name, size_bytes=body.byte_size, content_type=body.media_type
    )


def to_asset_id(upload_id: str) -> str:
    """Read what names an asset as an input; raises `DomainError` NOT_FOUND where it cannot be one."""
    return resource_id(upload_id.removeprefix(ASSET_PREFIX) if upload_id.startswith(ASSET_PREFIX) else "")


def to_wish(body: AdobeV2SpeechEnhancementRequest) -> Wish:
    """Read what shall be done: any number is a strength, a whole one is what every answer shows."""
    return Wish(strength=float(math.floor(body.strength + 0.5)), is_unique=True)


def from_asset(view: AssetView) -> AdobeV2Asset:
    """Write an asset."""
    asset = view.asset
    return AdobeV2Asset(
        id=asset.id,
        file_name=asset.filename,
        upload_url=view.upload_url,
        status=ASSET_STATUS[asset.status],
        byte_size=asset.size_bytes,
        media_type=asset.content_type,
        checksum=asset.checksum_md5,
        updated_at=to_text(asset.updated_at),
        created_at=to_text(asset.created_at),
    )


def from_job(job: Job, *, output_url: str | None) -> AdobeV2SpeechEnhancement:
    """Write a speech enhancement; ``output_url`` is a link to the result where there is one."""
    return AdobeV2SpeechEnhancement(
        id=job.id,
        strength=whole_strength(job),
        model_id=model_id(job),
        asset_id=job.asset_id,
        requested_processing_at=to_text(job.requested_at),
        finished_processing_at=to_text(job.finished_at) if job.finished_at else None,
        status=JOB_STATUS[job.status],
        output=AdobeV2Output(url=output_url) if output_url else None,
    )
