"""Jobs in the table, with what changes along: slots, queues, claims and usage, in one transaction."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError

from gpu_container.contract import ProgressKey
from lambdas.adapters.aws import items, webhook_items
from lambdas.adapters.aws.errors import code_of, domain_errors
from lambdas.adapters.aws.items import Item
from lambdas.adapters.aws.rows import (
    get_row,
    get_rows,
    newest_rows,
    oldest_sweep_rows,
    put_row,
    query_rows,
    sweep_rows,
)
from lambdas.core.assets import AssetStatus
from lambdas.core.clock import to_text
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.jobs import MAY_BE_ASKED_AGAIN, Job, JobStatus, Tombstone
from lambdas.core.ports import SlotsTaken
from lambdas.core.retention import Retention
from lambdas.core.usage import COUNTED, audio_ms_of, day_of
from lambdas.core.webhooks import WebhookEndpoint

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table

Action = dict[str, Any]
"""One action of a transaction, without its table's name."""

CONFLICT = "ConditionalCheckFailed"
IN_FLIGHT = "TransactionConflict"
"""Another transaction was writing one of the rows at that moment: the client's slots, as a rule."""


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
        item = get_row(self._table, items.job_key(client_id, job_id))
        return items.to_job(item) if item else None

    def save(self, job: Job) -> Job:
        """Write a changed job."""
        saved = replace(job, version=job.version + 1)
        put_row(self._table, self._item(saved), expected_version=job.version)
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
        found = [items.to_job(item) for item in get_rows(self._table, keys)]
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
        ahead = [item["sk"] for item in query_rows(self._table, KeyConditionExpression=keys, ProjectionExpression="sk")]
        return len(ahead) if ahead and ahead[-1] == own["sk"] else None

    def queue(self, client_id: str) -> Sequence[str]:
        """Return the ids of the client's queued jobs, the next one first."""
        keys = Key("pk").eq(items.client_pk(client_id)) & Key("sk").begins_with(items.QUEUE_PREFIX)
        found = query_rows(self._table, KeyConditionExpression=keys, ProjectionExpression="job_id")
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
        found = query_rows(self._table, KeyConditionExpression=keys, IndexName=items.GSI_ASSET)
        return [items.to_job(item) for item in found]

    def newest(self, client_id: str, status: JobStatus, *, limit: int, before: str | None = None) -> Sequence[Job]:
        """Return the client's newest jobs in a status, newest first."""
        found = newest_rows(self._table, items.jobs_in_status_pk(client_id, status), limit, before)
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
