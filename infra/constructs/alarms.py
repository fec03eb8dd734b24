"""What wakes somebody: each alarm says what it means and goes to one topic."""

import re
from collections.abc import Iterable, Sequence

from aws_cdk import Duration
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import Config
from infra.constructs.endpoint_scaling import VARIANT, endpoint_metric
from infra.constructs.functions import ServiceFunction
from infra.constructs.metrics import service_metric
from infra.routes import ApiRoute
from lambdas.core.metrics import Metric

_FIVE_MINUTES = Duration.minutes(5)
_OLDEST_QUEUED_S = 15 * 60
_NO_CAPACITY_MINUTES = 20
_GPU_UP_HOURS = 6
_LATE_DELIVERY_S = 30 * 60
"""A message is delayed for a quarter of an hour at most; whatever is older waits for somebody to take it."""
_LATE_OUTCOME_S = 5 * 60
"""What was received three times, three minutes apart, SQS counts no more as the oldest."""
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

    def watch_deliveries(self, queue: sqs.IQueue) -> None:
        """Tell when webhooks are due that nobody sends."""
        metric = queue.metric_approximate_age_of_oldest_message(period=_FIVE_MINUTES)
        self._add("LateDeliveries", "A webhook has been due for a quarter of an hour", metric, _LATE_DELIVERY_S)

    def watch_outcomes(self, queue: sqs.IQueue) -> None:
        """Tell when ends of jobs wait to be announced: they are tried for two days before they are dead letters."""
        metric = queue.metric_approximate_age_of_oldest_message(period=_FIVE_MINUTES)
        self._add("LateOutcomes", "The end of a job has waited for five minutes", metric, _LATE_OUTCOME_S)

    def watch_api(self, api: apigateway.RestApi) -> None:
        """Tell when clients get server errors."""
        errors = api.metric_server_error(period=_FIVE_MINUTES, statistic="Average")
        self._add("ServerErrors", "More than 1 % of the answers are server errors", errors, _SERVER_ERROR_RATE)

    def watch_creating(self, api: apigateway.RestApi, routes: Iterable[ApiRoute]) -> None:
        """Tell when clients wait who did not ask to.

        Not the whole API's latency: ``GET …?wait=20`` is held until there is something to say, for twenty seconds if
        need be, and that is normal use. The gateway counts by method anyway (the stage's ``metrics_enabled``), cold
        starts and its own time included, which a function could not see of itself.
        """
        for route in routes:
            metric = cloudwatch.Metric(
                namespace="AWS/ApiGateway",
                metric_name="Latency",
                dimensions_map={
                    "ApiName": api.rest_api_name,
                    "Stage": self._config.stage,
                    "Method": route.method,
                    "Resource": route.path,
                },
                statistic="p95",
                period=_FIVE_MINUTES,
            )
            name = "".join(word.capitalize() for word in re.split(r"\W|_", route.path.rpartition("/")[2]))
            self._add(
                f"{route.function.value}{name}Latency",
                f"One {route.method} {route.path} in twenty takes more than 3 s",
                metric,
                _LATENCY_P95_MS,
                periods=3,
            )

    def watch_functions(self, functions: Sequence[ServiceFunction]) -> None:
        """Tell when what keeps jobs moving fails."""
        for function in functions:
            metric = function.function.metric_errors(period=_FIVE_MINUTES)
            self._add(f"{function.name.value}Errors", f"{function.name.value} fails", metric, 0, periods=2)

    def watch_throttles(self, functions: Sequence[ServiceFunction], table: dynamodb.ITable) -> None:
        """Tell when the account's concurrency, or the table's throughput, is too small for the work."""
        for function in functions:
            metric = function.function.metric_throttles(period=_FIVE_MINUTES)
            self._add(f"{function.name.value}Throttled", f"{function.name.value} is throttled", metric, 0, periods=2)
        for kind in ("Read", "Write"):
            metric = table.metric(f"{kind}ThrottleEvents", statistic="Sum", period=_FIVE_MINUTES)
            self._add(f"Table{kind}Throttled", f"The table throttles {kind.lower()}s", metric, 0, periods=2)

    def watch_jobs(self) -> None:
        """Tell when jobs fail by our fault, wait too long, or had to be helped by the sweeper; and when it is silent.

        A failure that the file is to blame for wakes nobody.
        """
        failed = service_metric(self._config, Metric.FAILED_BY_US)
        self._add("FailedByUs", "Enhancements fail that no file is to blame for", failed, 0)
        oldest = service_metric(self._config, Metric.OLDEST_QUEUED, "Maximum")
        self._add("OldestJob", "An enhancement has been queued for more than 15 minutes", oldest, _OLDEST_QUEUED_S)
        recovered = service_metric(self._config, Metric.RECOVERED)
        self._add("Recovered", "The sweeper found lost notices, workers or executions", recovered, 0)
        leaked = service_metric(self._config, Metric.LEAKED_SLOTS)
        self._add("SlotLeak", "The sweeper found slots that nobody held", leaked, 0)
        sweeps = service_metric(self._config, Metric.ACTIVE, "SampleCount")
        self._add("NoSweep", "The sweeper has said nothing for ten minutes", sweeps, 1, periods=2, when_silent=True)

    def watch_machine(self, name: str, machine: sfn.IStateMachine) -> None:
        """Tell when an execution ends outside its own error handling."""
        self._add(f"{name}Failed", f"{name} executions fail", machine.metric_failed(period=_FIVE_MINUTES), 0)
        self._add(f"{name}TimedOut", f"{name} executions time out", machine.metric_timed_out(period=_FIVE_MINUTES), 0)

    def watch_endpoint(self) -> None:
        """Tell when no GPU comes, for want of quota or capacity, and when one does not go."""
        metric = endpoint_metric(self._config, "HasBacklogWithoutCapacity", "Minimum")
        self._add("NoGpu", "Work has waited 20 minutes without an instance", metric, 0, periods=_NO_CAPACITY_MINUTES)
        # Only an instance that runs reports its load.
        running = cloudwatch.Metric(
            namespace="/aws/sagemaker/Endpoints",
            metric_name="CPUUtilization",
            dimensions_map={"EndpointName": self._config.endpoint_name, "VariantName": VARIANT},
            statistic="SampleCount",
            period=Duration.hours(1),
        )
        self._add("GpuUpForHours", "A GPU has been running for six hours", running, 0, periods=_GPU_UP_HOURS)

    def _add(
        self,
        name: str,
        description: str,
        metric: cloudwatch.IMetric,
        threshold: float,
        *,
        periods: int = 1,
        when_silent: bool = False,
    ) -> None:
        """Add an alarm on more than ``threshold``, or ``when_silent`` on less than it and on nothing at all."""
        operator, treatment = cloudwatch.ComparisonOperator, cloudwatch.TreatMissingData
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=operator.LESS_THAN_THRESHOLD if when_silent else operator.GREATER_THAN_THRESHOLD,
            treat_missing_data=treatment.BREACHING if when_silent else treatment.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        self.all.append(alarm)
