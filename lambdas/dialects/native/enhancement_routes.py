"""The native API's paths of enhancements: asking, looking, waiting, cancelling, deleting."""

from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Query

from lambdas.core.services.listing import JobFilter, JobView
from lambdas.dialects.common import base_url, resource_id
from lambdas.dialects.door import client_of
from lambdas.dialects.native import translate
from lambdas.dialects.native.answers import (
    POLL_AFTER_S,
    REFUSALS,
    Cursor,
    Limit,
    ResourceId,
    answers,
    as_json,
    next_link,
)
from lambdas.dialects.native.fields import EnhancementStatus, Instant
from lambdas.dialects.native.keys import Key, key_of
from lambdas.dialects.native.requests import NativeEnhancementRequest
from lambdas.dialects.native.services import NativeServices, Services
from lambdas.dialects.native.views import NativeEnhancement, NativeEnhancementPage

MAX_WAIT_S = 20
"""API Gateway gives up after 29 seconds."""

MAX_POLL_AFTER_S = 60

ENHANCEMENTS, RUNS = "/v1/enhancements", "/v1/runs"
ENHANCEMENT = f"{ENHANCEMENTS}/<enhancement_id>"


def add_enhancements(app: APIGatewayRestResolver, services: Services) -> None:
    """Add every path of enhancements, but those of what was made."""
    _add_enhancements(app, services)
    _add_runs(app, services)


