"""The native API's paths. Each handler translates, calls the core once and translates back."""

import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Query
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.rates import WINDOW_S, RateClass, RateState
from lambdas.core.services.batches import BatchView, BatchWish
from lambdas.core.services.listing import JobFilter, JobView
from lambdas.core.usage import MAX_DAYS
from lambdas.dialects.common import JsonResolver, base_url, resource_id
from lambdas.dialects.door import Door, FieldErrors, bearer_token, client_of
from lambdas.dialects.native import translate
from lambdas.dialects.native.answers import (
    PROBLEM,
    REFUSALS,
    Cursor,
    Limit,
    ResourceId,
    answers,
    as_json,
    next_link,
)
from lambdas.dialects.native.fields import (
    Day,
    EnhancementStatus,
    Instant,
)
from lambdas.dialects.native.keys import Key, key_of, named
from lambdas.dialects.native.requests import (
    NativeAssetRequest,
    NativeBatchRequest,
    NativeEnhancementRequest,
    NativePartsRequest,
)
from lambdas.dialects.native.result_routes import add_results
from lambdas.dialects.native.services import NativeServices
from lambdas.dialects.native.views import (
    NativeAsset,
    NativeAssetPage,
    NativeBatch,
    NativeEnhancement,
    NativeEnhancementPage,
    NativeParts,
    NativeProgress,
    NativeUsage,
)
from lambdas.dialects.native.webhook_routes import WEBHOOKS, add_webhooks

logger = logging.getLogger(__name__)

T = TypeVar("T")
Services = Callable[[], NativeServices]

MAX_WAIT_S = 20
"""API Gateway gives up after 29 seconds."""

POLL_AFTER_S = 2
MAX_POLL_AFTER_S = 60
USAGE_DAYS = 30

ASSETS, ENHANCEMENTS, RUNS, BATCHES = "/v1/assets", "/v1/enhancements", "/v1/runs", "/v1/batches"
ASSET, ENHANCEMENT = f"{ASSETS}/<asset_id>", f"{ENHANCEMENTS}/<enhancement_id>"


def build(services: Services) -> APIGatewayRestResolver:
    """Return the dialect's resolver; ``services`` is called per request only."""
    app = JsonResolver()
    Door(
        authenticate=lambda: services().authenticator.authenticate(
            bearer=bearer_token(app), api_key=app.current_event.headers.get("x-api-key")
        ),
        rates=lambda: services().rates,
        rate_class=_rate_class,
        headers=_rate_headers,
        refuse=lambda error, fields: _refusal(app, error, fields),
    ).add_to(app)
    _add_assets(app, services)
    _add_parts(app, services)
    _add_enhancements(app, services)
    _add_runs(app, services)
    add_results(app, services, ENHANCEMENT)
    _add_batches(app, services)
    _add_usage(app, services)
    add_webhooks(app, services)
    return app


