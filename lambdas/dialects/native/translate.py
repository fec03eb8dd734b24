"""The native API's words for the core's, both ways: pure tables and functions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.batches import BatchItem
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.operations import Options
from lambdas.core.services.assets import AssetView, CreateAsset
from lambdas.core.services.batches import BatchView
from lambdas.core.services.enhancements import Artifact, Wish
from lambdas.core.services.listing import JobView
from lambdas.core.services.sources import CreateFromBucket, CreateFromSource, CreateFromUrl
from lambdas.core.services.submission import JobWebhook, Source, Submitted
from lambdas.core.services.uploads import PartLink, UploadProgress
from lambdas.core.sources import bucket_object_of
from lambdas.core.uploads import PartPlan
from lambdas.core.usage import UsageDay
from lambdas.core.webhooks import ALL_EVENTS, Delivery, WebhookEndpoint
from lambdas.dialects.native.requests import (
    NativeAssetRequest,
    NativeEnhancementRequest,
    NativeJobWebhook,
    NativeOptions,
    NativeS3Source,
    NativeSource,
    NativeUploadRequest,
    NativeUrlSource,
)
from lambdas.dialects.native.views import (
    NativeAsset,
    NativeAttempt,
    NativeAudio,
    NativeBatch,
    NativeBatchItem,
    NativeDelivery,
    NativeEnhancement,
    NativeFault,
    NativeLinks,
    NativePart,
    NativeProblem,
    NativeProgress,
    NativeUpload,
    NativeUsage,
    NativeUsageDay,
    NativeWebhook,
)

PREFIX = "/v1"

ASSET_STATUS: Mapping[AssetStatus, str] = MappingProxyType(
    {
        AssetStatus.WAITING_FOR_UPLOAD: "waiting_for_upload",
        AssetStatus.READY: "ready",
        AssetStatus.INVALID: "invalid",
        # Never shown: a deleted asset is not found.
        AssetStatus.DELETED: "invalid",
    }
)

JOB_STATUS: Mapping[JobStatus, str] = MappingProxyType(
    {
        JobStatus.WAITING_FOR_UPLOAD: "waiting_for_upload",
        JobStatus.QUEUED: "queued",
        JobStatus.ADMITTED: "running",
        JobStatus.DISPATCHED: "running",
        JobStatus.RUNNING: "running",
        JobStatus.SUCCEEDED: "succeeded",
        JobStatus.FAILED: "failed",
        JobStatus.CANCELLED: "cancelled",
    }
)

_KEY_OF_DELETED = "What this key made has been deleted: use another key"

ERRORS: Mapping[DomainErrorCode, tuple[HTTPStatus, str]] = MappingProxyType(
    {
        DomainErrorCode.API_KEY_MISSING: (HTTPStatus.UNAUTHORIZED, "A token or an API key is needed"),
        DomainErrorCode.API_KEY_UNKNOWN: (HTTPStatus.FORBIDDEN, "The API key is not valid"),
        DomainErrorCode.TOKEN_INVALID: (HTTPStatus.UNAUTHORIZED, "The token is not valid"),
        DomainErrorCode.CREDENTIALS_INVALID: (HTTPStatus.UNAUTHORIZED, "The credentials are not valid"),
        DomainErrorCode.GRANT_UNSUPPORTED: (HTTPStatus.BAD_REQUEST, "The grant is not supported"),
        DomainErrorCode.NOT_FOUND: (HTTPStatus.NOT_FOUND, "There is no such thing"),
        DomainErrorCode.METHOD_NOT_ALLOWED: (HTTPStatus.METHOD_NOT_ALLOWED, "The method is not allowed"),
        DomainErrorCode.PARAMETER_INVALID: (HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not valid"),
        DomainErrorCode.ASSET_NOT_UPLOADED: (HTTPStatus.CONFLICT, "The asset has not been uploaded yet"),
        DomainErrorCode.ASSET_NOT_ENHANCEABLE: (HTTPStatus.CONFLICT, "The asset cannot be enhanced"),
        DomainErrorCode.ENHANCEMENT_EXISTS: (HTTPStatus.CONFLICT, "There is such an enhancement already"),
        DomainErrorCode.RATE_EXCEEDED: (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests"),
        DomainErrorCode.QUEUE_FULL: (HTTPStatus.TOO_MANY_REQUESTS, "Too many enhancements are waiting"),
        DomainErrorCode.ALREADY_FINISHED: (HTTPStatus.CONFLICT, "It has ended already"),
        DomainErrorCode.IDEMPOTENCY_MISMATCH: (
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "The idempotency key was used for another request",
        ),
        DomainErrorCode.UPLOAD_EXPIRED: (HTTPStatus.GONE, "The upload's time is over"),
        DomainErrorCode.URL_NOT_ALLOWED: (HTTPStatus.UNPROCESSABLE_ENTITY, "The URL cannot be called"),
        DomainErrorCode.WEBHOOK_LIMIT: (HTTPStatus.CONFLICT, "There are too many webhooks"),
        DomainErrorCode.ENHANCEMENT_NOT_FINISHED: (
            HTTPStatus.CONFLICT,
            "The enhancement has not ended: cancel it first",
        ),
        DomainErrorCode.ENHANCEMENT_DELETED: (HTTPStatus.GONE, _KEY_OF_DELETED),
        DomainErrorCode.ASSET_DELETED: (HTTPStatus.GONE, _KEY_OF_DELETED),
        DomainErrorCode.WEBHOOK_DISABLED: (HTTPStatus.CONFLICT, "The webhook is disabled"),
        DomainErrorCode.CONFLICT: (HTTPStatus.CONFLICT, "The resource has changed meanwhile"),
        DomainErrorCode.UNAVAILABLE: (HTTPStatus.SERVICE_UNAVAILABLE, "The service is not available for the moment"),
        DomainErrorCode.INTERNAL: (HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side"),
    }
)
"""Core code → status and title; ``code`` is the core's own name."""

