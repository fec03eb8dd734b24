"""Webhooks and their deliveries as DynamoDB items and back.

They have partitions of their own, ``W#<client>``: the functions that tell clients reach these by their prefix, and no
client's jobs or recordings.
"""

from typing import Any

from lambdas.adapters.aws.items import LAYOUT, Item
from lambdas.core.clock import from_text, to_text
from lambdas.core.webhook_ports import DeliveryRef
from lambdas.core.webhooks import (
    LOG_LIFETIME,
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    DisabledReason,
    EventType,
    SealedSecret,
    WebhookEndpoint,
)

ENDPOINT_PREFIX = "E#"


def webhooks_pk(client_id: str) -> str:
    """Partition of a client's webhooks."""
    return f"W#{client_id}"


def endpoint_key(client_id: str, endpoint_id: str) -> dict[str, str]:
    """Key of an endpoint that is told of every job."""
    return {"pk": webhooks_pk(client_id), "sk": f"{ENDPOINT_PREFIX}{endpoint_id}"}


def job_endpoint_key(client_id: str, job_id: str) -> dict[str, str]:
    """Key of an endpoint that is told of one job."""
    return {"pk": webhooks_pk(client_id), "sk": f"J#{job_id}"}


def deliveries_prefix(endpoint_id: str) -> str:
    """Return what the sort keys of an endpoint's deliveries begin with; the message's id, and so its time, follows."""
    return f"D#{endpoint_id}#"


def delivery_key(ref: DeliveryRef) -> dict[str, str]:
    """Key of a delivery."""
    return {"pk": webhooks_pk(ref.client_id), "sk": f"{deliveries_prefix(ref.endpoint_id)}{ref.message_id}"}


def key_of(endpoint: WebhookEndpoint) -> dict[str, str]:
    """Key of an endpoint of either kind."""
    key = job_endpoint_key if endpoint.is_of_job else endpoint_key
    return key(endpoint.client_id, endpoint.id)


def from_endpoint(endpoint: WebhookEndpoint) -> Item:
    """Write an endpoint; DynamoDB forgets that of a single job."""
    item = {
        **key_of(endpoint),
        "v": LAYOUT,
        "endpoint_id": endpoint.id,
        "client_id": endpoint.client_id,
        "url": endpoint.url,
        "description": endpoint.description,
        "event_types": None if endpoint.event_types is None else sorted(endpoint.event_types),
        "secrets": [{"sealed": one.sealed, "created_at": to_text(one.created_at)} for one in endpoint.secrets],
        "disabled_reason": endpoint.disabled_reason,
        "disabled_at": to_text(endpoint.disabled_at) if endpoint.disabled_at else None,
        "is_of_job": endpoint.is_of_job,
        "base_url": endpoint.base_url,
        "request_sha256": endpoint.request_sha256,
        "created_at": to_text(endpoint.created_at),
        "updated_at": to_text(endpoint.updated_at),
        "version": endpoint.version,
        "ttl": int((endpoint.updated_at + LOG_LIFETIME).timestamp()) if endpoint.is_of_job else None,
    }
    return _given(item)


def to_endpoint(item: Item) -> WebhookEndpoint:
    """Read an endpoint."""
    names = item.get("event_types")
    return WebhookEndpoint(
        id=item["endpoint_id"],
        client_id=item["client_id"],
        url=item["url"],
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
        description=item.get("description", ""),
        event_types=None if names is None else frozenset(map(EventType, names)),
        secrets=tuple(SealedSecret(one["sealed"], from_text(one["created_at"])) for one in item["secrets"]),
        disabled_reason=DisabledReason(item["disabled_reason"]) if "disabled_reason" in item else None,
        disabled_at=from_text(item["disabled_at"]) if "disabled_at" in item else None,
        is_of_job=bool(item.get("is_of_job", False)),
        base_url=item.get("base_url", ""),
        request_sha256=item.get("request_sha256"),
        version=int(item["version"]),
    )


def from_delivery(delivery: Delivery) -> Item:
    """Write a delivery; DynamoDB forgets it in time."""
    item = {
        **delivery_key(DeliveryRef.of(delivery)),
        "v": LAYOUT,
        "client_id": delivery.client_id,
        "endpoint_id": delivery.endpoint_id,
        "message_id": delivery.message_id,
        "event_type": delivery.event_type.value,
        "payload": delivery.payload,
        "status": delivery.status.value,
        "attempts": [
            _given({"at": to_text(one.at), "status_code": one.status_code, "error": one.error})
            for one in delivery.attempts
        ],
        "tries": delivery.tries,
        "next_attempt_at": to_text(delivery.next_attempt_at) if delivery.next_attempt_at else None,
        "created_at": to_text(delivery.created_at),
        "updated_at": to_text(delivery.updated_at),
        "version": delivery.version,
        "ttl": int((delivery.updated_at + LOG_LIFETIME).timestamp()),
    }
    return _given(item)


def to_delivery(item: Item) -> Delivery:
    """Read a delivery."""
    return Delivery(
        client_id=item["client_id"],
        endpoint_id=item["endpoint_id"],
        message_id=item["message_id"],
        event_type=EventType(item["event_type"]),
        payload=item["payload"],
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
        status=DeliveryStatus(item["status"]),
        attempts=tuple(_to_attempt(one) for one in item["attempts"]),
        tries=int(item["tries"]),
        next_attempt_at=from_text(item["next_attempt_at"]) if "next_attempt_at" in item else None,
        version=int(item["version"]),
    )


def _to_attempt(item: Item) -> DeliveryAttempt:
    status_code = int(item["status_code"]) if "status_code" in item else None
    return DeliveryAttempt(from_text(item["at"]), status_code, item.get("error"))


def _given(item: dict[str, Any]) -> Item:
    return {key: value for key, value in item.items() if value is not None}
