"""Scales the endpoint with its backlog, down to nothing when there is none."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.config import Config

VARIANT = "AllTraffic"
_MINUTE = Duration.minutes(1)


class EndpointScaling(Construct):
    """Two policies, because a metric per instance says nothing while there is no instance."""

    def __init__(self, scope: Construct, name: str, config: Config, *, endpoint: sagemaker.CfnEndpoint) -> None:
        super().__init__(scope, name)
        self._config = config
        self._target = scaling.ScalableTarget(
            self,
            "Target",
            service_namespace=scaling.ServiceNamespace.SAGEMAKER,
            resource_id=f"endpoint/{config.endpoint_name}/variant/{VARIANT}",
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            min_capacity=0,
            max_capacity=config.max_gpu_instances,
            role=_service_linked_role(self),
        )
        self._target.node.add_dependency(endpoint)
        self._track_backlog()
        self.waiting_alarm = self._wake()

    def _track_backlog(self) -> None:
        self._target.scale_to_track_metric(
            "Backlog",
            custom_metric=endpoint_metric(self._config, "ApproximateBacklogSizePerInstance", "Average"),
            target_value=self._config.gpu_backlog_per_instance,
            scale_in_cooldown=Duration.minutes(10),  # a cold start costs minutes: do not let go at the first pause
            scale_out_cooldown=Duration.minutes(2),
        )

    def _wake(self) -> cloudwatch.Alarm:
        """Start the first instance as soon as something waits and nobody works."""
        wake = scaling.StepScalingAction(
            self,
            "Wake",
            scaling_target=self._target,
            adjustment_type=scaling.AdjustmentType.EXACT_CAPACITY,
            cooldown=Duration.minutes(5),
            metric_aggregation_type=scaling.MetricAggregationType.MAXIMUM,
        )
        wake.add_adjustment(adjustment=1, lower_bound=0)
        alarm = cloudwatch.Alarm(
            self,
            "Waiting",
            alarm_description="Work waits and no instance runs: the first one is started",
            metric=endpoint_metric(self._config, "HasBacklogWithoutCapacity", "Maximum"),
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.ApplicationScalingAction(wake))
        return alarm


def _service_linked_role(scope: Construct) -> iam.IRole:
    """Name the role that Application Auto Scaling makes for itself; the CDK would make one that nobody uses."""
    arn = Stack.of(scope).format_arn(
        service="iam",
        region="",
        resource="role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com",
        resource_name="AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
    )
    return iam.Role.from_role_arn(scope, "ServiceLinkedRole", arn, mutable=False)


def endpoint_metric(config: Config, name: str, statistic: str) -> cloudwatch.Metric:
    """Return one of the metrics SageMaker keeps for an asynchronous endpoint."""
    return cloudwatch.Metric(
        namespace="AWS/SageMaker",
        metric_name=name,
        dimensions_map={"EndpointName": config.endpoint_name},
        statistic=statistic,
        period=_MINUTE,
    )
