"""What a lane says when an order's work ends: two topics, a rule, and the one function that may end tasks."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import Config
from infra.constructs.functions import ServiceFunction
from infra.constructs.publish import publish
from infra.constructs.queues import dead_letter_queue
from infra.constructs.sweeping import BAD_ENDS, EXECUTION_EVENT
from infra.outputs import Output


class Notices(Construct):
    """Topics for success and error, encrypted with the app's own key so that the endpoint's role may publish."""

    def __init__(self, scope: Construct, name: str, config: Config, *, key: kms.IKey) -> None:
        super().__init__(scope, name)
        self._config = config
        self._key = key
        self.success = self._topic("Success")
        self.error = self._topic("Error")
        publish(self, Output.SUCCESS_TOPIC_ARN, self.success.topic_arn)
        publish(self, Output.ERROR_TOPIC_ARN, self.error.topic_arn)

    def _topic(self, name: str) -> sns.Topic:
        return sns.Topic(self, name, master_key=self._key, enforce_ssl=not self._config.local)

    def deliver_to(self, complete: ServiceFunction) -> sqs.Queue:
        """Subscribe ``complete`` to both topics and return the queue of what it never got or never finished."""
        dead_letters = dead_letter_queue(self, "DeadLetters", self._config)
        # SNS is done once Lambda has taken the notice: what the function then fails at goes the same way.
        complete.function.configure_async_invoke(retry_attempts=2, on_failure=destinations.SqsDestination(dead_letters))
        for topic in (self.success, self.error):
            topic.add_subscription(subscriptions.LambdaSubscription(complete.function, dead_letter_queue=dead_letters))
        return dead_letters

    def deliver_fan_out(self, machine: sfn.IStateMachine, complete: ServiceFunction, dead_letters: sqs.IQueue) -> None:
        """Tell ``complete`` of every end of the machine's executions; a part's belongs to no machine of this ARN."""
        events.Rule(
            self,
            "FanOutEnded",
            description="Ends the task that waits for a fan-out",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=[EXECUTION_EVENT],
                detail={"stateMachineArn": [machine.state_machine_arn], "status": ["SUCCEEDED", *BAD_ENDS]},
            ),
            targets=[
                targets.LambdaFunction(
                    complete.function,
                    dead_letter_queue=dead_letters,
                    retry_attempts=20,
                    max_event_age=Duration.hours(6),
                )
            ],
        )

    def allow_publishing(self) -> list[iam.PolicyStatement]:
        """Return what a role needs in order to publish to the topics."""
        return [
            iam.PolicyStatement(actions=["sns:Publish"], resources=[self.success.topic_arn, self.error.topic_arn]),
            iam.PolicyStatement(actions=["kms:GenerateDataKey", "kms:Decrypt"], resources=[self._key.key_arn]),
        ]
