"""Entities as DynamoDB items and back. The keys and attribute names are known here and nowhere else.

Every item carries ``v``, the version of its layout; older layouts are upgraded on reading.
"""

import dataclasses
import json
import zlib
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from gpu_container.contract import AudioFacts
from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.batches import Batch, BatchItem
from lambdas.core.clients import DEFAULT_MAX_QUEUED, Client, SecretHash
from lambdas.core.clock import from_text, to_text
from lambdas.core.jobs import HOLDS_SLOT, NO_OPTIONS, Job, JobStatus, Tombstone
from lambdas.core.operations import Options
from lambdas.core.paging import order_of
from lambdas.core.ports import Attempt
from lambdas.core.rates import RateClass, oldest_counted
from lambdas.core.routing import Lane
from lambdas.core.uploads import MultipartUpload
from lambdas.core.usage import UsageDay

Item = dict[str, Any]
"""An item as boto3's table resource gives it."""
LAYOUT = 1

GSI_CLIENT_STATUS, GSI_ASSET, GSI_SWEEP = "gsi1", "gsi2", "gsi3"
QUEUE_PREFIX = "Q#"
SWEEP_SHARDS = 4
SWEEP_ACTIVE, SWEEP_ENDED = "active", "ended"
"""Jobs that hold a slot; jobs that ended with nobody told of it."""
SWEEP_EXPECTING, SWEEP_HELD = "expecting", "held"
"""Jobs that wait for their upload; jobs whose upload has come, and that wait for room in their client's queue."""
SWEEP_WAITING, SWEEP_RETAINED, SWEEP_DELETED = "waiting", "retained", "deleted"
"""Assets that wait for their bytes; that are to be deleted at a time; that are to be erased."""
SWEEP_BURIED = "buried"
"""Deleted jobs whose results are to be erased once more."""

RATE_ERA_BUCKETS = 60
"""Calls are counted in one row for each five minutes; DynamoDB forgets it afterwards."""
RATE_LATE_BUCKETS = 6
"""A call is counted within half a minute of its own time: API Gateway has given it up by then."""

OPTIONS: TypeAdapter[Options] = TypeAdapter(Options)
BATCH_ITEMS: TypeAdapter[tuple[BatchItem, ...]] = TypeAdapter(tuple[BatchItem, ...])

SLOTS_KEY = {"pk": "G#slots", "sk": "META"}
"""The row that counts the slots taken by all clients together."""

LANES_KEY = {"pk": "G#lanes", "sk": "META"}
"""The row that says when each lane last showed life."""


def client_pk(client_id: str) -> str:
    """Partition of everything a client owns."""
    return f"C#{client_id}"


def client_key(client_id: str) -> dict[str, str]:
    """Key of the client itself."""
    return {"pk": client_pk(client_id), "sk": "META"}


def asset_key(client_id: str, asset_id: str) -> dict[str, str]:
    """Key of an asset."""
    return {"pk": client_pk(client_id), "sk": f"A#{asset_id}"}


def job_key(client_id: str, job_id: str) -> dict[str, str]:
    """Key of a job."""
    return {"pk": client_pk(client_id), "sk": f"J#{job_id}"}


def tombstone_key(client_id: str, job_id: str) -> dict[str, str]:
    """Key of what is left of a deleted job."""
    return {"pk": client_pk(client_id), "sk": f"X#{job_id}"}


def unique_key(job: Job) -> dict[str, str]:
    """Key of the item that keeps a second job of the same asset, model and strength out."""
    return {"pk": client_pk(job.client_id), "sk": f"U#{job.asset_id}#{job.model}#{job.strength:g}"}


def attempt_key(inference_id: str) -> dict[str, str]:
    """Key of a dispatched attempt."""
    return {"pk": f"T#{inference_id}", "sk": "T"}


def queue_key(job: Job) -> dict[str, str]:
    """Key of a queued job's place in its client's queue, oldest first.

    The queue lives in the table itself and not in an index: an index lags, and admission must see a job that
    was written a millisecond ago and must not see one that has just been admitted.
    """
    return {"pk": client_pk(job.client_id), "sk": f"{QUEUE_PREFIX}{_order(job)}"}


