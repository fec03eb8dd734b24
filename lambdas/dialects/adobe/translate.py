"""Version 1 of Adobe's API for the core's words, both ways: pure functions over the tables of both versions."""

from lambdas.core.clock import to_text
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.services.assets import AssetView, CreateAsset
from lambdas.dialects.adobe.protocol import AdobeAsset, AdobeAssetRequest, AdobeSpeechEnhancement
from lambdas.dialects.adobe_words import ASSET_STATUS, JOB_STATUS, model_id, whole_strength

PREFIX = "/audio_services"


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
        strength=whole_strength(job),
        id=job.id,
        download_url=f"{base_url}{path}" if job.status is JobStatus.SUCCEEDED else None,
        asset_id=job.asset_id,
        requested_processing_at=to_text(job.requested_at),
        finished_processing_at=to_text(job.finished_at) if job.finished_at else None,
        status=JOB_STATUS[job.status],
        model_id=model_id(job),
    )
