"""Our own metrics, as alarms and graphs see them."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.config import Config
from lambdas.core.metrics import NAMESPACE, Dimension, Metric


def service_metric(
    config: Config, metric: Metric, statistic: str = "Sum", *, period: Duration | None = None, lane: str | None = None
) -> cloudwatch.Metric:
    """Return ``metric`` of this stage, of one lane where it is counted by lane."""
    dimensions = {Dimension.STAGE.value: config.stage} | ({Dimension.LANE.value: lane} if lane else {})
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=metric.value,
        dimensions_map=dimensions,
        statistic=statistic,
        period=period or Duration.minutes(5),
        label=lane,
    )
