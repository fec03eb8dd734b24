"""The native API's paths of webhooks: who is told of what happens, and how each telling went."""

import re
from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query

from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.services.webhooks import CreateWebhook, UpdateWebhook
from lambdas.core.webhooks import WebhookEndpoint
from lambdas.dialects.common import base_url, resource_id
from lambdas.dialects.door import client_of
from lambdas.dialects.native import translate
from lambdas.dialects.native.answers import REFUSALS, Limit, ResourceId, answers, as_json, next_link
from lambdas.dialects.native.keys import Key, key_of
from lambdas.dialects.native.requests import NativeSecretRequest, NativeWebhookChanges, NativeWebhookRequest
from lambdas.dialects.native.services import NativeServices, Services
from lambdas.dialects.native.views import NativeDelivery, NativeDeliveryPage, NativeWebhook, NativeWebhookList

WEBHOOKS = "/v1/webhooks"
WEBHOOK = f"{WEBHOOKS}/<webhook_id>"
DELIVERIES = f"{WEBHOOK}/deliveries"

TAGS = ["Webhooks"]

MESSAGE_ID = "^msg_[A-Za-z0-9_-]{1,100}$"

MessageId = Annotated[str, Path(description="Identifier of the message: `webhook-id` in what the receiver gets.")]


def add_webhooks(app: APIGatewayRestResolver, services: Services) -> None:
    """Add every path of webhooks."""
    _add_endpoints(app, services)
    _add_changes(app, services)
    _add_deliveries(app, services)


def _add_endpoints(app: APIGatewayRestResolver, services: Services) -> None:
    @app.post(
        WEBHOOKS,
        operation_id="createWebhook",
        summary="Be told of what happens",
        description="Messages are signed after Standard Webhooks; the answer shows the secret, this once. The same "
        "request sent again is shown a secret of its own until the webhook is changed: the first and the latest "
        "sign. Links in messages begin with the address that the webhook was made at.",
        responses=answers(201, NativeWebhook),
        tags=TAGS,
    )
    def create_webhook(body: Annotated[NativeWebhookRequest, Body()], key: Key = None) -> Response[NativeWebhook]:
        origin = base_url(app, services().public_base_url)
        command = CreateWebhook(client_of(app).id, body.url, body.events, body.description, body.secret, origin)
        endpoint, secret = _created(services(), command, key_of(app, "webhook", key, body))
        location = f"{origin}{WEBHOOKS}/{endpoint.id}"
        return as_json(HTTPStatus.CREATED, translate.from_webhook(endpoint, secret=secret), {"Location": location})

    @app.get(
        WEBHOOKS,
        operation_id="listWebhooks",
        summary="List your webhooks",
        responses=answers(200, NativeWebhookList),
        tags=TAGS,
    )
    def list_webhooks() -> Response[NativeWebhookList]:
        found = services().webhooks.list(client_of(app).id)
        shown = tuple(translate.from_webhook(endpoint) for endpoint in found)
        return as_json(HTTPStatus.OK, NativeWebhookList(items=shown))

    @app.get(
        WEBHOOK,
        operation_id="getWebhook",
        summary="Get a webhook",
        responses=answers(200, NativeWebhook),
        tags=TAGS,
    )
    def get_webhook(webhook_id: ResourceId) -> Response[NativeWebhook]:
        endpoint = services().webhooks.show(client_of(app).id, resource_id(webhook_id))
        return as_json(HTTPStatus.OK, translate.from_webhook(endpoint))


