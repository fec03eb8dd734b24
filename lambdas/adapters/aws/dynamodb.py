"""The stores in one DynamoDB table. Every write is conditional on the version that was read."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from botocore.exceptions import ClientError

from gpu_container.contract import ProgressKey
from lambdas.adapters.aws import items, webhook_items
from lambdas.adapters.aws.errors import code_of, domain_errors
from lambdas.adapters.aws.items import Item
from lambdas.adapters.aws.rows import conflicts as _conflicts
from lambdas.adapters.aws.rows import get_row as _get
from lambdas.adapters.aws.rows import oldest_sweep_rows, sweep_rows
from lambdas.adapters.aws.rows import put_row as _put
from lambdas.adapters.aws.rows import query_rows as _query
from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.batches import Batch
from lambdas.core.clients import Client
from lambdas.core.clock import from_text, to_text
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.jobs import MAY_BE_ASKED_AGAIN, Job, JobStatus, Tombstone
from lambdas.core.ports import Attempt, Clock, SlotsTaken
from lambdas.core.rates import BUCKET_S, RateClass, bucket_of
from lambdas.core.retention import Retention
from lambdas.core.routing import Lane
from lambdas.core.usage import COUNTED, UsageDay, audio_ms_of, day_of
from lambdas.core.webhooks import WebhookEndpoint

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table

ATTEMPT_LIFETIME = timedelta(days=2)
"""Longer than any execution; afterwards a notice of it would change nothing anyway."""

Action = dict[str, Any]
"""One action of a transaction, without its table's name."""

CONFLICT = "ConditionalCheckFailed"
IN_FLIGHT = "TransactionConflict"
"""Another transaction was writing one of the rows at that moment: the client's slots, as a rule."""


class DynamoAssetStore:
    """Assets."""

    def __init__(self, table: "Table", retention: Retention) -> None:
        self._table = table
        self._retention = retention

    def add(self, asset: Asset) -> None:
        """Store a new asset."""
        _put(self._table, self._item(asset), expected_version=None)

    def get(self, client_id: str, asset_id: str) -> Asset | None:
        """Return the client's asset, or None."""
        item = _get(self._table, items.asset_key(client_id, asset_id))
        return items.to_asset(item) if item else None

    def save(self, asset: Asset) -> Asset:
        """Write a changed asset."""
        saved = replace(asset, version=asset.version + 1)
        _put(self._table, self._item(saved), expected_version=asset.version)
        return saved

    def erasing_due(self, moment: datetime) -> Sequence[Asset]:
        """Return the deleted assets whose next erasing was due before ``moment``."""
        return [items.to_asset(item) for item in sweep_rows(self._table, items.SWEEP_DELETED, before=moment)]

    def waiting(self, *, since: datetime, before: datetime) -> Sequence[Asset]:
        """Return the assets that wait for their bytes."""
        return [
            items.to_asset(item) for item in sweep_rows(self._table, items.SWEEP_WAITING, since=since, before=before)
        ]

    def retained_until(self, moment: datetime) -> Sequence[Asset]:
        """Return the assets that were to be kept until ``moment`` at the latest."""
        return [items.to_asset(item) for item in sweep_rows(self._table, items.SWEEP_RETAINED, before=moment)]

    def newest(self, client_id: str, *, limit: int, before: str | None = None) -> Sequence[Asset]:
        """Return the client's newest assets, newest first."""
        found = _newest(self._table, items.assets_pk(client_id), limit, before)
        return [items.to_asset(item) for item in islice(found, limit)]

    def remove(self, asset: Asset) -> None:
        """Forget an erased asset."""
        with domain_errors(), _conflicts():
            self._table.delete_item(
                Key=items.asset_key(asset.client_id, asset.id), ConditionExpression=Attr("version").eq(asset.version)
            )

    def _item(self, asset: Asset) -> Item:
        return items.from_asset(asset, expires_at=self._retention.row_expires_at(asset.updated_at))