def batch_key(client_id: str, batch_id: str) -> dict[str, str]:
    """Key of a batch."""
    return {"pk": client_pk(client_id), "sk": f"B#{batch_id}"}


def usage_key(client_id: str, day: date) -> dict[str, str]:
    """Key of what a client had done on a day."""
    return {"pk": client_pk(client_id), "sk": f"D#{day.isoformat()}"}


def rate_key(client_id: str, rate_class: RateClass, era: int) -> dict[str, str]:
    """Key of a client's calls of a class in an era of `RATE_ERA_BUCKETS`; apart from its jobs, which are busy."""
    return {"pk": f"R#{client_id}#{rate_class}", "sk": f"{era}"}


def rate_eras_beside(bucket: int) -> Iterator[int]:
    """Yield the eras whose calls may count together with a bucket's, its own left out."""
    era = bucket // RATE_ERA_BUCKETS
    if oldest_counted(bucket) // RATE_ERA_BUCKETS < era:
        yield era - 1
    if (bucket + RATE_LATE_BUCKETS) // RATE_ERA_BUCKETS > era:
        yield era + 1


def assets_pk(client_id: str) -> str:
    """Partition of a client's assets, in their index."""
    return f"{client_pk(client_id)}#assets"


def jobs_of_asset_pk(client_id: str, asset_id: str) -> str:
    """Partition of an asset's jobs, in their index."""
    return f"A#{client_id}#{asset_id}"


def jobs_in_status_pk(client_id: str, status: JobStatus) -> str:
    """Partition of a client's jobs in a status, in their index.

    A worker marks its job as running and may not touch the keys of indexes, so running jobs stay among the dispatched.
    """
    listed_as = JobStatus.DISPATCHED if status is JobStatus.RUNNING else status
    return f"{client_pk(client_id)}#{listed_as}"


def sweep_pk(group: str, shard: int) -> str:
    """Partition of one shard of the sweeper's index."""
    return f"S#{group}#{shard}"


def from_client(client: Client) -> Item:
    """Write a client, with its leases as they were read."""
    return {
        **client_key(client.id),
        "v": LAYOUT,
        "client_id": client.id,
        "name": client.name,
        "created_at": to_text(client.created_at),
        "secrets": [
            {"salt": known.salt, "digest": known.digest, "created_at": to_text(known.created_at)}
            for known in client.secrets
        ],
        "disabled": client.disabled,
        "max_active": client.max_active,
        "max_queued": client.max_queued,
        "leases": dict(client.leases),
        "queued": client.queued,
        "last_admitted_at": _text_or_none(client.last_admitted_at),
        "rate_limits": {rate_class.value: limit for rate_class, limit in client.rate_limits.items()},
        "takes_api_keys": client.takes_api_keys,
        "version": client.version,
        f"{GSI_CLIENT_STATUS}pk": "CLIENTS",
        f"{GSI_CLIENT_STATUS}sk": to_text(client.created_at),
    }


def to_client(item: Item) -> Client:
    """Read a client."""
    return Client(
        id=item["client_id"],
        name=item["name"],
        created_at=from_text(item["created_at"]),
        secrets=tuple(
            SecretHash(salt=known["salt"], digest=known["digest"], created_at=from_text(known["created_at"]))
            for known in item["secrets"]
        ),
        disabled=bool(item["disabled"]),
        max_active=int(item["max_active"]),
        max_queued=int(item.get("max_queued", DEFAULT_MAX_QUEUED)),
        leases=MappingProxyType(dict(item["leases"])),
        queued=int(item.get("queued", 0)),
        last_admitted_at=_moment_or_none(item, "last_admitted_at"),
        rate_limits=MappingProxyType(
            {RateClass(name): int(limit) for name, limit in item.get("rate_limits", {}).items()}
        ),
        takes_api_keys=bool(item.get("takes_api_keys")),
        version=int(item["version"]),
    )


