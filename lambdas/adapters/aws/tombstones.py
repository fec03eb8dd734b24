"""What is left of deleted jobs, in the table."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from boto3.dynamodb.conditions import Attr

from lambdas.adapters.aws import items
from lambdas.adapters.aws.errors import domain_errors
from lambdas.adapters.aws.rows import conflicts, get_row, sweep_rows
from lambdas.core.errors import VersionConflictError
from lambdas.core.jobs import Tombstone
from lambdas.core.retention import Retention

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table


@dataclass(frozen=True)
class DynamoTombstoneStore:
    """Tombstones; `DynamoJobRepository` makes them in the transaction that forgets the job."""

    table: "Table"
    retention: Retention

    def get(self, client_id: str, job_id: str) -> Tombstone | None:
        """Return the tombstone, or None."""
        item = get_row(self.table, items.tombstone_key(client_id, job_id))
        return items.to_tombstone(item) if item else None

    def due(self, moment: datetime) -> Sequence[Tombstone]:
        """Return the tombstones whose next erasing was due before ``moment``."""
        return [items.to_tombstone(item) for item in sweep_rows(self.table, items.SWEEP_BURIED, before=moment)]

    def save(self, tombstone: Tombstone) -> None:
        """Write a changed tombstone that is still there."""
        item = items.from_tombstone(tombstone, expires_at=self.retention.row_expires_at(tombstone.deleted_at))
        with domain_errors(), suppress(VersionConflictError), conflicts():
            self.table.put_item(Item=item, ConditionExpression=Attr("pk").exists())

    def remove(self, tombstone: Tombstone) -> None:
        """Forget it."""
        with domain_errors():
            self.table.delete_item(Key=items.tombstone_key(tombstone.client_id, tombstone.job_id))