class DynamoClientRegistry:
    """Clients."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def add(self, client: Client) -> None:
        """Store a new client."""
        _put(self._table, items.from_client(client), expected_version=None)

    def get(self, client_id: str) -> Client | None:
        """Return it, or None."""
        item = _get(self._table, items.client_key(client_id))
        return items.to_client(item) if item else None

    def save(self, client: Client) -> Client:
        """Write everything but the leases and the queue's length, which change under a client all the time."""
        saved = replace(client, version=client.version + 1)
        item = items.from_client(saved)
        fields = ("name", "secrets", "disabled", "max_active", "max_queued", "rate_limits", "takes_api_keys", "version")
        with domain_errors(), _conflicts():
            self._table.update_item(
                Key=items.client_key(client.id),
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in fields),
                ConditionExpression="#version = :expected",
                ExpressionAttributeNames={f"#{name}": name for name in fields},
                ExpressionAttributeValues={f":{name}": item[name] for name in fields} | {":expected": client.version},
            )
        return saved

    def all(self) -> Sequence[Client]:
        """Return every client, by creation."""
        keys = Key(f"{items.GSI_CLIENT_STATUS}pk").eq("CLIENTS")
        found = _query(self._table, KeyConditionExpression=keys, IndexName=items.GSI_CLIENT_STATUS)
        return [items.to_client(item) for item in found]


