"""The native API's paths of batches."""

from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Body

from lambdas.core.services.batches import BatchView, BatchWish
from lambdas.dialects.common import base_url, resource_id
from lambdas.dialects.door import client_of
from lambdas.dialects.native import translate
from lambdas.dialects.native.answers import POLL_AFTER_S, ResourceId, answers, as_json
from lambdas.dialects.native.keys import Key, named
from lambdas.dialects.native.requests import NativeBatchRequest
from lambdas.dialects.native.services import NativeServices, Services
from lambdas.dialects.native.views import NativeBatch

BATCHES = "/v1/batches"


def add_batches(app: APIGatewayRestResolver, services: Services) -> None:
    """Add them."""

    @app.post(
        BATCHES,
        operation_id="createBatch",
        summary="Enhance up to a hundred recordings",
        description="An item that is refused keeps no other from being accepted.",
        responses=answers(202, NativeBatch),
        tags=["Batches"],
    )
    def create_batch(body: Annotated[NativeBatchRequest, Body()], key: Key = None) -> Response[NativeBatch]:
        client, origin = client_of(app), base_url(app, services().public_base_url)
        items = [
            BatchWish(
                translate.to_source(client.id, item.source, retain_hours=item.retain_hours),
                translate.to_wish(item, key=None),
                translate.to_webhook(item.webhook, base_url=origin),
            )
            for item in body.items
        ]
        name = named(app, "batch", key or services().ids.new_id(), body)
        view = services().batches.create(client.id, items, key=name, reference=body.reference)
        shown = _batch(app, services(), view)
        location = f"{origin}{BATCHES}/{shown.id}"
        return as_json(HTTPStatus.ACCEPTED, shown, {"Location": location, "Retry-After": str(POLL_AFTER_S)})

    @app.get(
        f"{BATCHES}/<batch_id>",
        operation_id="getBatch",
        summary="Get a batch",
        responses=answers(200, NativeBatch),
        tags=["Batches"],
    )
    def get_batch(batch_id: ResourceId) -> Response[NativeBatch]:
        view = services().batches.show(client_of(app).id, resource_id(batch_id))
        return as_json(HTTPStatus.OK, _batch(app, services(), view))


def _batch(app: APIGatewayRestResolver, services: NativeServices, view: BatchView) -> NativeBatch:
    seen = services.listing.seen_all(view.batch.client_id, tuple(view.jobs.values()))
    return translate.from_batch(
        view,
        {one.job.id: one for one in seen},
        base_url=base_url(app, services.public_base_url),
        expires_at=services.links_expire_at,
    )