def from_asset(asset: Asset, *, expires_at: datetime) -> Item:
    """Write an asset; DynamoDB forgets it after ``expires_at``."""
    parts = asset.multipart
    item = {
        **asset_key(asset.client_id, asset.id),
        "v": LAYOUT,
        "asset_id": asset.id,
        "client_id": asset.client_id,
        "filename": asset.filename,
        "size_bytes": asset.size_bytes,
        "content_type": asset.content_type,
        "checksum_md5": asset.checksum_md5,
        "checksum_sha256": asset.checksum_sha256,
        "object_key": asset.object_key,
        "created_at": to_text(asset.created_at),
        "updated_at": to_text(asset.updated_at),
        "status": asset.status.value,
        "version_id": asset.version_id,
        "facts": asset.facts.model_dump_json() if asset.facts else None,
        "error_code": asset.error_code,
        "error_message": asset.error_message,
        "waiting_job_id": asset.waiting_job_id,
        "retain_until": _text_or_none(asset.retain_until),
        "request_sha256": asset.request_sha256,
        "multipart": {"upload_id": parts.upload_id, "part_size_bytes": parts.part_size_bytes} if parts else None,
        "erase_again_at": _text_or_none(asset.erase_again_at),
        "is_fetched": asset.is_fetched,
        "fetch_asked_at": _text_or_none(asset.fetch_asked_at),
        "version": asset.version,
        "ttl": int(expires_at.timestamp()),
    }
    if asset.is_deleted:
        due_at = asset.erase_again_at
        return item | _sweep_keys(SWEEP_DELETED, asset.id, since=due_at) if due_at else item
    item |= {
        f"{GSI_CLIENT_STATUS}pk": assets_pk(asset.client_id),
        f"{GSI_CLIENT_STATUS}sk": order_of(asset.created_at, asset.id),
    }
    if asset.is_waiting:
        item |= _sweep_keys(SWEEP_WAITING, asset.id, since=asset.created_at)
    elif asset.retain_until:
        item |= _sweep_keys(SWEEP_RETAINED, asset.id, since=asset.retain_until)
    return item


def to_asset(item: Item) -> Asset:
    """Read an asset."""
    parts = item.get("multipart")
    return Asset(
        id=item["asset_id"],
        client_id=item["client_id"],
        filename=item["filename"],
        size_bytes=int(item["size_bytes"]),
        content_type=item["content_type"],
        checksum_md5=item.get("checksum_md5"),
        object_key=item["object_key"],
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
        status=AssetStatus(item["status"]),
        version_id=item.get("version_id"),
        facts=AudioFacts.model_validate_json(item["facts"]) if item.get("facts") else None,
        error_code=item.get("error_code"),
        error_message=item.get("error_message"),
        waiting_job_id=item.get("waiting_job_id"),
        retain_until=_moment_or_none(item, "retain_until"),
        request_sha256=item.get("request_sha256"),
        checksum_sha256=item.get("checksum_sha256"),
        multipart=MultipartUpload(item["object_key"], parts["upload_id"], int(parts["part_size_bytes"]))
        if parts
        else None,
        erase_again_at=_moment_or_none(item, "erase_again_at"),
        is_fetched=bool(item.get("is_fetched", False)),
        fetch_asked_at=_moment_or_none(item, "fetch_asked_at"),
        version=int(item["version"]),
    )


def from_job(job: Job, *, expires_at: datetime | None) -> Item:
    """Write a job, with the index keys that its status calls for; without ``expires_at`` it stays."""
    item = {
        **job_key(job.client_id, job.id),
        "v": LAYOUT,
        "job_id": job.id,
        "client_id": job.client_id,
        "asset_id": job.asset_id,
        "strength": Decimal(str(job.strength)),
        "model": job.model,
        "requested_at": to_text(job.requested_at),
        "updated_at": to_text(job.updated_at),
        "status": job.status.value,
        "attempt": job.attempt,
        "progress": Decimal(str(job.progress)),
        "admitted_at": _text_or_none(job.admitted_at),
        "started_at": _text_or_none(job.started_at),
        "started_percent": Decimal(str(job.started_percent)) if job.started_percent else None,
        "heartbeat_at": _text_or_none(job.heartbeat_at),
        "lane": job.lane.value if job.lane else None,
        "avoided_lanes": [lane.value for lane in job.avoided_lanes] or None,
        "finished_at": _text_or_none(job.finished_at),
        "output_key": job.output_key,
        "output_version_id": job.output_version_id,
        "output_size_bytes": job.output_size_bytes,
        "error_code": job.error_code,
        "error_message": job.error_message,
        "options": _options(job.options) or None,
        # Absent is True: rows from before there was a choice.
        "is_unique": None if job.is_unique else False,
        "batch_id": job.batch_id,
        "reference": job.reference,
        "audio_s": None if job.audio_s is None else Decimal(str(job.audio_s)),
        "artifacts": dict(job.artifacts) or None,
        "request_sha256": job.request_sha256,
        "notified_at": _text_or_none(job.notified_at),
        "is_held": job.is_held or None,
        "version": job.version,
        "ttl": int(expires_at.timestamp()) if expires_at else None,
    }
    return {key: value for key, value in (item | _job_indexes(job)).items() if value is not None}