SAID_AT_MOST = 5
"""Field errors in the sentence; the list has them all."""

_UNSAID = frozenset({DomainErrorCode.INTERNAL, DomainErrorCode.UNAVAILABLE})
"""Their messages are for the log."""


def to_create_asset(
    client_id: str, body: NativeUploadRequest, *, retain_hours: int | None, key: IdempotencyKey | None
) -> CreateAsset:
    """Read what is going to be uploaded."""
    return CreateAsset(
        client_id=client_id,
        filename=body.filename,
        size_bytes=body.size_bytes,
        content_type=body.content_type,
        checksum_md5=body.checksum_md5,
        checksum_sha256=body.checksum_sha256,
        in_parts=body.in_parts,
        retain_hours=retain_hours,
        idempotency=key,
    )


def to_registration(
    client_id: str, body: NativeAssetRequest, *, key: IdempotencyKey | None
) -> CreateAsset | CreateFromSource:
    """Read what is going to be uploaded, or fetched."""
    fetched = _to_fetched(client_id, body.url, body.s3, retain_hours=body.retain_hours)
    if fetched is not None:
        return replace(fetched, idempotency=key)
    return to_create_asset(client_id, body.upload, retain_hours=body.retain_hours, key=key)


def to_source(client_id: str, source: NativeSource, *, retain_hours: int | None) -> Source:
    """Read where the recording is."""
    if source.upload is not None:
        return to_create_asset(client_id, source.upload, retain_hours=retain_hours, key=None)
    return _to_fetched(client_id, source.url, source.s3, retain_hours=retain_hours) or source.asset_id or ""


def _to_fetched(
    client_id: str, url: NativeUrlSource | None, s3: NativeS3Source | None, *, retain_hours: int | None
) -> CreateFromSource | None:
    if url is not None:
        return CreateFromUrl(client_id, url.href, url.filename, retain_hours)
    if s3 is not None:
        found = bucket_object_of(s3.uri, s3.role_arn, s3.version_id)
        return CreateFromBucket(client_id, found, s3.filename, retain_hours)
    return None


def to_wish(body: NativeEnhancementRequest, *, key: IdempotencyKey | None) -> Wish:
    """Read what shall be done."""
    return Wish(
        strength=round(body.strength, 1),
        model=body.model,
        options=Options(**body.options.model_dump()),
        reference=body.reference,
        idempotency=key,
    )


def to_webhook(body: NativeJobWebhook | None, *, base_url: str) -> JobWebhook | None:
    """Read where one job's end is to be told."""
    return JobWebhook(body.url, body.secret, base_url) if body else None