def _add_enhancements(app: APIGatewayRestResolver, services: Services) -> None:
    @app.post(
        ENHANCEMENTS,
        operation_id="createEnhancement",
        summary="Enhance a recording",
        description="With a source that is uploaded next, the answer says where to put it, and the enhancement starts "
        "by itself when the bytes are there.",
        responses=answers(202, NativeEnhancement),
        tags=["Enhancements"],
    )
    def create_enhancement(
        body: Annotated[NativeEnhancementRequest, Body()], key: Key = None
    ) -> Response[NativeEnhancement]:
        shown = _submitted(app, services(), body, key)
        headers = {"Location": shown.links.self, "Retry-After": str(POLL_AFTER_S)}
        return as_json(HTTPStatus.ACCEPTED, shown, headers)

    @app.get(
        ENHANCEMENTS,
        operation_id="listEnhancements",
        summary="List enhancements, newest first",
        responses=answers(200, NativeEnhancementPage),
        tags=["Enhancements"],
    )
    def list_enhancements(  # noqa: PLR0917 - each is a filter
        status: Annotated[list[EnhancementStatus] | None, Query(description="Only those; may be repeated.")] = None,
        asset_id: Annotated[str | None, Query(description="Only those of this recording.")] = None,
        created_after: Annotated[Instant | None, Query(description="Only those asked for since.")] = None,
        created_before: Annotated[Instant | None, Query(description="Only those asked for before.")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response[NativeEnhancementPage]:
        wanted = JobFilter(
            statuses=translate.to_statuses(status or ()),
            asset_id=resource_id(asset_id) if asset_id else None,
            created_after=created_after,
            created_before=created_before,
        )
        page = services().listing.page(client_of(app).id, wanted, limit=limit, cursor=cursor)
        origin = base_url(app, services().public_base_url)
        seen = services().listing.seen_all(client_of(app).id, page.items)
        shown = tuple(translate.from_job(one, base_url=origin) for one in seen)
        link = next_link(app, origin, page.next_cursor)
        return as_json(HTTPStatus.OK, NativeEnhancementPage(items=shown, next_cursor=page.next_cursor, next_link=link))

    @app.get(
        ENHANCEMENT,
        operation_id="getEnhancement",
        summary="Get an enhancement",
        description="With `wait` the answer comes when it has ended, or after so many seconds.",
        responses=answers(200, NativeEnhancement),
        tags=["Enhancements"],
    )
    def get_enhancement(
        enhancement_id: ResourceId,
        wait: Annotated[int, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for its end.")] = 0,
    ) -> Response[NativeEnhancement]:
        seen = services().listing.wait(
            client_of(app).id, resource_id(enhancement_id), wait_s=wait, sleep=services().sleep
        )
        headers = {} if seen.job.is_terminal else {"Retry-After": str(POLL_AFTER_S)}
        return as_json(HTTPStatus.OK, _shown(app, services(), seen), headers)

    @app.post(
        f"{ENHANCEMENT}/cancel",
        operation_id="cancelEnhancement",
        summary="Cancel an enhancement",
        description="Whether it waits or runs; one that is cancelled already stays so.",
        responses=answers(200, NativeEnhancement),
        tags=["Enhancements"],
    )
    def cancel_enhancement(enhancement_id: ResourceId) -> Response[NativeEnhancement]:
        job = services().cancelling.cancel(client_of(app).id, resource_id(enhancement_id))
        return as_json(HTTPStatus.OK, _shown(app, services(), JobView(job)))

    @app.delete(
        ENHANCEMENT,
        operation_id="deleteEnhancement",
        summary="Delete an enhancement that has ended",
        description="With its result, report and pictures; the recording stays, and so does what it counted in your "
        "usage. One that waits or runs has to be cancelled first. A batch shows it as deleted, and its "
        "`Idempotency-Key` stays used: the same request sent again is answered with 410.",
        responses={204: {"description": "It is not there any more."}, **REFUSALS},
        tags=["Enhancements"],
    )
    def delete_enhancement(enhancement_id: ResourceId) -> Response[str]:
        services().enhancement_deletion.delete(client_of(app).id, resource_id(enhancement_id))
        return Response(HTTPStatus.NO_CONTENT.value, body="")


def _add_runs(app: APIGatewayRestResolver, services: Services) -> None:
    def unfinished(shown: NativeEnhancement) -> Response[NativeEnhancement]:
        location = f"{base_url(app, services().public_base_url)}{RUNS}/{shown.id}"
        again_s = min(max(shown.eta_s or 0, POLL_AFTER_S), MAX_POLL_AFTER_S)
        return as_json(HTTPStatus.ACCEPTED, shown, {"Location": location, "Retry-After": str(again_s)})

    @app.post(
        RUNS,
        operation_id="runEnhancement",
        summary="Enhance a recording, and wait for it",
        description="As `POST /v1/enhancements`, for clients that follow `Location` by themselves: what is there "
        "answers 202 until the enhancement has ended.",
        responses=answers(202, NativeEnhancement),
        tags=["Enhancements"],
    )
    def run_enhancement(
        body: Annotated[NativeEnhancementRequest, Body()], key: Key = None
    ) -> Response[NativeEnhancement]:
        return unfinished(_submitted(app, services(), body, key))

    @app.get(
        f"{RUNS}/<enhancement_id>",
        operation_id="getRun",
        summary="Wait for an enhancement",
        description="202 while it waits or runs, with `Location` and `Retry-After`; 200 once it has ended, "
        "however it did.",
        responses=answers(202, NativeEnhancement) | answers(200, NativeEnhancement),
        tags=["Enhancements"],
    )
    def get_run(enhancement_id: ResourceId) -> Response[NativeEnhancement]:
        seen = services().listing.view(client_of(app).id, resource_id(enhancement_id))
        shown = _shown(app, services(), seen)
        return as_json(HTTPStatus.OK, shown) if seen.job.is_terminal else unfinished(shown)


def _submitted(
    app: APIGatewayRestResolver, services: NativeServices, body: NativeEnhancementRequest, key: str | None
) -> NativeEnhancement:
    client = client_of(app)
    source = translate.to_source(client.id, body.source, retain_hours=body.retain_hours)
    wish = translate.to_wish(body, key=key_of(app, "enhancement", key, body))
    origin = base_url(app, services.public_base_url)
    made = services.submissions.submit(client.id, source, wish, translate.to_webhook(body.webhook, base_url=origin))
    return translate.from_job(
        services.listing.seen(made.job),
        base_url=origin,
        made=made,
        expires_at=services.links_expire_at,
    )


def _shown(app: APIGatewayRestResolver, services: NativeServices, view: JobView) -> NativeEnhancement:
    return translate.from_job(view, base_url=base_url(app, services.public_base_url))
