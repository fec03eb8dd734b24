"""Reading and writing single rows of the table: what all stores do alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr
from botocore.exceptions import ClientError

from lambdas.adapters.aws.errors import code_of, domain_errors
from lambdas.adapters.aws.items import Item
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
