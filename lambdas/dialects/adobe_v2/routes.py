"""Adobe's paths, version 2. Each handler translates, calls the core and translates back."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, TypeVar

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path

from lambdas.core.jobs import JobStatus
from lambdas.core.rates import RateClass
from lambdas.dialects.adobe_v2 import translate
from lambdas.dialects.adobe_v2.protocol import (
    AdobeV2Asset,
    AdobeV2AssetRequest,
    AdobeV2SpeechEnhancement,
    AdobeV2SpeechEnhancementRequest,
)
from lambdas.dialects.adobe_v2.services import AdobeV2Services
from lambdas.dialects.adobe_words import answers, refusal
from lambdas.dialects.common import JSON, JsonResolver, resource_id
from lambdas.dialects.door import Door, bearer_token, client_of

T = TypeVar("T")
Services = Callable[[], AdobeV2Services]

ASSETS, ENHANCEMENTS = "/v2/assets", "/v2/speech-enhancements"
ASSET, ENHANCEMENT = f"{ASSETS}/<id>", f"{ENHANCEMENTS}/<id>"

AssetId = Annotated[str, Path(description="ID of the desired asset.")]
EnhancementId = Annotated[str, Path(description="ID of the desired speech enhancement.")]


def build(services: Services) -> APIGatewayRestResolver:
    """Return the dialect's resolver; ``services`` is called per request only."""
    app = JsonResolver()
    Door(
        authenticate=lambda: services().authenticator.authenticate(
            app.current_event.headers.get("x-api-key"), bearer_token(app)
        ),
        rates=lambda: services().rates,
        rate_class=lambda event: RateClass.ADOBE_CREATE if event.http_method == "POST" else RateClass.ADOBE,
        headers=lambda _state: {},
        refuse=lambda error, fields: refusal(app, error, fields),
    ).add_to(app)
    _add_assets(app, services)
    _add_enhancements(app, services)
    return app


def _add_assets(app: APIGatewayRestResolver, services: Services) -> None:
    @app.post(
        ASSETS,
        operation_id="adobeV2CreateAsset",
        summary="Create an asset",
        description="The answer's `uploadUrl` is where to PUT the file.",
        responses=answers(201, AdobeV2Asset, (401, 403, 422, 429)),
    )
    def create_asset(body: Annotated[AdobeV2AssetRequest, Body()]) -> Response[AdobeV2Asset]:
        command = translate.to_create_asset(client_of(app).id, body)
        return _json(HTTPStatus.CREATED, translate.from_asset(services().assets.create(command)))

    @app.get(
        ASSET,
        operation_id="adobeV2GetAsset",
        summary="Show an asset",
        responses=answers(200, AdobeV2Asset, (401, 403, 404, 429)),
    )
    def get_asset(id: AssetId) -> Response[AdobeV2Asset]:  # noqa: A002 - the parameter's name in Adobe's document
        return _json(HTTPStatus.OK, translate.from_asset(services().assets.show(client_of(app).id, resource_id(id))))

    @app.delete(
        ASSET,
        operation_id="adobeV2DeleteAsset",
        summary="Delete an asset",
        description="Its speech enhancements are deleted with it.",
        responses=answers(204, None, (401, 403, 404, 429)),
    )
    def delete_asset(id: AssetId) -> Response[str]:  # noqa: A002 - see above
        client = client_of(app)
        services().assets.show(client.id, resource_id(id))
        services().deletion.delete(client.id, resource_id(id))
        return Response(HTTPStatus.NO_CONTENT.value, body="")


def _add_enhancements(app: APIGatewayRestResolver, services: Services) -> None:
    @app.post(
        ENHANCEMENTS,
        operation_id="adobeV2CreateSpeechEnhancement",
        summary="Create a speech enhancement",
        description="Enhances the asset that `input.uploadId` names.",
        responses=answers(202, AdobeV2SpeechEnhancement, (401, 403, 404, 422, 429)),
    )
    def create_enhancement(
        body: Annotated[AdobeV2SpeechEnhancementRequest, Body()],
    ) -> Response[AdobeV2SpeechEnhancement]:
        asset_id = translate.to_asset_id(body.input.upload_id)
        job = services().enhancements.request(client_of(app).id, asset_id, translate.to_wish(body))
        return _json(HTTPStatus.ACCEPTED, translate.from_job(job, output_url=None))

    @app.get(
        ENHANCEMENT,
        operation_id="adobeV2GetSpeechEnhancement",
        summary="Get a speech enhancement",
        responses=answers(200, AdobeV2SpeechEnhancement, (401, 403, 404, 429)),
    )
    def get_enhancement(id: EnhancementId) -> Response[AdobeV2SpeechEnhancement]:  # noqa: A002 - see above
        client = client_of(app)
        job = services().enhancements.show(client.id, resource_id(id))
        url = services().downloads.url(client.id, job.id) if job.status is JobStatus.SUCCEEDED else None
        return _json(HTTPStatus.OK, translate.from_job(job, output_url=url))


def _json(status: HTTPStatus, body: T) -> Response[T]:
    return Response(status.value, content_type=JSON, body=body)
