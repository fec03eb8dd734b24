"""One page that shows how the service does."""

from collections.abc import Sequence

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import PRODUCT, Config
from infra.constructs.endpoint_scaling import endpoint_metric
from infra.constructs.metrics import service_metric
from lambdas.core.metrics import Metric
from lambdas.core.routing import Lane


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
            _graph(
                "Latency, calls that wait included",
                api.metric_latency(statistic="p50"),
                api.metric_latency(statistic="p95"),
            ),
        ],
        [
            _graph("Jobs", machine.metric_started(), machine.metric_succeeded(), machine.metric_failed()),
            _graph("Waiting for admission", queue.metric_approximate_age_of_oldest_message()),
        ],
        *_own(config),
    ]
    if config.has_gpu and not config.local:
        rows.append(
            [
                _graph("GPU backlog", endpoint_metric(config, "ApproximateBacklogSize", "Maximum")),
                _graph("GPU backlog without capacity", endpoint_metric(config, "HasBacklogWithoutCapacity", "Maximum")),
            ]
        )
    cloudwatch.Dashboard(scope, "Dashboard", dashboard_name=f"{PRODUCT}-{config.stage}", widgets=rows)


def _own(config: Config) -> list[list[cloudwatch.IWidget]]:
    """Graph what the functions count themselves."""
    ends = (Metric.SUCCEEDED, Metric.FAILED, Metric.FAILED_BY_US, Metric.CANCELLED, Metric.RECOVERED)
    waits = [service_metric(config, Metric.QUEUE_WAIT, statistic) for statistic in ("p50", "p95")]
    return [
        [
            _graph("Enhancements ended", *(service_metric(config, metric) for metric in ends)),
            _graph(
                "Seconds in the queue",
                *(wait.with_(label=f"{wait.metric_name} {wait.statistic}") for wait in waits),
                service_metric(config, Metric.OLDEST_QUEUED, "Maximum"),
            ),
        ],
        [
            _graph("Seconds of sound enhanced", *_by_lane(config, Metric.AUDIO, "Sum")),
            _graph("Real-time factor", *_by_lane(config, Metric.REAL_TIME_FACTOR, "p50")),
        ],
        [
            _graph("USD per audio hour, of work alone", *_by_lane(config, Metric.USD_PER_AUDIO_HOUR, "Average")),
            _graph("Jobs that hold a slot", service_metric(config, Metric.ACTIVE, "Maximum")),
        ],
    ]


def _by_lane(config: Config, metric: Metric, statistic: str) -> list[cloudwatch.IMetric]:
    return [service_metric(config, metric, statistic, lane=lane) for lane in Lane]


def _graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=12)
