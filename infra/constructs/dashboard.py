"""One page that shows how the service does."""

from collections.abc import Sequence

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import PRODUCT, Config
from infra.constructs.endpoint_scaling import endpoint_metric


def add_dashboard(
    scope: Construct,
    config: Config,
    *,
    api: apigateway.RestApi,
    queue: sqs.IQueue,
    machine: sfn.IStateMachine,
    alarms: Sequence[cloudwatch.IAlarm],
) -> None:
    """Add the dashboard: alarms first, then requests, jobs, and the GPU where there is one."""
    rows: list[list[cloudwatch.IWidget]] = [
        [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=24)],
        [
            _graph("Requests", api.metric_count(), api.metric_client_error(), api.metric_server_error()),
            _graph("Latency", api.metric_latency(statistic="p50"), api.metric_latency(statistic="p95")),
        ],
        [
            _graph("Jobs", machine.metric_started(), machine.metric_succeeded(), machine.metric_failed()),
            _graph("Waiting for admission", queue.metric_approximate_age_of_oldest_message()),
        ],
    ]
    if config.has_gpu and not config.local:
        rows.append(
            [
                _graph("GPU backlog", endpoint_metric(config, "ApproximateBacklogSize", "Maximum")),
                _graph("GPU backlog without capacity", endpoint_metric(config, "HasBacklogWithoutCapacity", "Maximum")),
            ]
        )
    cloudwatch.Dashboard(scope, "Dashboard", dashboard_name=f"{PRODUCT}-{config.stage}", widgets=rows)


def _graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=12)
