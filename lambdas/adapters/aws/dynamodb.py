"""The stores in one DynamoDB table but that of jobs. Every write is conditional on the version that was read."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from boto3.dynamodb.conditions import Attr, Key

from lambdas.adapters.aws import items
from lambdas.adapters.aws.errors import domain_errors
from lambdas.adapters.aws.items import Item
from lambdas.adapters.aws.rows import conflicts, get_row, newest_rows, put_row, query_rows, sweep_rows
from lambdas.core.assets import Asset
from lambdas.core.batches import Batch
from lambdas.core.clients import Client
from lambdas.core.clock import from_text, to_text
from lambdas.core.errors import VersionConflictError
from lambdas.core.ports import Attempt, Clock
from lambdas.core.rates import BUCKET_S, RateClass, bucket_of
from lambdas.core.retention import Retention
from lambdas.core.routing import Lane
from lambdas.core.usage import UsageDay

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table

ATTEMPT_LIFETIME = timedelta(days=2)
"""Longer than any execution; afterwards a notice of it would change nothing anyway."""


class DynamoAssetStore:
    """Assets."""

    def __init__(self, table: "Table", retention: Retention) -> None:
        self._table = table
        self._retention = retention

    def add(self, asset: Asset) -> None:
        """Store a new asset."""
        put_row(self._table, self._item(asset), expected_version=None)

    def get(self, client_id: str, asset_id: str) -> Asset | None:
        """Return the client's asset, or None."""
        item = get_row(self._table, items.asset_key(client_id, asset_id))
        return items.to_asset(item) if item else None

    def save(self, asset: Asset) -> Asset:
        """Write a changed asset."""
        saved = replace(asset, version=asset.version + 1)
        put_row(self._table, self._item(saved), expected_version=asset.version)
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
        found = newest_rows(self._table, items.assets_pk(client_id), limit, before)
        return [items.to_asset(item) for item in islice(found, limit)]

    def remove(self, asset: Asset) -> None:
        """Forget an erased asset."""
        with domain_errors(), conflicts():
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
        put_row(self._table, items.from_client(client), expected_version=None)

    def get(self, client_id: str) -> Client | None:
        """Return it, or None."""
        item = get_row(self._table, items.client_key(client_id))
        return items.to_client(item) if item else None

    def save(self, client: Client) -> Client:
        """Write everything but the leases and the queue's length, which change under a client all the time."""
        saved = replace(client, version=client.version + 1)
        item = items.from_client(saved)
        fields = ("name", "secrets", "disabled", "max_active", "max_queued", "rate_limits", "takes_api_keys", "version")
        with domain_errors(), conflicts():
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
        found = query_rows(self._table, KeyConditionExpression=keys, IndexName=items.GSI_CLIENT_STATUS)
        return [items.to_client(item) for item in found]


class DynamoBatchStore:
    """Batches; DynamoDB forgets them with their jobs."""

    def __init__(self, table: "Table", retention: Retention) -> None:
        self._table = table
        self._retention = retention

    def add(self, batch: Batch) -> None:
        """Store a new batch."""
        item = items.from_batch(batch, expires_at=self._retention.row_expires_at(batch.created_at))
        put_row(self._table, item, expected_version=None)

    def get(self, client_id: str, batch_id: str) -> Batch | None:
        """Return the client's batch, or None."""
        item = get_row(self._table, items.batch_key(client_id, batch_id))
        return items.to_batch(item) if item else None


class DynamoUsageStore:
    """What `DynamoJobRepository` counts."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def days(self, client_id: str, first: date, last: date) -> Sequence[UsageDay]:
        """Return the days on which jobs ended."""
        bounds = [items.usage_key(client_id, day)["sk"] for day in (first, last)]
        keys = Key("pk").eq(items.client_pk(client_id)) & Key("sk").between(*bounds)
        return [items.to_usage_day(item) for item in query_rows(self._table, KeyConditionExpression=keys)]


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
            counts |= _buckets(get_row(self._table, items.rate_key(client_id, rate_class, era)) or {})
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
        item = get_row(self._table, items.attempt_key(inference_id))
        return items.to_attempt(item) if item else None


class DynamoLaneLog:
    """The last sign of life of every lane, in one row."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def beat(self, lane: Lane, moment: datetime) -> None:
        """Note; an earlier moment changes nothing."""
        with domain_errors(), suppress(VersionConflictError), conflicts():
            self._table.update_item(
                Key=items.LANES_KEY,
                UpdateExpression="SET #lane = :moment",
                ConditionExpression="attribute_not_exists(#lane) OR #lane < :moment",
                ExpressionAttributeNames={"#lane": lane.value},
                ExpressionAttributeValues={":moment": to_text(moment)},
            )

    def last_beats(self) -> Mapping[Lane, datetime]:
        """Return the last moment of each lane."""
        item = get_row(self._table, items.LANES_KEY) or {}
        return {lane: from_text(item[lane.value]) for lane in Lane if lane.value in item}
