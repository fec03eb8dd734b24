"""What wakes somebody: each alarm says what it means and goes to one topic."""

from collections.abc import Iterable, Sequence

from aws_cdk import Duration
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import Config
from infra.constructs.endpoint_scaling import endpoint_metric
from infra.constructs.functions import ServiceFunction

_FIVE_MINUTES = Duration.minutes(5)
_OLDEST_QUEUED_S = 15 * 60
_NO_CAPACITY_MINUTES = 20
_SERVER_ERROR_RATE = 0.01
_LATENCY_P95_MS = 3000


class Alarms(Construct):
    """The topic and every alarm that publishes to it."""

    def __init__(self, scope: Construct, name: str, config: Config) -> None:
        super().__init__(scope, name)
        self._config = config
        self.topic = sns.Topic(self, "Topic", enforce_ssl=not config.local)
        self._let_alarms_publish()
        if config.alarm_email:
            self.topic.add_subscription(subscriptions.EmailSubscription(config.alarm_email))
        self.all: list[cloudwatch.Alarm] = []

    def _let_alarms_publish(self) -> None:
        """Say it in so many words: a policy that only denies plain HTTP replaces the one that lets the owner in."""
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                actions=["sns:Publish"],
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                resources=[self.topic.topic_arn],
            )
        )

    def watch_dead_letters(self, queues: Iterable[sqs.IQueue]) -> None:
        """Tell when anything at all could not be delivered."""
        for queue in queues:
            name = queue.node.path.split("/", 1)[1].replace("/", "")
            metric = queue.metric_approximate_number_of_messages_visible(period=_FIVE_MINUTES)
            self._add(name, f"{name} holds undelivered messages", metric, 0)

    def watch_queue(self, queue: sqs.IQueue) -> None:
        """Tell when admissions stall."""
        metric = queue.metric_approximate_age_of_oldest_message(period=_FIVE_MINUTES)
        self._add("OldestQueued", "An admission waits for more than 15 minutes", metric, _OLDEST_QUEUED_S)

    def watch_api(self, api: apigateway.RestApi) -> None:
        """Tell when clients get server errors or wait."""
        errors = api.metric_server_error(period=_FIVE_MINUTES, statistic="Average")
        self._add("ServerErrors", "More than 1 % of the answers are server errors", errors, _SERVER_ERROR_RATE)
        latency = api.metric_latency(period=_FIVE_MINUTES, statistic="p95")
        self._add("Latency", "One request in twenty takes more than 3 s", latency, _LATENCY_P95_MS, periods=3)

    def watch_functions(self, functions: Sequence[ServiceFunction]) -> None:
        """Tell when what keeps jobs moving fails."""
        for function in functions:
            metric = function.function.metric_errors(period=_FIVE_MINUTES)
            self._add(f"{function.name.value}Errors", f"{function.name.value} fails", metric, 0, periods=2)

    def watch_machine(self, name: str, machine: sfn.IStateMachine) -> None:
        """Tell when an execution ends outside its own error handling."""
        self._add(f"{name}Failed", f"{name} executions fail", machine.metric_failed(period=_FIVE_MINUTES), 0)
        self._add(f"{name}TimedOut", f"{name} executions time out", machine.metric_timed_out(period=_FIVE_MINUTES), 0)

    def watch_endpoint(self) -> None:
        """Tell when no GPU comes: quota or capacity."""
        metric = endpoint_metric(self._config, "HasBacklogWithoutCapacity", "Minimum")
        self._add("NoGpu", "Work has waited 20 minutes without an instance", metric, 0, periods=_NO_CAPACITY_MINUTES)

    def _add(
        self, name: str, description: str, metric: cloudwatch.IMetric, threshold: float, *, periods: int = 1
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        self.all.append(alarm)
