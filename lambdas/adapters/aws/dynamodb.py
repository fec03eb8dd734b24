"""The stores in one DynamoDB table. Every write is conditional on the version that was read."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

from gpu_container.contract import ProgressKey
from lambdas.adapters.aws import items
from lambdas.adapters.aws.errors import code_of, domain_errors
from lambdas.adapters.aws.items import Item
from lambdas.core.assets import Asset
from lambdas.core.clients import Client
from lambdas.core.clock import to_text
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.ports import Attempt, Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table

ATTEMPT_LIFETIME = timedelta(days=2)
"""Longer than any execution; afterwards a notice of it would change nothing anyway."""

CONFLICT = "ConditionalCheckFailed"
IN_FLIGHT = "TransactionConflict"
"""Another transaction was writing one of the rows at that moment: the client's slots, as a rule."""


class DynamoAssetStore:
    """Assets."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def add(self, asset: Asset) -> None:
        """Store a new asset."""
        _put(self._table, items.from_asset(asset), expected_version=None)

    def get(self, client_id: str, asset_id: str) -> Asset | None:
        """Return the client's asset, or None."""
        item = _get(self._table, items.asset_key(client_id, asset_id))
        return items.to_asset(item) if item else None

    def save(self, asset: Asset) -> Asset:
        """Write a changed asset."""
        saved = replace(asset, version=asset.version + 1)
        _put(self._table, items.from_asset(saved), expected_version=asset.version)
        return saved


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
        """Write everything but the leases, which change under a client all the time."""
        saved = replace(client, version=client.version + 1)
        item = items.from_client(saved)
        fields = ("name", "secrets", "disabled", "max_active", "version")
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

    def __init__(self, table: "Table") -> None:
        self._table = table

    def add(self, job: Job) -> None:
        """Store a new job, its place in the queue and its claim to (asset, model, strength)."""
        unique = {**items.unique_key(job), "job_id": job.id, "v": items.LAYOUT}
        absent = "attribute_not_exists(pk)"
        actions = [
            {"Put": {"Item": items.from_job(job), "ConditionExpression": absent}},
            {"Put": {"Item": unique, "ConditionExpression": absent}},
            self._enqueue(job),
        ]
        if CONFLICT in self._transact(actions):
            raise DomainError(DomainErrorCode.ENHANCEMENT_EXISTS)

    def get(self, client_id: str, job_id: str) -> Job | None:
        """Return the client's job, or None."""
        item = _get(self._table, items.job_key(client_id, job_id))
        return items.to_job(item) if item else None

    def save(self, job: Job) -> Job:
        """Write a changed job."""
        saved = replace(job, version=job.version + 1)
        _put(self._table, items.from_job(saved), expected_version=job.version)
        return saved

    def admit(self, job: Job) -> Job | None:
        """Write the job, leave the queue and take a slot, all or nothing."""
        saved = replace(job, version=job.version + 1)
        take_slot = {
            "Key": items.client_key(job.client_id),
            "UpdateExpression": "SET leases.#job = :since",
            "ConditionExpression": "size(leases) < max_active",
            "ExpressionAttributeNames": {"#job": job.id},
            "ExpressionAttributeValues": {":since": to_text(job.updated_at)},
        }
        write = _versioned_put(items.from_job(saved), job.version)
        reasons = self._transact([write, {"Update": take_slot}, {"Delete": {"Key": items.queue_key(job)}}])
        if not reasons:
            return saved
        if reasons[0] == CONFLICT:
            raise VersionConflictError
        return None

    def release(self, job: Job) -> Job:
        """Write the job and give its slot back; a requeued job is queued again, a failed one may be asked for anew."""
        saved = replace(job, version=job.version + 1)
        give_back = {
            "Key": items.client_key(job.client_id),
            "UpdateExpression": "REMOVE leases.#job",
            "ExpressionAttributeNames": {"#job": job.id},
        }
        actions = [_versioned_put(items.from_job(saved), job.version), {"Update": give_back}]
        if job.status is JobStatus.QUEUED:
            actions.append(self._enqueue(job))
        if job.status is JobStatus.FAILED:
            actions.append({"Delete": {"Key": items.unique_key(job)}})
        if self._transact(actions):
            raise VersionConflictError
        return saved

    def oldest_queued(self, client_id: str) -> Job | None:
        """Return the client's oldest queued job, or None."""
        keys = Key("pk").eq(items.client_pk(client_id)) & Key("sk").begins_with(items.QUEUE_PREFIX)
        with domain_errors():
            found = self._table.query(KeyConditionExpression=keys, ConsistentRead=True, Limit=1)["Items"]
        return self.get(client_id, str(found[0]["job_id"])) if found else None

    def active(self) -> Sequence[Job]:
        """Return every job that holds a slot."""
        return [items.to_job(item) for item in self._sweep(items.SWEEP_ACTIVE)]

    def progress_key(self, job: Job) -> ProgressKey | None:
        """Return the job's own row."""
        return ProgressKey(table=self._table.name, **items.job_key(job.client_id, job.id))

    def clients_waiting(self) -> Sequence[str]:
        """Return the ids of the clients that have a queued job."""
        return sorted({str(item["client_id"]) for item in self._sweep(items.SWEEP_QUEUED)})

    def _sweep(self, group: str) -> Iterator[Item]:
        for shard in range(items.SWEEP_SHARDS):
            keys = Key(f"{items.GSI_SWEEP}pk").eq(items.sweep_pk(group, shard))
            yield from _query(self._table, KeyConditionExpression=keys, IndexName=items.GSI_SWEEP)

    def _enqueue(self, job: Job) -> dict[str, Any]:
        return {"Put": {"Item": {**items.queue_key(job), "job_id": job.id, "v": items.LAYOUT}}}

    def _transact(self, actions: Sequence[dict[str, Any]], *, tries: int = 5) -> list[str]:
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


def _versioned_put(item: Item, expected_version: int) -> dict[str, Any]:
    return {
        "Put": {
            "Item": item,
            "ConditionExpression": "#version = :expected",
            "ExpressionAttributeNames": {"#version": "version"},
            "ExpressionAttributeValues": {":expected": expected_version},
        }
    }


def _query(table: "Table", **arguments: Any) -> Iterator[Item]:
    with domain_errors():
        page = table.query(**arguments)
        yield from page["Items"]
        while "LastEvaluatedKey" in page:
            page = table.query(**arguments, ExclusiveStartKey=page["LastEvaluatedKey"])
            yield from page["Items"]
