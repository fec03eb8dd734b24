"""An upload starts its intake: S3 → EventBridge → state machine."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import Config
from infra.constructs.buckets import INPUT_PREFIX
from infra.constructs.queues import dead_letter_queue


class IntakeTrigger(Construct):
    """Every new object under the input prefix starts one execution; what cannot start waits in a queue."""

    def __init__(
        self, scope: Construct, name: str, config: Config, *, bucket: s3.IBucket, machine: sfn.IStateMachine
    ) -> None:
        super().__init__(scope, name)
        self.dead_letters: sqs.Queue = dead_letter_queue(self, "DeadLetters", config)
        events.Rule(
            self,
            "Uploaded",
            description="An upload arrived",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={"bucket": {"name": [bucket.bucket_name]}, "object": {"key": [{"prefix": INPUT_PREFIX}]}},
            ),
            targets=[
                targets.SfnStateMachine(
                    machine,
                    dead_letter_queue=self.dead_letters,
                    retry_attempts=20,
                    max_event_age=Duration.hours(6),
                )
            ],
        )