def _add_assets(app: APIGatewayRestResolver, services: Services) -> None:
    @app.post(
        ASSETS,
        operation_id="createAsset",
        summary="Announce a recording",
        description="Returns where to upload it, or has it fetched; its size and kind are unknown until then. It can "
        "be enhanced once its status is `ready`.",
        responses=answers(201, NativeAsset),
        tags=["Assets"],
    )
    def create_asset(body: Annotated[NativeAssetRequest, Body()], key: Key = None) -> Response[NativeAsset]:
        command = translate.to_registration(client_of(app).id, body, key=key_of(app, "asset", key, body))
        return as_json(HTTPStatus.CREATED, _asset(services(), services().submissions.register(command)))

    @app.get(
        ASSETS,
        operation_id="listAssets",
        summary="List recordings, newest first",
        responses=answers(200, NativeAssetPage),
        tags=["Assets"],
    )
    def list_assets(limit: Limit = 50, cursor: Cursor = None) -> Response[NativeAssetPage]:
        page = services().assets.page(client_of(app).id, limit=limit, cursor=cursor)
        shown = tuple(_asset(services(), services().assets.view(asset)) for asset in page.items)
        link = next_link(app, _base_url(app, services()), page.next_cursor)
        return as_json(HTTPStatus.OK, NativeAssetPage(items=shown, next_cursor=page.next_cursor, next_link=link))

    @app.get(
        ASSET,
        operation_id="getAsset",
        summary="Get a recording",
        responses=answers(200, NativeAsset),
        tags=["Assets"],
    )
    def get_asset(asset_id: ResourceId) -> Response[NativeAsset]:
        return as_json(
            HTTPStatus.OK, _asset(services(), services().assets.show(client_of(app).id, resource_id(asset_id)))
        )

    @app.delete(
        ASSET,
        operation_id="deleteAsset",
        summary="Delete a recording and all that was made of it",
        description="Enhancements of it that wait or run are cancelled.",
        responses={204: {"description": "It is not there any more."}, **REFUSALS},
        tags=["Assets"],
    )
    def delete_asset(asset_id: ResourceId) -> Response[str]:
        client = client_of(app)
        services().assets.show(client.id, resource_id(asset_id))
        services().deletion.delete(client.id, resource_id(asset_id))
        return Response(HTTPStatus.NO_CONTENT.value, body="")


def _add_parts(app: APIGatewayRestResolver, services: Services) -> None:
    @app.post(
        f"{ASSET}/parts",
        operation_id="linkParts",
        summary="Get links to upload parts",
        description="Also for parts that have arrived: what is sent again replaces what is there.",
        responses=answers(200, NativeParts),
        tags=["Assets"],
    )
    def link_parts(asset_id: ResourceId, body: Annotated[NativePartsRequest, Body()]) -> Response[NativeParts]:
        links = services().uploads.links(
            client_of(app).id, resource_id(asset_id), body.numbers, md5=translate.to_digests(body.md5)
        )
        expires_at = _expires_at(services())
        return as_json(
            HTTPStatus.OK,
            NativeParts(parts=tuple(translate.from_link(link, expires_at=expires_at) for link in links)),
        )

    @app.get(
        f"{ASSET}/parts",
        operation_id="getUploadProgress",
        summary="See which parts have arrived",
        description="So that an interrupted upload can go on where it was.",
        responses=answers(200, NativeProgress),
        tags=["Assets"],
    )
    def upload_progress(asset_id: ResourceId) -> Response[NativeProgress]:
        progress = services().uploads.progress(client_of(app).id, resource_id(asset_id))
        return as_json(HTTPStatus.OK, translate.from_progress(progress))

    @app.post(
        f"{ASSET}/complete",
        operation_id="completeUpload",
        summary="Finish an upload that came in parts",
        responses=answers(200, NativeAsset),
        tags=["Assets"],
    )
    def complete_upload(asset_id: ResourceId) -> Response[NativeAsset]:
        asset = services().uploads.complete(client_of(app).id, resource_id(asset_id))
        return as_json(HTTPStatus.OK, _asset(services(), services().assets.view(asset)))


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
        base_url = _base_url(app, services())
        seen = services().listing.seen_all(client_of(app).id, page.items)
        shown = tuple(translate.from_job(one, base_url=base_url) for one in seen)
        link = next_link(app, base_url, page.next_cursor)
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
        return as_json(HTTPStatus.OK, translate.from_job(seen, base_url=_base_url(app, services())), headers)

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
        return as_json(HTTPStatus.OK, translate.from_job(JobView(job), base_url=_base_url(app, services())))

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
        location = f"{_base_url(app, services())}{RUNS}/{shown.id}"
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
        shown = translate.from_job(seen, base_url=_base_url(app, services()))
        return as_json(HTTPStatus.OK, shown) if seen.job.is_terminal else unfinished(shown)


