"""Serves one dialect: which one, the environment says."""

from functools import lru_cache
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import bootstrap
from lambdas.dialects.common import routes_of
from lambdas.dialects.cors import Cors
from lambdas.dialects.registry import dialect
from lambdas.entrypoints.logs import logger

SERVICES = {
    "adobe": bootstrap.adobe_services,
    "adobe-v2": bootstrap.adobe_v2_services,
    "native": bootstrap.native_services,
}


@lru_cache
def _resolver() -> APIGatewayRestResolver:
    name = bootstrap.api_settings().dialect
    return dialect(name).build(SERVICES[name])


@lru_cache
def _cors() -> Cors:
    return Cors(frozenset(bootstrap.api_settings().cors_origins))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway proxy event."""
    resolver, cors = _resolver(), _cors()
    return cors.preflight(event, routes_of(resolver)) or cors.opened(event, resolver.resolve(event, context))