def to_statuses(names: Sequence[str]) -> tuple[JobStatus, ...]:
    """Read a filter; nothing is everything."""
    return tuple(status for status, name in JOB_STATUS.items() if not names or name in names)


def to_digests(md5: Mapping[str, str]) -> dict[int, str]:
    """Read parts' checksums."""
    return {int(number): digest for number, digest in md5.items()}


def from_asset(view: AssetView, *, expires_at: datetime) -> NativeAsset:
    """Write an asset."""
    asset = view.asset
    facts = asset.facts
    return NativeAsset(
        id=asset.id,
        status=ASSET_STATUS[asset.status],
        filename=asset.filename,
        size_bytes=asset.size_bytes,
        content_type=asset.content_type,
        checksum_md5=asset.checksum_md5,
        checksum_sha256=asset.checksum_sha256,
        created_at=asset.created_at,
        updated_at=asset.updated_at,
        retain_until=asset.retain_until,
        audio=NativeAudio(**facts.model_dump(include=set(NativeAudio.model_fields))) if facts else None,
        error=_fault(asset.error_code, asset.error_message),
        upload=upload_of(view, expires_at=expires_at),
        parts=PartPlan(asset.size_bytes, asset.multipart.part_size_bytes).count if asset.multipart else None,
    )


def upload_of(view: AssetView, *, expires_at: datetime) -> NativeUpload | None:
    """Write where to put the bytes; None where there is nothing to put, or parts."""
    if view.upload_url is None:
        return None
    return NativeUpload(method="PUT", url=view.upload_url, headers=_signed_headers(view.asset), expires_at=expires_at)


def from_link(link: PartLink, *, expires_at: datetime) -> NativePart:
    """Write where to put a part."""
    return NativePart(
        number=link.number,
        size_bytes=link.size_bytes,
        method="PUT",
        url=link.url,
        headers={"Content-MD5": link.md5} if link.md5 else {},
        expires_at=expires_at,
    )


def from_progress(progress: UploadProgress) -> NativeProgress:
    """Write what has arrived."""
    plan = progress.plan
    return NativeProgress(
        asset_id=progress.asset.id,
        part_size_bytes=plan.part_size_bytes,
        parts=plan.count,
        arrived_bytes=progress.arrived_bytes,
        missing=progress.missing,
    )


def from_job(
    seen: JobView, *, base_url: str, made: Submitted | None = None, expires_at: datetime | None = None
) -> NativeEnhancement:
    """Write an enhancement; in the answer that makes it, with what was made along with it."""
    job = seen.job
    view = made.asset if made else None
    return NativeEnhancement(
        id=job.id,
        status=JOB_STATUS[job.status],
        asset_id=job.asset_id,
        strength=job.strength,
        model=job.model,
        options=NativeOptions(
            dereverb=job.options.dereverb,
            output_format=job.options.output_format,
            loudness_lufs=job.options.loudness_lufs,
            true_peak_dbtp=job.options.true_peak_dbtp,
            report=job.options.report,
        ),
        reference=job.reference,
        batch_id=job.batch_id,
        created_at=job.requested_at,
        updated_at=job.updated_at,
        finished_at=job.finished_at,
        progress_percent=round(job.progress, 1),
        queue_position=seen.queue_position,
        eta_s=seen.eta_s,
        audio_s=job.audio_s,
        size_bytes=job.output_size_bytes,
        error=_fault(job.error_code, job.error_message),
        links=_links(job, base_url),
        upload=upload_of(view, expires_at=expires_at) if view and expires_at else None,
        webhook_secret=made.webhook_secret if made else None,
    )


def from_webhook(endpoint: WebhookEndpoint, *, secret: str | None = None) -> NativeWebhook:
    """Write a webhook."""
    return NativeWebhook(
        id=endpoint.id,
        url=endpoint.url,
        events=(ALL_EVENTS,) if endpoint.event_types is None else tuple(sorted(endpoint.event_types)),
        description=endpoint.description,
        enabled=endpoint.is_enabled,
        disabled_reason=endpoint.disabled_reason,
        created_at=endpoint.created_at,
        updated_at=endpoint.updated_at,
        secret=secret,
    )


