"""Adobe's paths, version 1. Each handler translates, calls the core once and translates back."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Body

from lambdas.core.operations import MODEL_DEFAULT
from lambdas.core.rates import RateClass
from lambdas.core.services.enhancements import Wish
from lambdas.dialects.adobe import ims, translate
from lambdas.dialects.adobe.protocol import (
    AdobeAsset,
    AdobeAssetRequest,
    AdobeSpeechEnhancement,
    AdobeSpeechEnhancementRequest,
)
from lambdas.dialects.adobe.services import AdobeServices
from lambdas.dialects.adobe_words import answers, refusal
from lambdas.dialects.common import JSON, JsonResolver, Route, base_url, resource_id
from lambdas.dialects.door import Door, bearer_token, client_of

T = TypeVar("T")

V1 = f"{translate.PREFIX}/v1"
ASSETS = f"{V1}/assets"
ASSET = f"{ASSETS}/<asset_id>"
ENHANCEMENTS = f"{ASSET}/speech_enhancements"
ENHANCEMENT = f"{ENHANCEMENTS}/<speech_enhancement_id>"
DOWNLOAD = f"{ENHANCEMENT}/download"
TOKEN = Route("POST", ims.PATH)
"""Answered by a function of its own; its other methods end up here."""
DOWNLOAD_AS_PRINTED = DOWNLOAD.replace("/v1/", "/api/")

REFUSALS = (401, 403, 404, 422, 429)


def build(services: Callable[[], AdobeServices]) -> APIGatewayRestResolver:
    """Return the dialect's resolver; ``services`` is called per request only."""
    app = JsonResolver()
    Door(
        authenticate=lambda: services().authenticator.authenticate(
            app.current_event.headers.get("x-api-key"), bearer_token(app)
        ),
        rates=lambda: services().rates,
        rate_class=lambda event: RateClass.ADOBE_CREATE if event.http_method == "POST" else RateClass.ADOBE,
        headers=lambda _state: {},
        refuse=lambda error, fields: refusal(app, error, fields, prefix=translate.PREFIX),
        also=(TOKEN,),
    ).add_to(app)
    _add_assets(app, services)
    _add_enhancements(app, services)
    return app


def _add_assets(app: APIGatewayRestResolver, services: Callable[[], AdobeServices]) -> None:
    @app.post(ASSETS, operation_id="adobeCreateAsset", summary="Create an asset", responses=_answers(201, AdobeAsset))
    def create_asset(body: Annotated[AdobeAssetRequest, Body()]) -> Response[AdobeAsset]:
        command = translate.to_create_asset(client_of(app).id, body)
        return _json(HTTPStatus.CREATED, translate.from_asset(services().assets.create(command)))

    @app.get(ASSET, operation_id="adobeGetAsset", summary="Get an asset", responses=_answers(200, AdobeAsset))
    def get_asset(asset_id: str) -> Response[AdobeAsset]:
        view = services().assets.show(client_of(app).id, resource_id(asset_id))
        return _json(HTTPStatus.OK, translate.from_asset(view))


def _add_enhancements(app: APIGatewayRestResolver, services: Callable[[], AdobeServices]) -> None:
    @app.post(
        ENHANCEMENTS,
        operation_id="adobeCreateSpeechEnhancement",
        summary="Create a speech enhancement",
        responses=_answers(202, AdobeSpeechEnhancement),
    )
    def create_enhancement(
        asset_id: str, body: Annotated[AdobeSpeechEnhancementRequest, Body()]
    ) -> Response[AdobeSpeechEnhancement]:
        wish = Wish(strength=float(body.strength), model=MODEL_DEFAULT, is_unique=True)
        job = services().enhancements.request(client_of(app).id, resource_id(asset_id), wish)
        return _json(HTTPStatus.ACCEPTED, translate.from_job(job, base_url=_base_url(app, services())))

    @app.get(
        ENHANCEMENT,
        operation_id="adobeGetSpeechEnhancement",
        summary="Get a speech enhancement",
        responses=_answers(200, AdobeSpeechEnhancement),
    )
    def get_enhancement(asset_id: str, speech_enhancement_id: str) -> Response[AdobeSpeechEnhancement]:
        job = services().enhancements.show(
            client_of(app).id, resource_id(speech_enhancement_id), asset_id=resource_id(asset_id)
        )
        return _json(HTTPStatus.OK, translate.from_job(job, base_url=_base_url(app, services())))

    def download(asset_id: str, speech_enhancement_id: str) -> Response[str]:
        url = services().downloads.url(
            client_of(app).id, resource_id(speech_enhancement_id), asset_id=resource_id(asset_id)
        )
        return Response(HTTPStatus.FOUND.value, body="", headers={"Location": url, "Cache-Control": "no-store"})

    found = _answers(302, None)
    app.get(DOWNLOAD, operation_id="adobeDownloadSpeechEnhancement", summary="Download the result", responses=found)(
        download
    )
    app.get(
        DOWNLOAD_AS_PRINTED,
        operation_id="adobeDownloadSpeechEnhancementAsPrinted",
        summary="Download the result, at the path that download_url shows",
        responses=found,
    )(download)


def _base_url(app: APIGatewayRestResolver, services: AdobeServices) -> str:
    return base_url(app, services.public_base_url)


def _answers(status: int, model: type[Any] | None) -> dict[int, Any]:
    return answers(status, model, REFUSALS)


def _json(status: HTTPStatus, body: T) -> Response[T]:
    return Response(status.value, content_type=JSON, body=body)