def to_job(item: Item) -> Job:
    """Read a job."""
    return Job(
        id=item["job_id"],
        client_id=item["client_id"],
        asset_id=item["asset_id"],
        strength=float(item["strength"]),
        model=item["model"],
        requested_at=from_text(item["requested_at"]),
        updated_at=from_text(item["updated_at"]),
        status=JobStatus(item["status"]),
        attempt=int(item["attempt"]),
        progress=max(float(item["progress"]), _percent_in_parts(item)),
        admitted_at=_moment_or_none(item, "admitted_at"),
        started_at=_moment_or_none(item, "started_at"),
        started_percent=float(item.get("started_percent", 0)),
        heartbeat_at=_moment_or_none(item, "heartbeat_at"),
        lane=Lane(item["lane"]) if item.get("lane") else None,
        avoided_lanes=tuple(Lane(lane) for lane in item.get("avoided_lanes", ())),
        finished_at=_moment_or_none(item, "finished_at"),
        output_key=item.get("output_key"),
        output_version_id=item.get("output_version_id"),
        output_size_bytes=int(item["output_size_bytes"]) if "output_size_bytes" in item else None,
        error_code=item.get("error_code"),
        error_message=item.get("error_message"),
        options=OPTIONS.validate_python(json.loads(item["options"])) if item.get("options") else NO_OPTIONS,
        is_unique=bool(item.get("is_unique", True)),
        batch_id=item.get("batch_id"),
        reference=item.get("reference"),
        audio_s=float(item["audio_s"]) if "audio_s" in item else None,
        artifacts=MappingProxyType(dict(item.get("artifacts", {}))),
        request_sha256=item.get("request_sha256"),
        notified_at=_moment_or_none(item, "notified_at"),
        is_held=bool(item.get("is_held")),
        version=int(item["version"]),
    )


def _percent_in_parts(item: Item) -> float:
    """Return what the workers of a job's parts have told; who writes the whole row keeps it as ``progress`` alone."""
    return len(item.get("part_steps", ())) * float(item.get("step_percent", 0))


def from_tombstone(tombstone: Tombstone, *, expires_at: datetime) -> Item:
    """Write what is left of a deleted job; DynamoDB forgets it after ``expires_at``."""
    item = {
        **tombstone_key(tombstone.client_id, tombstone.job_id),
        "v": LAYOUT,
        "job_id": tombstone.job_id,
        "client_id": tombstone.client_id,
        "asset_id": tombstone.asset_id,
        "deleted_at": to_text(tombstone.deleted_at),
        "request_sha256": tombstone.request_sha256,
        "erase_again_at": _text_or_none(tombstone.erase_again_at),
        "ttl": int(expires_at.timestamp()),
    }
    if tombstone.erase_again_at is None:
        return item
    return item | _sweep_keys(SWEEP_BURIED, tombstone.job_id, since=tombstone.erase_again_at)


def to_tombstone(item: Item) -> Tombstone:
    """Read what is left of a deleted job."""
    return Tombstone(
        job_id=item["job_id"],
        client_id=item["client_id"],
        asset_id=item["asset_id"],
        deleted_at=from_text(item["deleted_at"]),
        request_sha256=item.get("request_sha256"),
        erase_again_at=_moment_or_none(item, "erase_again_at"),
    )


