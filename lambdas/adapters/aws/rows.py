"""Reading and writing single rows of the table: what all stores do alike."""

import heapq
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from botocore.exceptions import ClientError

from lambdas.adapters.aws import items
from lambdas.adapters.aws.errors import code_of, domain_errors
from lambdas.adapters.aws.items import Item
from lambdas.core.clock import to_text
from lambdas.core.errors import VersionConflictError

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table


@contextmanager
def conflicts() -> Iterator[None]:
    """Turn a failed condition into the core's conflict."""
    try:
        yield
    except ClientError as error:
        if code_of(error) != "ConditionalCheckFailedException":
            raise
        raise VersionConflictError from error


def get_row(table: "Table", key: dict[str, str]) -> Item | None:
    """Return the row as it is now, or None."""
    with domain_errors():
        return table.get_item(Key=key, ConsistentRead=True).get("Item")


def put_row(table: "Table", item: Item, *, expected_version: int | None) -> None:
    """Write a row if it has the expected version, or if there is none and none is expected."""
    condition = Attr("pk").not_exists() if expected_version is None else Attr("version").eq(expected_version)
    with domain_errors(), conflicts():
        table.put_item(Item=item, ConditionExpression=condition)


def query_rows(table: "Table", **arguments: Any) -> Iterator[Item]:
    """Yield what a query finds, page by page."""
    with domain_errors():
        page = table.query(**arguments)
        yield from page["Items"]
        while "LastEvaluatedKey" in page:
            page = table.query(**arguments, ExclusiveStartKey=page["LastEvaluatedKey"])
            yield from page["Items"]


def sweep_rows(
    table: "Table", group: str, *, since: datetime | None = None, before: datetime | None = None
) -> Iterator[Item]:
    """Yield what the sweeper is to see of a group, of all clients: since a moment, before another, or all of it."""
    order = Key(f"{items.GSI_SWEEP}sk")
    for shard in _sweep_shards(group):
        keys = shard
        if since is not None and before is not None:
            keys &= order.between(to_text(since), to_text(before))  # texts go on behind the time: the end is left out
        elif before is not None:
            keys &= order.lt(to_text(before))
        yield from query_rows(table, KeyConditionExpression=keys, IndexName=items.GSI_SWEEP)


def oldest_sweep_rows(table: "Table", group: str) -> Iterator[Item]:
    """Yield all of a group, of all clients, the oldest first; pages are read as they are wanted."""
    shards = (
        query_rows(table, KeyConditionExpression=keys, IndexName=items.GSI_SWEEP) for keys in _sweep_shards(group)
    )
    return heapq.merge(*shards, key=itemgetter(f"{items.GSI_SWEEP}sk"))


def _sweep_shards(group: str) -> list[ConditionBase]:
    partitions = [items.sweep_pk(group, shard) for shard in range(items.SWEEP_SHARDS)]
    return [Key(f"{items.GSI_SWEEP}pk").eq(partition) for partition in partitions]


def newest_rows(table: "Table", partition: str, page_size: int, before: str | None) -> Iterator[Item]:
    """Read an index backwards, in pages: else the first one reads a megabyte, however few are wanted."""
    keys: ConditionBase = Key(f"{items.GSI_CLIENT_STATUS}pk").eq(partition)
    if before is not None:
        keys &= Key(f"{items.GSI_CLIENT_STATUS}sk").lt(before)
    return query_rows(
        table,
        KeyConditionExpression=keys,
        IndexName=items.GSI_CLIENT_STATUS,
        ScanIndexForward=False,
        Limit=page_size,
    )


def get_rows(table: "Table", keys: Sequence[dict[str, str]]) -> Iterator[Item]:
    """Read up to a hundred rows; what DynamoDB leaves out is asked for again."""
    client = table.meta.client
    asked: Any = {table.name: {"Keys": list(keys), "ConsistentRead": True}} if keys else {}
    while asked:
        with domain_errors():
            answer = client.batch_get_item(RequestItems=asked)
        yield from answer["Responses"].get(table.name, [])
        asked = answer.get("UnprocessedKeys", {})
