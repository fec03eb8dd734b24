"""The native API's paths of what was made: each a redirect, or the short-lived link itself for who follows none."""

from datetime import timedelta
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from lambdas.core.services.enhancements import Artifact
from lambdas.dialects.common import resource_id
from lambdas.dialects.door import client_of
from lambdas.dialects.native.answers import REFUSALS, ResourceId, answers, as_json, elsewhere
from lambdas.dialects.native.services import NativeServices, Services
from lambdas.dialects.native.views import NativeFileLink

TAGS = ["Enhancements"]


def add_results(app: APIGatewayRestResolver, services: Services, enhancement: str) -> None:
    """Add every path below an enhancement's own (``enhancement``)."""
    _add_redirects(app, services, enhancement)
    _add_links(app, services, enhancement)


def _add_redirects(app: APIGatewayRestResolver, services: Services, enhancement: str) -> None:
    found: dict[int, Any] = {302: {"description": "Its short-lived location"}, **REFUSALS}

    @app.get(
        f"{enhancement}/download",
        operation_id="downloadEnhancement",
        summary="Download the result",
        responses=found,
        tags=TAGS,
    )
    def download(enhancement_id: ResourceId) -> Response[str]:
        return elsewhere(services().downloads.url(client_of(app).id, resource_id(enhancement_id)))

    def add(artifact: Artifact, summary: str) -> None:
        def get(enhancement_id: ResourceId) -> Response[str]:
            return elsewhere(
                services().downloads.artifact_url(client_of(app).id, resource_id(enhancement_id), artifact)
            )

        get.__name__ = f"get_{artifact}"
        app.get(
            f"{enhancement}/{artifact}",
            operation_id=f"get{artifact.capitalize()}",
            summary=summary,
            responses=found,
            tags=TAGS,
        )(get)

    add(Artifact.REPORT, "Get what was measured before and after, as JSON")
    add(Artifact.SPECTROGRAM, "Get the spectrogram before and after, as PNG")
    add(Artifact.WAVEFORM, "Get the waveform before and after, as PNG")
    add(Artifact.PEAKS, "Get the waveform's peaks, as JSON")


def _add_links(app: APIGatewayRestResolver, services: Services, enhancement: str) -> None:
    @app.get(
        f"{enhancement}/download/link",
        operation_id="getDownloadLink",
        summary="Get a short-lived link to the result",
        description="It needs no credentials: whoever has it can download the result while it lives.",
        responses=answers(200, NativeFileLink),
        tags=TAGS,
    )
    def download_link(enhancement_id: ResourceId) -> Response[NativeFileLink]:
        return _link(services(), services().downloads.url(client_of(app).id, resource_id(enhancement_id)))

    @app.get(
        f"{enhancement}/report/link",
        operation_id="getReportLink",
        summary="Get a short-lived link to the report",
        description="It needs no credentials and leads to JSON: what was measured before and after.",
        responses=answers(200, NativeFileLink),
        tags=TAGS,
    )
    def report_link(enhancement_id: ResourceId) -> Response[NativeFileLink]:
        return _link(
            services(),
            services().downloads.artifact_url(client_of(app).id, resource_id(enhancement_id), Artifact.REPORT),
        )


def _link(services: NativeServices, url: str) -> Response[NativeFileLink]:
    expires_at = services.clock.now() + timedelta(seconds=services.download_url_ttl_s)
    return as_json(HTTPStatus.OK, NativeFileLink(url=url, expires_at=expires_at), {"Cache-Control": "no-store"})