def _add_batches(app: APIGatewayRestResolver, services: Services) -> None:
    @app.post(
        BATCHES,
        operation_id="createBatch",
        summary="Enhance up to a hundred recordings",
        description="An item that is refused keeps no other from being accepted.",
        responses=answers(202, NativeBatch),
        tags=["Batches"],
    )
    def create_batch(body: Annotated[NativeBatchRequest, Body()], key: Key = None) -> Response[NativeBatch]:
        client, origin = client_of(app), _base_url(app, services())
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


def _add_usage(app: APIGatewayRestResolver, services: Services) -> None:
    @app.get(
        "/v1/usage",
        operation_id="getUsage",
        summary="See what was done, by day",
        description=f"Days are UTC; at most {MAX_DAYS} of them, the last {USAGE_DAYS} unless said otherwise.",
        responses=answers(200, NativeUsage),
        tags=["Usage"],
    )
    def get_usage(
        first: Annotated[Day | None, Query(alias="from", description="First day.")] = None,
        last: Annotated[Day | None, Query(alias="to", description="Last day.")] = None,
    ) -> Response[NativeUsage]:
        until = last or services().clock.now().date()
        since = first or date.fromordinal(max(1, until.toordinal() - (USAGE_DAYS - 1)))
        if not 0 <= (until - since).days < MAX_DAYS:
            message = f"from has to be before to, and at most {MAX_DAYS} days"
            raise DomainError(DomainErrorCode.PARAMETER_INVALID, message)
        return as_json(HTTPStatus.OK, translate.from_usage(services().usage.days(client_of(app).id, since, until)))


def _rate_class(event: APIGatewayProxyEvent) -> RateClass:
    makers = {ASSETS, ENHANCEMENTS, RUNS, BATCHES, WEBHOOKS}
    if event.http_method == "POST" and event.path.rstrip("/") in makers:
        return RateClass.NATIVE_CREATE
    waits = any(value not in {"", "0"} for value in event.resolved_query_string_parameters.get("wait", ()))
    return RateClass.NATIVE_WAIT if waits else RateClass.NATIVE


def _rate_headers(state: RateState) -> dict[str, str]:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers-10."""
    return {
        "RateLimit-Policy": f'"minute";q={state.limit};w={WINDOW_S}',
        "RateLimit": f'"minute";r={state.remaining};t={state.reset_s}',
    }


def _submitted(
    app: APIGatewayRestResolver, services: NativeServices, body: NativeEnhancementRequest, key: str | None
) -> NativeEnhancement:
    client = client_of(app)
    source = translate.to_source(client.id, body.source, retain_hours=body.retain_hours)
    wish = translate.to_wish(body, key=key_of(app, "enhancement", key, body))
    origin = _base_url(app, services)
    made = services.submissions.submit(client.id, source, wish, translate.to_webhook(body.webhook, base_url=origin))
    return translate.from_job(
        services.listing.seen(made.job),
        base_url=origin,
        made=made,
        expires_at=_expires_at(services),
    )


def _asset(services: NativeServices, view: Any) -> NativeAsset:
    return translate.from_asset(view, expires_at=_expires_at(services))


def _batch(app: APIGatewayRestResolver, services: NativeServices, view: BatchView) -> NativeBatch:
    seen = services.listing.seen_all(view.batch.client_id, tuple(view.jobs.values()))
    return translate.from_batch(
        view,
        {one.job.id: one for one in seen},
        base_url=_base_url(app, services),
        expires_at=_expires_at(services),
    )


def _expires_at(services: NativeServices) -> datetime:
    return services.clock.now() + timedelta(seconds=services.upload_url_ttl_s)


def _base_url(app: APIGatewayRestResolver, services: NativeServices) -> str:
    return base_url(app, services.public_base_url)


def _refusal(app: APIGatewayRestResolver, error: DomainError, fields: FieldErrors) -> Response[str]:
    request_id = app.current_event.request_context.request_id or ""
    problem = translate.from_error(error, request_id=request_id, fields=fields)
    headers = {"Retry-After": str(error.retry_after_s or POLL_AFTER_S)} if problem.retryable else {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(problem.status, content_type=PROBLEM, body=problem.model_dump_json(), headers=headers)
