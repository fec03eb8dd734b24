"""The native API: its door, its paths, its refusals. Each handler translates, calls the core once, translates back."""

from datetime import date
from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.rates import WINDOW_S, RateClass, RateState
from lambdas.core.usage import MAX_DAYS
from lambdas.dialects.common import JsonResolver
from lambdas.dialects.door import Door, FieldErrors, bearer_token, client_of
from lambdas.dialects.native import translate
from lambdas.dialects.native.answers import POLL_AFTER_S, PROBLEM, answers, as_json
from lambdas.dialects.native.asset_routes import ASSETS, add_assets
from lambdas.dialects.native.batch_routes import BATCHES, add_batches
from lambdas.dialects.native.enhancement_routes import ENHANCEMENT, ENHANCEMENTS, RUNS, add_enhancements
from lambdas.dialects.native.fields import Day
from lambdas.dialects.native.result_routes import add_results
from lambdas.dialects.native.services import Services
from lambdas.dialects.native.views import NativeUsage
from lambdas.dialects.native.webhook_routes import WEBHOOKS, add_webhooks

USAGE_DAYS = 30


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
    add_assets(app, services)
    add_enhancements(app, services)
    add_results(app, services, ENHANCEMENT)
    add_batches(app, services)
    _add_usage(app, services)
    add_webhooks(app, services)
    return app


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


def _refusal(app: APIGatewayRestResolver, error: DomainError, fields: FieldErrors) -> Response[str]:
    request_id = app.current_event.request_context.request_id or ""
    problem = translate.from_error(error, request_id=request_id, fields=fields)
    headers = {"Retry-After": str(error.retry_after_s or POLL_AFTER_S)} if problem.retryable else {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(problem.status, content_type=PROBLEM, body=problem.model_dump_json(), headers=headers)