def from_batch(batch: Batch, *, expires_at: datetime) -> Item:
    """Write a batch; DynamoDB forgets it after ``expires_at``."""
    return {
        **batch_key(batch.client_id, batch.id),
        "v": LAYOUT,
        "batch_id": batch.id,
        "client_id": batch.client_id,
        "created_at": to_text(batch.created_at),
        "items": BATCH_ITEMS.dump_json(batch.items).decode(),
        "reference": batch.reference,
        "request_sha256": batch.request_sha256,
        "ttl": int(expires_at.timestamp()),
    }


def to_batch(item: Item) -> Batch:
    """Read a batch."""
    return Batch(
        id=item["batch_id"],
        client_id=item["client_id"],
        created_at=from_text(item["created_at"]),
        items=BATCH_ITEMS.validate_json(item["items"]),
        reference=item.get("reference"),
        request_sha256=item.get("request_sha256"),
    )


def to_usage_day(item: Item) -> UsageDay:
    """Read a day."""
    return UsageDay(
        day=date.fromisoformat(item["sk"].removeprefix("D#")),
        succeeded=int(item.get("succeeded", 0)),
        failed=int(item.get("failed", 0)),
        cancelled=int(item.get("cancelled", 0)),
        audio_s=int(item.get("audio_ms", 0)) / 1000,
    )


def from_attempt(attempt: Attempt, *, expires_at: datetime) -> Item:
    """Write an attempt; DynamoDB forgets it after ``expires_at``."""
    item = {
        **attempt_key(attempt.inference_id),
        "v": LAYOUT,
        "inference_id": attempt.inference_id,
        "client_id": attempt.client_id,
        "job_id": attempt.job_id,
        "attempt": attempt.attempt,
        "task_token": attempt.task_token,
        "output_location": attempt.output_location,
        "failure_location": attempt.failure_location,
        "ttl": int(expires_at.timestamp()),
    }
    return {key: value for key, value in item.items() if value is not None}


def to_attempt(item: Item) -> Attempt:
    """Read an attempt."""
    return Attempt(
        inference_id=item["inference_id"],
        client_id=item["client_id"],
        job_id=item["job_id"],
        attempt=int(item["attempt"]),
        task_token=item["task_token"],
        output_location=item.get("output_location"),
        failure_location=item.get("failure_location"),
    )


def _order(job: Job) -> str:
    return order_of(job.requested_at, job.id)


def _options(options: Options) -> str:
    """Write what was asked for; nothing where nothing was."""
    asked = {name: value for name, value in dataclasses.asdict(options).items() if value is not None}
    return json.dumps(asked) if asked else ""


def _job_indexes(job: Job) -> Item:
    order = _order(job)
    indexes = {
        f"{GSI_ASSET}pk": jobs_of_asset_pk(job.client_id, job.asset_id),
        f"{GSI_ASSET}sk": order,
        f"{GSI_CLIENT_STATUS}pk": jobs_in_status_pk(job.client_id, job.status),
        f"{GSI_CLIENT_STATUS}sk": order,
    }
    if job.status is JobStatus.WAITING_FOR_UPLOAD:
        group = SWEEP_HELD if job.is_held else SWEEP_EXPECTING
        indexes |= _sweep_keys(group, job.id, since=job.requested_at)
    if job.status in HOLDS_SLOT:
        indexes |= _sweep_keys(SWEEP_ACTIVE, job.id, since=job.requested_at)
    if job.is_terminal and job.notified_at is None:
        indexes |= _sweep_keys(SWEEP_ENDED, job.id, since=job.finished_at or job.updated_at)
    return indexes


def _sweep_keys(group: str, entity_id: str, *, since: datetime) -> Item:
    shard = zlib.crc32(entity_id.encode()) % SWEEP_SHARDS
    return {f"{GSI_SWEEP}pk": sweep_pk(group, shard), f"{GSI_SWEEP}sk": f"{to_text(since)}#{entity_id}"}


def _text_or_none(moment: datetime | None) -> str | None:
    return to_text(moment) if moment else None


def _moment_or_none(item: Item, name: str) -> datetime | None:
    return from_text(item[name]) if item.get(name) else None
