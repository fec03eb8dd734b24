"""One example of each body, as the OpenAPI document shows them; a test sends the requests and checks the answers."""

from pydantic.config import JsonDict

from lambdas.dialects.examples import (
    ASSET_ID,
    BATCH_ID,
    BUCKET_URI,
    CREATED_AT,
    DOWNLOAD_URL,
    ENHANCEMENT_ID,
    EXPIRES_AT,
    FILENAME,
    FINISHED_AT,
    MD5,
    MEDIA_TYPE,
    MESSAGE_ID,
    ORIGIN,
    RECEIVER_URL,
    SIGNING_KEY,
    SIZE_BYTES,
    SOURCE_ROLE_ARN,
    SOURCE_URL,
    UPDATED_AT,
    UPLOAD_URL,
    WEBHOOK_ID,
)

_SELF = f"{ORIGIN}/v1/enhancements/{ENHANCEMENT_ID}"

UPLOAD_REQUEST: JsonDict = {"filename": FILENAME, "size_bytes": SIZE_BYTES, "content_type": MEDIA_TYPE}

ASSET_REQUEST: JsonDict = UPLOAD_REQUEST | {"checksum_md5": MD5, "retain_hours": 72}

ASSET_REQUEST_OF_URL: JsonDict = {"url": {"href": SOURCE_URL}, "retain_hours": 72}

S3_SOURCE: JsonDict = {"uri": BUCKET_URI, "role_arn": SOURCE_ROLE_ARN}

ASSET_REQUEST_OF_S3: JsonDict = {"s3": S3_SOURCE | {"version_id": "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"}}

PARTS_REQUEST: JsonDict = {"numbers": [1, 2]}

ENHANCEMENT_REQUEST: JsonDict = {
    "source": {"upload": UPLOAD_REQUEST},
    "strength": 90,
    "options": {"dereverb": "auto", "loudness_lufs": -16},
    "reference": "episode-42",
}

ENHANCEMENT_REQUEST_OF_ASSET: JsonDict = {"source": {"asset_id": ASSET_ID}, "strength": 72.5, "model": "dfn3-hq"}

ENHANCEMENT_REQUEST_OF_URL: JsonDict = {
    "source": {"url": {"href": SOURCE_URL}},
    "strength": 90,
    "webhook": {"url": RECEIVER_URL},
    "retain_hours": 72,
}

ENHANCEMENT_REQUEST_OF_S3: JsonDict = {"source": {"s3": S3_SOURCE}, "strength": 90}

BATCH_REQUEST: JsonDict = {
    "items": [
        {"source": {"asset_id": ASSET_ID}, "strength": 60},
        {"source": {"upload": UPLOAD_REQUEST}, "strength": 90, "reference": "second"},
    ],
    "reference": "season-2",
}

UPLOAD: JsonDict = {
    "method": "PUT",
    "url": UPLOAD_URL,
    "headers": {"Content-Type": MEDIA_TYPE},
    "expires_at": EXPIRES_AT,
}

PART: JsonDict = UPLOAD | {"number": 1, "size_bytes": 16_777_216, "headers": {}}

PARTS: JsonDict = {"parts": [PART, PART | {"number": 2, "size_bytes": 4_194_304}]}

PROGRESS: JsonDict = {
    "asset_id": ASSET_ID,
    "part_size_bytes": 16_777_216,
    "parts": 2,
    "arrived_bytes": 16_777_216,
    "missing": [2],
}

ASSET: JsonDict = {
    "id": ASSET_ID,
    "status": "waiting_for_upload",
    "filename": FILENAME,
    "size_bytes": SIZE_BYTES,
    "content_type": MEDIA_TYPE,
    "checksum_md5": MD5,
    "checksum_sha256": None,
    "created_at": CREATED_AT,
    "updated_at": CREATED_AT,
    "retain_until": None,
    "audio": None,
    "error": None,
    "upload": UPLOAD,
    "parts": None,
}

READY_ASSET: JsonDict = ASSET | {
    "status": "ready",
    "updated_at": UPDATED_AT,
    "audio": {"container": "wav", "codec": "pcm_s16le", "rate_hz": 48_000, "channels": 1, "duration_s": 30.0},
    "upload": None,
}

ENHANCEMENT: JsonDict = {
    "id": ENHANCEMENT_ID,
    "status": "succeeded",
    "asset_id": ASSET_ID,
    "strength": 72.5,
    "model": "dfn3-hq",
    "options": {
        "dereverb": "auto",
        "output_format": None,
        "loudness_lufs": -16.0,
        "true_peak_dbtp": None,
        "report": None,
    },
    "reference": "episode-42",
    "batch_id": None,
    "created_at": CREATED_AT,
    "updated_at": FINISHED_AT,
    "finished_at": FINISHED_AT,
    "progress_percent": 100.0,
    "queue_position": None,
    "eta_s": None,
    "audio_s": 30.0,
    "size_bytes": SIZE_BYTES,
    "error": None,
    "links": {
        "self": _SELF,
        "download": f"{_SELF}/download",
        "report": f"{_SELF}/report",
        "spectrogram": f"{_SELF}/spectrogram",
        "waveform": f"{_SELF}/waveform",
        "peaks": f"{_SELF}/peaks",
    },
    "upload": None,
}

FILE_LINK: JsonDict = {"url": DOWNLOAD_URL, "expires_at": EXPIRES_AT}

BATCH: JsonDict = {
    "id": BATCH_ID,
    "created_at": CREATED_AT,
    "reference": "season-2",
    "finished": True,
    "counts": {"succeeded": 1, "refused": 1},
    "items": [
        {"index": 0, "enhancement": ENHANCEMENT | {"batch_id": BATCH_ID}, "error": None},
        {
            "index": 1,
            "enhancement": None,
            "error": {
                "code": "asset_not_uploaded",
                "message": "The asset has not been uploaded yet",
                "retryable": True,
            },
        },
    ],
}

ASSET_PAGE: JsonDict = {"items": [READY_ASSET], "next_cursor": None}

ENHANCEMENT_PAGE: JsonDict = {"items": [ENHANCEMENT], "next_cursor": None}

USAGE: JsonDict = {
    "days": [{"day": "2026-03-02", "succeeded": 1, "failed": 0, "cancelled": 0, "audio_minutes": 0.5}],
    "audio_minutes": 0.5,
}

WEBHOOK_REQUEST: JsonDict = {
    "url": RECEIVER_URL,
    "events": ["enhancement.succeeded", "enhancement.failed"],
    "description": "the archive",
}

WEBHOOK_CHANGES: JsonDict = {"events": ["*"], "enabled": True}

SECRET_REQUEST: JsonDict = {"keep_previous": True}

SECRET_REQUEST_OF_ONES_OWN: JsonDict = {"secret": SIGNING_KEY, "keep_previous": False}

WEBHOOK: JsonDict = WEBHOOK_REQUEST | {
    "id": WEBHOOK_ID,
    "enabled": True,
    "disabled_reason": None,
    "created_at": CREATED_AT,
    "updated_at": CREATED_AT,
    "secret": SIGNING_KEY,
}

WEBHOOK_LIST: JsonDict = {"items": [WEBHOOK | {"secret": None}]}

DELIVERY: JsonDict = {
    "id": MESSAGE_ID,
    "event": "enhancement.succeeded",
    "status": "delivered",
    "created_at": FINISHED_AT,
    "next_attempt_at": None,
    "attempts": [{"at": FINISHED_AT, "status_code": 204, "error": None}],
}

DELIVERY_PAGE: JsonDict = {"items": [DELIVERY], "next_cursor": None}