def from_delivery(delivery: Delivery) -> NativeDelivery:
    """Write a delivery."""
    return NativeDelivery(
        id=delivery.message_id,
        event=delivery.event_type,
        status=delivery.status.value,
        created_at=delivery.created_at,
        next_attempt_at=delivery.next_attempt_at,
        attempts=tuple(
            NativeAttempt(at=one.at, status_code=one.status_code, error=one.error) for one in delivery.attempts
        ),
    )


def from_batch(view: BatchView, seen: Mapping[str, JobView], *, base_url: str, expires_at: datetime) -> NativeBatch:
    """Write a batch with its items in the order of the request."""
    jobs = [view.jobs.get(item.job_id or "") for item in view.batch.items]
    pairs = tuple(zip(view.batch.items, jobs, strict=True))
    names = [JOB_STATUS[job.status] if job else "refused" if item.error_code else "deleted" for item, job in pairs]
    items = []
    for index, (item, job) in enumerate(pairs):
        made = view.made.get(job.id) if job else None
        shown = seen.get(job.id) if job else None
        items.append(
            NativeBatchItem(
                index=index,
                enhancement=from_job(shown, base_url=base_url, made=made, expires_at=expires_at) if shown else None,
                error=None if job else _missing(item),
            )
        )
    return NativeBatch(
        id=view.batch.id,
        created_at=view.batch.created_at,
        reference=view.batch.reference,
        finished=all(job is None or job.is_terminal for job in jobs),
        counts={name: names.count(name) for name in dict.fromkeys(names)},
        items=tuple(items),
    )


def from_usage(days: Sequence[UsageDay]) -> NativeUsage:
    """Write what was done."""
    return NativeUsage(
        days=tuple(
            NativeUsageDay(
                day=one.day,
                succeeded=one.succeeded,
                failed=one.failed,
                cancelled=one.cancelled,
                audio_minutes=_minutes(one.audio_s),
            )
            for one in days
        ),
        audio_minutes=_minutes(sum(one.audio_s for one in days)),
    )


def from_error(error: DomainError, *, request_id: str, fields: Sequence[Mapping[str, Any]] = ()) -> NativeProblem:
    """Write a refusal; ``fields`` are pydantic's errors."""
    status, title = ERRORS[error.code]
    wrong = tuple(_field_error(one) for one in fields)
    said = "; ".join(f"{one['field']}: {one['message']}" for one in wrong[:SAID_AT_MOST])
    own = "" if error.code in _UNSAID or error.message == error.code.value else error.message
    return NativeProblem(
        type=f"{PREFIX}/problems/{error.code}",
        title=title,
        status=status.value,
        detail=said or own or title,
        code=error.code.value,
        retryable=error.retryable or status >= HTTPStatus.INTERNAL_SERVER_ERROR,
        request_id=request_id,
        errors=wrong,
    )


def _field_error(error: Mapping[str, Any]) -> dict[str, str]:
    """Word one of pydantic's errors: which field, and what is wrong with it; never the value, which may be secret."""
    where = ".".join(str(part) for part in error.get("loc", ())[1:])
    return {"field": where or "body", "message": str(error.get("msg"))}


def _links(job: Job, base_url: str) -> NativeLinks:
    own = f"{base_url}{PREFIX}/enhancements/{job.id}"
    done = job.status is JobStatus.SUCCEEDED
    beside = {name.value: f"{own}/{name}" if done and name in job.artifacts else None for name in Artifact}
    return NativeLinks(self=own, download=f"{own}/download" if done else None, **beside)


def _signed_headers(asset: Asset) -> dict[str, str]:
    headers = {"Content-Type": asset.content_type}
    if asset.checksum_md5:
        headers["Content-MD5"] = asset.checksum_md5
    if asset.checksum_sha256:
        headers["x-amz-checksum-sha256"] = asset.checksum_sha256
    return headers


def _fault(code: str | None, message: str | None) -> NativeFault | None:
    return NativeFault(code=code, message=message or code) if code else None


def _missing(item: BatchItem) -> NativeFault:
    """Say why an item has no enhancement: it was refused then, or deleted since."""
    if item.error_code is None:
        return NativeFault(code=DomainErrorCode.ENHANCEMENT_DELETED.value, message="it has been deleted")
    message = item.error_message or item.error_code
    return NativeFault(code=item.error_code, message=message, retryable=item.is_retryable)


def _minutes(seconds: float) -> float:
    return round(seconds / 60, 3)
