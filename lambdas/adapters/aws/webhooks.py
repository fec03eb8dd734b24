"""Webhooks in AWS: endpoints and deliveries in the table, the deliveries' queue, secrets sealed by KMS."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from boto3.dynamodb.conditions import Attr, Key

from lambdas.adapters.aws import webhook_items as items
from lambdas.adapters.aws.errors import domain_errors
from lambdas.adapters.aws.rows import conflicts, get_row, put_row, query_rows
from lambdas.core.webhook_ports import DeliveryRef
from lambdas.core.webhooks import Delivery, WebhookEndpoint

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table
    from types_boto3_kms.client import KMSClient
    from types_boto3_sqs.client import SQSClient


@dataclass(frozen=True)
class DynamoWebhookStore:
    """Endpoints."""

    table: "Table"

    def add(self, endpoint: WebhookEndpoint) -> None:
        """Store a new endpoint."""
        put_row(self.table, items.from_endpoint(endpoint), expected_version=None)

    def get(self, client_id: str, endpoint_id: str) -> WebhookEndpoint | None:
        """Return the client's endpoint of either kind, or None."""
        item = get_row(self.table, items.endpoint_key(client_id, endpoint_id))
        return items.to_endpoint(item) if item else self.of_job(client_id, endpoint_id)

    def of_job(self, client_id: str, job_id: str) -> WebhookEndpoint | None:
        """Return the endpoint that was given with the job, or None."""
        item = get_row(self.table, items.job_endpoint_key(client_id, job_id))
        return items.to_endpoint(item) if item else None

    def all(self, client_id: str) -> Sequence[WebhookEndpoint]:
        """Return the client's endpoints, those of single jobs excepted."""
        keys = Key("pk").eq(items.webhooks_pk(client_id)) & Key("sk").begins_with(items.ENDPOINT_PREFIX)
        found = query_rows(self.table, KeyConditionExpression=keys, ConsistentRead=True)
        return [items.to_endpoint(item) for item in found]

    def save(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        """Write a changed endpoint."""
        saved = replace(endpoint, version=endpoint.version + 1)
        put_row(self.table, items.from_endpoint(saved), expected_version=endpoint.version)
        return saved

    def remove(self, endpoint: WebhookEndpoint) -> None:
        """Forget an endpoint."""
        with domain_errors(), conflicts():
            self.table.delete_item(Key=items.key_of(endpoint), ConditionExpression=Attr("version").eq(endpoint.version))


@dataclass(frozen=True)
class DynamoDeliveryStore:
    """Deliveries."""

    table: "Table"

    def add(self, delivery: Delivery) -> None:
        """Store a new delivery."""
        put_row(self.table, items.from_delivery(delivery), expected_version=None)

    def get(self, ref: DeliveryRef) -> Delivery | None:
        """Return it, or None."""
        item = get_row(self.table, items.delivery_key(ref))
        return items.to_delivery(item) if item else None

    def save(self, delivery: Delivery) -> Delivery:
        """Write a changed delivery."""
        saved = replace(delivery, version=delivery.version + 1)
        put_row(self.table, items.from_delivery(saved), expected_version=delivery.version)
        return saved

    def newest(self, client_id: str, endpoint_id: str, *, limit: int, before: str | None = None) -> Sequence[Delivery]:
        """Return deliveries of an endpoint, the newest events first."""
        prefix = items.deliveries_prefix(endpoint_id)
        own = Key("sk").begins_with(prefix) if before is None else Key("sk").between(prefix, f"{prefix}{before}")
        keys = Key("pk").eq(items.webhooks_pk(client_id)) & own
        found = query_rows(
            self.table, KeyConditionExpression=keys, ScanIndexForward=False, ConsistentRead=True, Limit=limit + 1
        )
        deliveries = (delivery for delivery in map(items.to_delivery, found) if delivery.message_id != before)
        return list(islice(deliveries, limit))


@dataclass(frozen=True)
class SqsDeliveryQueue:
    """The deliveries to attempt; from one attempt to the next a delayed message waits in it.

    Messages carry the client as their group: where one client's receivers are slow, SQS serves the others first
    (fair queues; on a queue that is not FIFO the group orders nothing).
    """

    client: "SQSClient"
    queue_url: str
    dead_letters_url: str = ""
    """Only the sender buries."""

    def send(self, ref: DeliveryRef, *, delay_s: int = 0) -> None:
        """Have the delivery attempted."""
        self._send(self.queue_url, ref, delay_s)

    def bury(self, ref: DeliveryRef) -> None:
        """Put a delivery that was given up among the dead letters."""
        self._send(self.dead_letters_url, ref)

    def _send(self, queue_url: str, ref: DeliveryRef, delay_s: int = 0) -> None:
        with domain_errors():
            self.client.send_message(
                QueueUrl=queue_url,
                MessageBody=json.dumps(asdict(ref)),
                MessageGroupId=ref.client_id,
                DelaySeconds=delay_s,
            )


@dataclass(frozen=True)
class KmsSecretSealer:
    """Seals with a key of KMS; the endpoint is part of the seal, so that no secret can be moved to another row."""

    client: "KMSClient"
    key_id: str

    def seal(self, secret: str, *, client_id: str, endpoint_id: str) -> str:
        """Return ``secret`` sealed."""
        context = _context(client_id, endpoint_id)
        with domain_errors():
            answer = self.client.encrypt(KeyId=self.key_id, Plaintext=secret.encode(), EncryptionContext=context)
        return base64.b64encode(answer["CiphertextBlob"]).decode()

    def open(self, sealed: str, *, client_id: str, endpoint_id: str) -> str:
        """Return what was sealed."""
        blob, context = base64.b64decode(sealed), _context(client_id, endpoint_id)
        with domain_errors():
            answer = self.client.decrypt(KeyId=self.key_id, CiphertextBlob=blob, EncryptionContext=context)
        return answer["Plaintext"].decode()


def _context(client_id: str, endpoint_id: str) -> Mapping[str, str]:
    return {"client_id": client_id, "endpoint_id": endpoint_id}
