"""The native API's paths of recordings: announcing, uploading whole or in parts, looking, deleting."""

from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Body

from lambdas.core.services.assets import AssetView
from lambdas.dialects.common import base_url, resource_id
from lambdas.dialects.door import client_of
from lambdas.dialects.native import translate
from lambdas.dialects.native.answers import REFUSALS, Cursor, Limit, ResourceId, answers, as_json, next_link
from lambdas.dialects.native.keys import Key, key_of
from lambdas.dialects.native.requests import NativeAssetRequest, NativePartsRequest
from lambdas.dialects.native.services import NativeServices, Services
from lambdas.dialects.native.views import NativeAsset, NativeAssetPage, NativeParts, NativeProgress

ASSETS = "/v1/assets"
ASSET = f"{ASSETS}/<asset_id>"


def add_assets(app: APIGatewayRestResolver, services: Services) -> None:
    """Add every path of recordings."""
    _add_assets(app, services)
    _add_parts(app, services)


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
        link = next_link(app, base_url(app, services().public_base_url), page.next_cursor)
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
        expires_at = services().links_expire_at
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


def _asset(services: NativeServices, view: AssetView) -> NativeAsset:
    return translate.from_asset(view, expires_at=services.links_expire_at)
