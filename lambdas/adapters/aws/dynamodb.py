"""The stores in one DynamoDB table. Every write is conditional on the version that was read."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from botocore.exceptions import ClientError

from gpu_container.contract import ProgressKey
from lambdas.adapters.aws import items
from lambdas.adapters.aws.errors import code_of, domain_errors
from lambdas.adapters.aws.items import Item
from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.clients import Client
from lambdas.core.clock import to_text
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.jobs import MAY_BE_ASKED_AGAIN, Job, JobStatus
from lambdas.core.ports import Attempt, Clock, SlotsTaken
from lambdas.core.retention import Retention

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

    def waiting(self, *, since: datetime, before: datetime) -> Sequence[Asset]:
        """Return the assets that wait for their bytes."""
        return [items.to_asset(item) for item in _sweep(self._table, items.SWEEP_WAITING, since=since, before=before)]

    def deleted_before(self, moment: datetime) -> Sequence[Asset]:
        """Return the deleted assets that are not erased yet."""
        return [items.to_asset(item) for item in _sweep(self._table, items.SWEEP_DELETED, before=moment)]

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
        fields = ("name", "secrets", "disabled", "max_active", "max_queued", "version")
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

    def add(self, job: Job) -> None:
        """Store a new job, its place in the queue and its claim to (asset, model, strength)."""
        unique = {**items.unique_key(job), "job_id": job.id, "v": items.LAYOUT}
        absent = "attribute_not_exists(pk)"
        reasons = self._transact(
            [
                {"Put": {"Item": self._item(job), "ConditionExpression": absent}},
                {"Put": {"Item": unique, "ConditionExpression": absent}},
                self._keep_asset(job),
                self._count_in(job),
                self._enqueue(job),
            ]
        )
        if CONFLICT in reasons[2:3]:
            raise DomainError(DomainErrorCode.NOT_FOUND)
        if CONFLICT in reasons[:2]:
            raise DomainError(DomainErrorCode.ENHANCEMENT_EXISTS)
        if reasons:
            raise DomainError(DomainErrorCode.QUEUE_FULL, retryable=True)

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
            actions += [_update(job, "REMOVE leases.#job", names={"#job": job.id}), self._settle_uniqueness(job)]
        return self._write(job, actions)

    def withdraw(self, job: Job) -> Job:
        """Write the job and take it off the queue."""
        leave = {"Delete": {"Key": items.queue_key(job)}}
        return self._write(job, [leave, _update(job, "ADD queued :less", {":less": -1}), self._settle_uniqueness(job)])

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

    def active(self) -> Sequence[Job]:
        """Return every job that holds a slot."""
        return [items.to_job(item) for item in _sweep(self._table, items.SWEEP_ACTIVE)]

    def unnoticed(self, before: datetime) -> Sequence[Job]:
        """Return every job that ended before ``before`` and whose end nobody was told."""
        return [items.to_job(item) for item in _sweep(self._table, items.SWEEP_ENDED, before=before)]

    def of_asset(self, client_id: str, asset_id: str) -> Sequence[Job]:
        """Return every job of an asset, oldest first."""
        keys = Key(f"{items.GSI_ASSET}pk").eq(items.jobs_of_asset_pk(client_id, asset_id))
        found = _query(self._table, KeyConditionExpression=keys, IndexName=items.GSI_ASSET)
        return [items.to_job(item) for item in found]

    def newest(self, client_id: str, status: JobStatus, *, limit: int) -> Sequence[Job]:
        """Return the client's newest jobs in a status, newest first."""
        keys = Key(f"{items.GSI_CLIENT_STATUS}pk").eq(items.jobs_in_status_pk(client_id, status))
        found = _query(
            self._table, KeyConditionExpression=keys, IndexName=items.GSI_CLIENT_STATUS, ScanIndexForward=False
        )
        matching = (job for job in map(items.to_job, found) if job.status is status)
        return list(islice(matching, limit))

    def remove(self, job: Job) -> None:
        """Forget a terminal job."""
        actions = [_versioned("Delete", {"Key": items.job_key(job.client_id, job.id)}, job.version)]
        if job.status not in MAY_BE_ASKED_AGAIN:  # else the uniqueness is another job's by now, or nobody's
            actions.append({"Delete": {"Key": items.unique_key(job)}})
        if self._transact(actions):
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


@contextmanager
def _conflicts() -> Iterator[None]:
    """Turn a failed condition into the core's conflict."""
    try:
        yield
    except ClientError as error:
        if code_of(error) != "ConditionalCheckFailedException":
            raise
        raise VersionConflictError from error


def _get(table: "Table", key: dict[str, str]) -> Item | None:
    with domain_errors():
        return table.get_item(Key=key, ConsistentRead=True).get("Item")


def _put(table: "Table", item: Item, *, expected_version: int | None) -> None:
    condition = Attr("pk").not_exists() if expected_version is None else Attr("version").eq(expected_version)
    with domain_errors(), _conflicts():
        table.put_item(Item=item, ConditionExpression=condition)


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


def _sweep(
    table: "Table", group: str, *, since: datetime | None = None, before: datetime | None = None
) -> Iterator[Item]:
    for shard in range(items.SWEEP_SHARDS):
        keys: ConditionBase = Key(f"{items.GSI_SWEEP}pk").eq(items.sweep_pk(group, shard))
        order = Key(f"{items.GSI_SWEEP}sk")
        if since is not None and before is not None:
            keys &= order.between(to_text(since), to_text(before))  # texts go on behind the time: the end is left out
        elif before is not None:
            keys &= order.lt(to_text(before))
        yield from _query(table, KeyConditionExpression=keys, IndexName=items.GSI_SWEEP)


def _query(table: "Table", **arguments: Any) -> Iterator[Item]:
    with domain_errors():
        page = table.query(**arguments)
        yield from page["Items"]
        while "LastEvaluatedKey" in page:
            page = table.query(**arguments, ExclusiveStartKey=page["LastEvaluatedKey"])
            yield from page["Items"]
