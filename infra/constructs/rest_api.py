"""The one REST API: every route of every dialect, and an answer in the dialect's format for everything else."""

import json
from collections.abc import Iterable, Mapping

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.config import Config
from infra.constructs.functions import ServiceFunction
from infra.constructs.gateway_responses import add_gateway_responses
from infra.constructs.logs import log_group
from infra.nag import accept, accept_managed_policy
from infra.routes import ApiPrefix, ApiRoute
from lambdas.core.workflow import FunctionName

ACCESS_LOG_FIELDS: Mapping[str, str] = {
    "requestId": "$context.requestId",
    "requestTime": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "userAgent": "$context.identity.userAgent",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "resource": "$context.resourcePath",
    "status": "$context.status",
    "responseBytes": "$context.responseLength",
    "latencyMs": "$context.responseLatency",
    "integrationMs": "$context.integrationLatency",
    "wafResponse": "$context.wafResponseCode",
    "error": "$context.error.responseType",
}
"""No query string: the token endpoint may carry a secret there."""

ANY = "ANY"
PROXY = "{proxy+}"


class RestApi(Construct):
    """Regional, throttled, with access logs; authentication is the dialects' own (each has its own error bodies)."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        config: Config,
        *,
        functions: Mapping[FunctionName, ServiceFunction],
        routes: Iterable[ApiRoute],
        own_routes: Iterable[ApiRoute],
        prefixes: Iterable[ApiPrefix],
        fallback: FunctionName,
    ) -> None:
        super().__init__(scope, name)
        self._integrations = {key: _integration(made) for key, made in functions.items()}
        self._taken: set[tuple[str, str]] = set()
        self.api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=f"Cleartake {config.stage}",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=True,
            disable_execute_api_endpoint=config.domain_name is not None,
            deploy_options=_stage_options(self, config),
        )
        for prefix in prefixes:
            self._add_prefix(prefix)
        for route in routes:
            self._add_route(route)
        for route in own_routes:
            self._add(route.method, route.path, route.function)
            self._add(ANY, route.path, fallback)
        self._add(ANY, "/", fallback)
        self._add(ANY, f"/{PROXY}", fallback)
        add_gateway_responses(self.api)
        _accept_findings(self)

    def _add_prefix(self, prefix: ApiPrefix) -> None:
        self._add(ANY, prefix.path, prefix.function)
        self._add(ANY, f"{prefix.path}/{PROXY}", prefix.function)

    def _add_route(self, route: ApiRoute) -> None:
        """Add the route, and on each resource of its path any other method: the dialect answers 405 or 404."""
        self._add(route.method, route.path, route.function)
        parts = route.path.strip("/").split("/")
        for depth in range(2, len(parts) + 1):
            self._add(ANY, "/" + "/".join(parts[:depth]), route.function)

    def _add(self, method: str, path: str, function: FunctionName) -> None:
        if (method, path) in self._taken:
            return
        self._taken.add((method, path))
        resource = self.api.root if path == "/" else self.api.root.resource_for_path(path)
        resource.add_method(method, self._integrations[function])


def _integration(function: ServiceFunction) -> apigateway.LambdaIntegration:
    # One permission for the whole API: one for each method would outgrow the function's policy.
    return apigateway.LambdaIntegration(function.function, scope_permission_to_method=False)


def _stage_options(scope: Construct, config: Config) -> apigateway.StageOptions:
    return apigateway.StageOptions(
        stage_name=config.stage,
        throttling_rate_limit=config.throttle_rate_per_s,
        throttling_burst_limit=config.throttle_burst,
        metrics_enabled=True,
        access_log_destination=apigateway.LogGroupLogDestination(log_group(scope, "AccessLogs", config)),
        access_log_format=apigateway.AccessLogFormat.custom(json.dumps(dict(ACCESS_LOG_FIELDS))),
        # Execution logs and the gateway's own traces show query strings; the functions are traced themselves.
        logging_level=apigateway.MethodLoggingLevel.OFF,
        data_trace_enabled=False,
        tracing_enabled=False,
    )


def _accept_findings(scope: Construct) -> None:
    own = "The dialect's middleware authenticates: each dialect has its own header scheme and its own error bodies."
    for rule, reason in (
        ("AwsSolutions-APIG4", own),
        ("AwsSolutions-COG4", own),
        ("AwsSolutions-APIG2", "The dialect's models validate each request and answer in the dialect's format."),
        ("AwsSolutions-APIG6", "Execution logs show query strings, where a token request may carry a secret."),
    ):
        accept(scope, rule, reason)
    accept_managed_policy(
        scope,
        iam.ManagedPolicy.from_aws_managed_policy_name("service-role/AmazonAPIGatewayPushToCloudWatchLogs"),
        "API Gateway's account-wide logging role is meant to carry exactly this policy.",
    )