def _add_changes(app: APIGatewayRestResolver, services: Services) -> None:
    @app.patch(
        WEBHOOK,
        operation_id="updateWebhook",
        summary="Change a webhook",
        description="`enabled: true` also takes up one that was disabled because its receiver failed.",
        responses=answers(200, NativeWebhook),
        tags=TAGS,
    )
    def update_webhook(
        webhook_id: ResourceId, body: Annotated[NativeWebhookChanges, Body()]
    ) -> Response[NativeWebhook]:
        changes = UpdateWebhook(body.url, body.events, body.description, body.enabled)
        changed = services().webhooks.update(client_of(app).id, resource_id(webhook_id), changes)
        return as_json(HTTPStatus.OK, translate.from_webhook(changed))

    @app.post(
        f"{WEBHOOK}/secret",
        operation_id="rotateWebhookSecret",
        summary="Rotate a webhook's secret",
        description="Both the new and the previous secret sign until the next rotation.",
        responses=answers(200, NativeWebhook),
        tags=TAGS,
    )
    def rotate_secret(webhook_id: ResourceId, body: Annotated[NativeSecretRequest, Body()]) -> Response[NativeWebhook]:
        made = services().webhooks.rotate_secret(
            client_of(app).id, resource_id(webhook_id), secret=body.secret, keep_previous=body.keep_previous
        )
        return as_json(HTTPStatus.OK, translate.from_webhook(made.endpoint, secret=made.secret))

    @app.delete(
        WEBHOOK,
        operation_id="deleteWebhook",
        summary="Delete a webhook",
        description="What is still to be delivered to it is discarded.",
        responses={204: {"description": "It is not there any more."}, **REFUSALS},
        tags=TAGS,
    )
    def delete_webhook(webhook_id: ResourceId) -> Response[str]:
        services().webhooks.delete(client_of(app).id, resource_id(webhook_id))
        return Response(HTTPStatus.NO_CONTENT.value, body="")

    @app.post(
        f"{WEBHOOK}/test",
        operation_id="testWebhook",
        summary="Send a test event",
        responses=answers(202, NativeDelivery),
        tags=TAGS,
    )
    def send_test(webhook_id: ResourceId) -> Response[NativeDelivery]:
        delivery = services().webhooks.send_test(client_of(app).id, resource_id(webhook_id))
        return as_json(HTTPStatus.ACCEPTED, translate.from_delivery(delivery))


def _add_deliveries(app: APIGatewayRestResolver, services: Services) -> None:
    @app.get(
        DELIVERIES,
        operation_id="listDeliveries",
        summary="See what a webhook was told, newest first",
        responses=answers(200, NativeDeliveryPage),
        tags=TAGS,
    )
    def list_deliveries(
        webhook_id: ResourceId,
        limit: Limit = 50,
        cursor: Annotated[str | None, Query(pattern=MESSAGE_ID)] = None,
    ) -> Response[NativeDeliveryPage]:
        found = services().webhooks.list_deliveries(
            client_of(app).id, resource_id(webhook_id), limit=limit, before=cursor
        )
        shown = tuple(translate.from_delivery(delivery) for delivery in found)
        more = found[-1].message_id if len(found) == limit else None
        link = next_link(app, base_url(app, services().public_base_url), more)
        return as_json(HTTPStatus.OK, NativeDeliveryPage(items=shown, next_cursor=more, next_link=link))

    @app.post(
        f"{DELIVERIES}/<message_id>/redeliver",
        operation_id="redeliver",
        summary="Send a message again",
        description="Under its old identifier, on a new schedule.",
        responses=answers(202, NativeDelivery),
        tags=TAGS,
    )
    def redeliver(webhook_id: ResourceId, message_id: MessageId) -> Response[NativeDelivery]:
        webhooks = services().webhooks
        again = webhooks.redeliver(client_of(app).id, resource_id(webhook_id), _message_id(message_id))
        return as_json(HTTPStatus.ACCEPTED, translate.from_delivery(again))


def _created(
    services: NativeServices, command: CreateWebhook, key: IdempotencyKey | None
) -> tuple[WebhookEndpoint, str | None]:
    if key is not None:
        return services.webhooks.create_once(command, key)
    made = services.webhooks.create(command)
    return made.endpoint, made.secret


def _message_id(text: str) -> str:
    if not re.fullmatch(MESSAGE_ID, text):
        raise DomainError(DomainErrorCode.NOT_FOUND)
    return text