class DynamoJobRepository:
    """Jobs, with the queue, the slots and the uniqueness that change in the same transaction."""

    def __init__(self, table: "Table", retention: Retention) -> None:
        self._table = table
        self._retention = retention

    def add(self, job: Job, webhook: WebhookEndpoint | None = None) -> None:
        """Store a new job, its webhook, its place in the queue and its claim to (asset, model, strength)."""
        absent = "attribute_not_exists(pk)"
        own: list[Action] = [{"Put": {"Item": self._item(job), "ConditionExpression": absent}}]
        if job.request_sha256:  # nobody else can ask for a name that was used
            key = items.tombstone_key(job.client_id, job.id)
            own.append({"ConditionCheck": {"Key": key, "ConditionExpression": absent}})
        if job.is_unique:
            unique = {**items.unique_key(job), "job_id": job.id, "v": items.LAYOUT}
            own.append({"Put": {"Item": unique, "ConditionExpression": absent}})
        if webhook:  # without a condition: an earlier release left some behind whose job was refused
            own.append({"Put": {"Item": webhook_items.from_endpoint(webhook)}})
        queueing = self._queueing(job) if job.status is JobStatus.QUEUED else []
        reasons = self._transact([*own, *queueing])
        if CONFLICT in reasons[: len(own)] and CONFLICT not in reasons[len(own) : len(own) + 1]:
            raise DomainError(DomainErrorCode.ENHANCEMENT_EXISTS)
        _refuse_queueing(reasons[len(own) :])

    def enqueue(self, job: Job) -> Job:
        """Write a job whose upload has come and queue it."""
        saved = replace(job, version=job.version + 1)
        reasons = self._transact([_versioned_put(self._item(saved), job.version), *self._queueing(saved)])
        if CONFLICT in reasons[:1]:
            raise VersionConflictError
        _refuse_queueing(reasons[1:])
        return saved

    def get(self, client_id: str, job_id: str) -> Job | None:
        """Return the client's job, or None."""
        item = _get(self._table, items.job_key(client_id, job_id))
        return items.to_job(item) if item else None

    def save(self, job: Job) -> Job:
        """Write a changed job."""
        saved = replace(job, version=job.version + 1)
        _put(self._table, self._item(saved), expected_version=job.version)
        return saved

    def admit(self, job: Job, *, max_active_total: int) -> Job | SlotsTaken:
        """Write the job, leave the queue and take both slots, all or nothing."""
        saved = replace(job, version=job.version + 1)
        take_slot = {
            "Key": items.client_key(job.client_id),
            "UpdateExpression": "SET leases.#job = :since, last_admitted_at = :since ADD queued :less",
            "ConditionExpression": "size(leases) < max_active",
            "ExpressionAttributeNames": {"#job": job.id},
            "ExpressionAttributeValues": {":since": to_text(job.updated_at), ":less": -1},
        }
        take_slot_of_all = {
            "Key": items.SLOTS_KEY,
            "UpdateExpression": "ADD active :more",
            "ConditionExpression": "attribute_not_exists(active) OR active < :limit",
            "ExpressionAttributeValues": {":more": 1, ":limit": max_active_total},
        }
        reasons = self._transact(
            [
                _versioned_put(self._item(saved), job.version),
                {"Update": take_slot},
                {"Update": take_slot_of_all},
                {"Delete": {"Key": items.queue_key(job)}},
            ]
        )
        if not reasons:
            return saved
        if reasons[0] == CONFLICT:
            raise VersionConflictError
        return SlotsTaken.BY_CLIENT if reasons[1] == CONFLICT else SlotsTaken.BY_ALL

    def release(self, job: Job) -> Job:
        """Write the job and give its slots back; a requeued job is queued again."""
        actions = [self._free_slot_of_all()]
        if job.status is JobStatus.QUEUED:
            give_back = _update(job, "REMOVE leases.#job ADD queued :more", {":more": 1}, names={"#job": job.id})
            actions += [give_back, self._enqueue(job)]
        else:
            actions += [_update(job, "REMOVE leases.#job", names={"#job": job.id}), *self._settle(job)]
        return self._write(job, actions)

    def withdraw(self, job: Job, *, was: JobStatus) -> Job:
        """Write the job and take it off the queue if it was queued."""
        leaving: list[Action] = []
        if was is JobStatus.QUEUED:
            leaving = [{"Delete": {"Key": items.queue_key(job)}}, _update(job, "ADD queued :less", {":less": -1})]
        return self._write(job, [*leaving, *self._settle(job)])

    def many(self, client_id: str, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """Return the client's jobs of those ids, by id."""
        keys = [items.job_key(client_id, job_id) for job_id in dict.fromkeys(job_ids)]
        found = [items.to_job(item) for item in _get_many(self._table, keys)]
        return {job.id: job for job in found}

    def oldest_queued(self, client_id: str) -> Job | None:
        """Return the client's oldest queued job, or None."""
        keys = Key("pk").eq(items.client_pk(client_id)) & Key("sk").begins_with(items.QUEUE_PREFIX)
        with domain_errors():
            found = self._table.query(KeyConditionExpression=keys, ConsistentRead=True, Limit=1)["Items"]
        return self.get(client_id, str(found[0]["job_id"])) if found else None

    def queue_position(self, job: Job) -> int | None:
        """Return a queued job's place in its client's queue."""
        own = items.queue_key(job)
        keys = Key("pk").eq(own["pk"]) & Key("sk").between(items.QUEUE_PREFIX, own["sk"])
        ahead = [item["sk"] for item in _query(self._table, KeyConditionExpression=keys, ProjectionExpression="sk")]
        return len(ahead) if ahead and ahead[-1] == own["sk"] else None

    def queue(self, client_id: str) -> Sequence[str]:
        """Return the ids of the client's queued jobs, the next one first."""
        keys = Key("pk").eq(items.client_pk(client_id)) & Key("sk").begins_with(items.QUEUE_PREFIX)
        found = _query(self._table, KeyConditionExpression=keys, ProjectionExpression="job_id")
        return [str(item["job_id"]) for item in found]

    def active(self) -> Sequence[Job]:
        """Return every job that holds a slot."""
        return [items.to_job(item) for item in sweep_rows(self._table, items.SWEEP_ACTIVE)]

    def unnoticed(self, before: datetime) -> Sequence[Job]:
        """Return every job that ended before ``before`` and whose end nobody was told."""
        return [items.to_job(item) for item in sweep_rows(self._table, items.SWEEP_ENDED, before=before)]

    def expecting(self, *, before: datetime, since: datetime | None = None) -> Sequence[Job]:
        """Return the jobs that wait for their upload and were asked for in between."""
        found = sweep_rows(self._table, items.SWEEP_EXPECTING, since=since, before=before)
        return [items.to_job(item) for item in found]

    def held(self) -> Iterator[Job]:
        """Yield the jobs that wait for room in a queue, oldest first."""
        return map(items.to_job, oldest_sweep_rows(self._table, items.SWEEP_HELD))

    def of_asset(self, client_id: str, asset_id: str) -> Sequence[Job]:
        """Return every job of an asset, oldest first."""
        keys = Key(f"{items.GSI_ASSET}pk").eq(items.jobs_of_asset_pk(client_id, asset_id))
        found = _query(self._table, KeyConditionExpression=keys, IndexName=items.GSI_ASSET)
        return [items.to_job(item) for item in found]

    def newest(self, client_id: str, status: JobStatus, *, limit: int, before: str | None = None) -> Sequence[Job]:
        """Return the client's newest jobs in a status, newest first."""
        found = _newest(self._table, items.jobs_in_status_pk(client_id, status), limit, before)
        matching = (job for job in map(items.to_job, found) if job.status is status)
        return list(islice(matching, limit))

    def remove(self, job: Job) -> None:
        """Forget a terminal job."""
        if self._transact(self._removal(job)):
            raise VersionConflictError

    def bury(self, job: Job, tombstone: Tombstone) -> None:
        """Forget a terminal job and leave its tombstone."""
        item = items.from_tombstone(tombstone, expires_at=self._retention.row_expires_at(tombstone.deleted_at))
        if self._transact([*self._removal(job), {"Put": {"Item": item}}]):
            raise VersionConflictError

    def drop_lease(self, client_id: str, job_id: str) -> None:
        """Give back the slots of a job that does not hold them any more."""
        drop = {
            "Key": items.client_key(client_id),
            "UpdateExpression": "REMOVE leases.#job",
            "ConditionExpression": "attribute_exists(leases.#job)",
            "ExpressionAttributeNames": {"#job": job_id},
        }
        self._transact([{"Update": drop}, self._free_slot_of_all()])

    def progress_key(self, job: Job) -> ProgressKey | None:
        """Return the job's own row."""
        return ProgressKey(table=self._table.name, **items.job_key(job.client_id, job.id))

    def _removal(self, job: Job) -> list[Action]:
        own = _versioned("Delete", {"Key": items.job_key(job.client_id, job.id)}, job.version)
        if not job.is_unique or job.status in MAY_BE_ASKED_AGAIN:
            return [own]  # the uniqueness is another job's by now, or nobody's
        return [own, {"Delete": {"Key": items.unique_key(job)}}]

    def _item(self, job: Job) -> Item:
        return items.from_job(job, expires_at=self._expires_at(job) if job.is_terminal else None)

    def _expires_at(self, job: Job) -> datetime:
        return self._retention.row_expires_at(job.updated_at)

    def _write(self, job: Job, actions: Sequence[Action]) -> Job:
        saved = replace(job, version=job.version + 1)
        if self._transact([_versioned_put(self._item(saved), job.version), *actions]):
            raise VersionConflictError
        return saved

    def _keep_asset(self, job: Job) -> Action:
        """Keep the asset's row as long as this job's result; a deleted asset takes no more jobs."""
        return {
            "Update": {
                "Key": items.asset_key(job.client_id, job.asset_id),
                "UpdateExpression": "SET #ttl = :later",
                "ConditionExpression": "#status = :ready",
                "ExpressionAttributeNames": {"#ttl": "ttl", "#status": "status"},
                "ExpressionAttributeValues": {
                    ":later": int(self._expires_at(job).timestamp()),
                    ":ready": AssetStatus.READY.value,
                },
            }
        }

    def _count_in(self, job: Job) -> Action:
        room = "attribute_not_exists(queued) OR attribute_not_exists(max_queued) OR queued < max_queued"
        return _update(job, "ADD queued :more", {":more": 1}, condition=f"attribute_exists(pk) AND ({room})")

    def _queueing(self, job: Job) -> list[Action]:
        """Return what queues a job: refused by its asset, by the length of its client's queue."""
        return [self._keep_asset(job), self._count_in(job), self._enqueue(job)]

    def _settle(self, job: Job) -> list[Action]:
        """Return what a job's end changes beside it: its claim to (asset, model, strength) and its day's usage."""
        return [*([self._settle_uniqueness(job)] if job.is_unique else []), self._count_usage(job)]

    def _count_usage(self, job: Job) -> Action:
        return {
            "Update": {
                "Key": items.usage_key(job.client_id, day_of(job)),
                "UpdateExpression": "SET v = :layout ADD #counter :one, audio_ms :length",
                "ExpressionAttributeNames": {"#counter": COUNTED[job.status]},
                "ExpressionAttributeValues": {":layout": items.LAYOUT, ":one": 1, ":length": audio_ms_of(job)},
            }
        }

    def _settle_uniqueness(self, job: Job) -> Action:
        """Give it back where the job left nothing to download; else let it go with the job's own row."""
        if job.status in MAY_BE_ASKED_AGAIN:
            return {"Delete": {"Key": items.unique_key(job)}}
        return {
            "Update": {
                "Key": items.unique_key(job),
                "UpdateExpression": "SET #ttl = :later",
                "ExpressionAttributeNames": {"#ttl": "ttl"},
                "ExpressionAttributeValues": {":later": int(self._expires_at(job).timestamp())},
            }
        }

    def _free_slot_of_all(self) -> Action:
        return {
            "Update": {
                "Key": items.SLOTS_KEY,
                "UpdateExpression": "ADD active :less",
                "ExpressionAttributeValues": {":less": -1},
            }
        }

    def _enqueue(self, job: Job) -> Action:
        return {"Put": {"Item": {**items.queue_key(job), "job_id": job.id, "v": items.LAYOUT}}}

    def _transact(self, actions: Sequence[Action], *, tries: int = 8) -> list[str]:
        """Write all or nothing; returns the reason of each action's refusal, empty where all was written."""
        named = [{kind: {"TableName": self._table.name, **action} for kind, action in one.items()} for one in actions]
        with domain_errors():
            try:
                self._table.meta.client.transact_write_items(TransactItems=named)  # type: ignore[arg-type]
            except ClientError as error:
                reasons = [str(reason.get("Code", "None")) for reason in error.response.get("CancellationReasons", [])]
                if IN_FLIGHT in reasons and tries > 1:
                    time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - jitter
                    return self._transact(actions, tries=tries - 1)
                if code_of(error) != "TransactionCanceledException" or CONFLICT not in reasons:
                    raise
                return reasons
        return []


class DynamoBatchStore:
    """Batches; DynamoDB forgets them with their jobs."""

    def __init__(self, table: "Table", retention: Retention) -> None:
        self._table = table
        self._retention = retention

    def add(self, batch: Batch) -> None:
        """Store a new batch."""
        item = items.from_batch(batch, expires_at=self._retention.row_expires_at(batch.created_at))
        _put(self._table, item, expected_version=None)

    def get(self, client_id: str, batch_id: str) -> Batch | None:
        """Return the client's batch, or None."""
        item = _get(self._table, items.batch_key(client_id, batch_id))
        return items.to_batch(item) if item else None


class DynamoUsageStore:
    """What `DynamoJobRepository` counts."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def days(self, client_id: str, first: date, last: date) -> Sequence[UsageDay]:
        """Return the days on which jobs ended."""
        bounds = [items.usage_key(client_id, day)["sk"] for day in (first, last)]
        keys = Key("pk").eq(items.client_pk(client_id)) & Key("sk").between(*bounds)
        return [items.to_usage_day(item) for item in _query(self._table, KeyConditionExpression=keys)]


class DynamoRateCounter:
    """Calls by bucket, counted by DynamoDB itself: no two calls see the same number."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def count(self, client_id: str, rate_class: RateClass, now: datetime) -> Mapping[int, int]:
        """Count one call."""
        newest = bucket_of(now)
        counts = self._add(client_id, rate_class, newest, 1)
        # Another row only after the own one has been written: who writes there meanwhile reads this one afterwards.
        for era in items.rate_eras_beside(newest):
            counts |= _buckets(_get(self._table, items.rate_key(client_id, rate_class, era)) or {})
        return counts

    def discount(self, client_id: str, rate_class: RateClass, now: datetime) -> None:
        """Take back a call."""
        self._add(client_id, rate_class, bucket_of(now), -1)

    def _add(self, client_id: str, rate_class: RateClass, bucket: int, change: int) -> dict[int, int]:
        era = bucket // items.RATE_ERA_BUCKETS
        gone_at_s = (era + 2) * items.RATE_ERA_BUCKETS * BUCKET_S
        with domain_errors():
            answer = self._table.update_item(
                Key=items.rate_key(client_id, rate_class, era),
                UpdateExpression="SET #ttl = :gone ADD #bucket :change",
                ExpressionAttributeNames={"#ttl": "ttl", "#bucket": f"b{bucket}"},
                ExpressionAttributeValues={":gone": gone_at_s, ":change": change},
                ReturnValues="ALL_NEW",
            )
        return _buckets(answer["Attributes"])


def _buckets(item: Item) -> dict[int, int]:
    return {int(name[1:]): int(count) for name, count in item.items() if name[:1] == "b"}


class DynamoAttemptStore:
    """Dispatched attempts; DynamoDB forgets them by itself."""

    def __init__(self, table: "Table", clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def put(self, attempt: Attempt) -> None:
        """Store or replace."""
        item = items.from_attempt(attempt, expires_at=self._clock.now() + ATTEMPT_LIFETIME)
        with domain_errors():
            self._table.put_item(Item=item)

    def get(self, inference_id: str) -> Attempt | None:
        """Return it, or None."""
        item = _get(self._table, items.attempt_key(inference_id))
        return items.to_attempt(item) if item else None


class DynamoLaneLog:
    """The last sign of life of every lane, in one row."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def beat(self, lane: Lane, moment: datetime) -> None:
        """Note; an earlier moment changes nothing."""
        with domain_errors(), suppress(VersionConflictError), _conflicts():
            self._table.update_item(
                Key=items.LANES_KEY,
                UpdateExpression="SET #lane = :moment",
                ConditionExpression="attribute_not_exists(#lane) OR #lane < :moment",
                ExpressionAttributeNames={"#lane": lane.value},
                ExpressionAttributeValues={":moment": to_text(moment)},
            )

    def last_beats(self) -> Mapping[Lane, datetime]:
        """Return the last moment of each lane."""
        item = _get(self._table, items.LANES_KEY) or {}
        return {lane: from_text(item[lane.value]) for lane in Lane if lane.value in item}


def _get_many(table: "Table", keys: Sequence[dict[str, str]]) -> Iterator[Item]:
    """Read up to a hundred rows; what DynamoDB leaves out is asked for again."""
    client = table.meta.client
    asked: Any = {table.name: {"Keys": list(keys), "ConsistentRead": True}} if keys else {}
    while asked:
        with domain_errors():
            answer = client.batch_get_item(RequestItems=asked)
        yield from answer["Responses"].get(table.name, [])
        asked = answer.get("UnprocessedKeys", {})


def _newest(table: "Table", partition: str, page_size: int, before: str | None) -> Iterator[Item]:
    """Read an index backwards, in pages: else the first one reads a megabyte, however few are wanted."""
    keys: ConditionBase = Key(f"{items.GSI_CLIENT_STATUS}pk").eq(partition)
    if before is not None:
        keys &= Key(f"{items.GSI_CLIENT_STATUS}sk").lt(before)
    return _query(
        table,
        KeyConditionExpression=keys,
        IndexName=items.GSI_CLIENT_STATUS,
        ScanIndexForward=False,
        Limit=page_size,
    )


def _refuse_queueing(reasons: Sequence[str]) -> None:
    """Raise what kept a job out of the queue; the reasons are those of `DynamoJobRepository._queueing`."""
    if CONFLICT in reasons[:1]:
        raise DomainError(DomainErrorCode.NOT_FOUND)
    if CONFLICT in reasons:
        raise DomainError(DomainErrorCode.QUEUE_FULL, retryable=True)


def _versioned_put(item: Item, expected_version: int) -> Action:
    return _versioned("Put", {"Item": item}, expected_version)


def _versioned(kind: str, action: dict[str, Any], expected_version: int) -> Action:
    return {
        kind: {
            **action,
            "ConditionExpression": "#version = :expected",
            "ExpressionAttributeNames": {"#version": "version"},
            "ExpressionAttributeValues": {":expected": expected_version},
        }
    }


def _update(
    job: Job,
    expression: str,
    values: dict[str, Any] | None = None,
    *,
    names: dict[str, str] | None = None,
    condition: str | None = None,
) -> Action:
    """Change the row of the job's client."""
    optional = {
        "ExpressionAttributeValues": values,
        "ExpressionAttributeNames": names,
        "ConditionExpression": condition,
    }
    given = {name: value for name, value in optional.items() if value}
    return {"Update": {"Key": items.client_key(job.client_id), "UpdateExpression": expression, **given}}
