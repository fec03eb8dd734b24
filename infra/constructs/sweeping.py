"""Wakes the sweeper: each minute, and at once when an execution ends badly."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import Config
from infra.constructs.functions import ServiceFunction
from infra.constructs.queues import dead_letter_queue
from lambdas.core.workflow import SWEEP_INTERVAL_S

EXECUTION_EVENT = "Step Functions Execution Status Change"
BAD_ENDS = ("FAILED", "TIMED_OUT", "ABORTED")


class SweepTriggers(Construct):
    """A schedule and a rule; a missed rule event costs a minute, not a job."""

    def __init__(
        self, scope: Construct, name: str, config: Config, *, sweep: ServiceFunction, machine: sfn.IStateMachine
    ) -> None:
        super().__init__(scope, name)
        self.dead_letters: sqs.Queue = dead_letter_queue(self, "DeadLetters", config)
        events.Rule(
            self,
            "EachMinute",
            description="Looks for jobs that went silent",
            schedule=events.Schedule.rate(Duration.seconds(SWEEP_INTERVAL_S)),
            # The next minute comes anyway: an old tick is worth nothing.
            targets=[self._target(sweep, retries=0, age=Duration.minutes(1))],
        )
        events.Rule(
            self,
            "ExecutionEndedBadly",
            description="Frees what an execution held that ended outside its own error handling",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=[EXECUTION_EVENT],
                detail={"stateMachineArn": [machine.state_machine_arn], "status": list(BAD_ENDS)},
            ),
            targets=[self._target(sweep, retries=20, age=Duration.hours(6))],
        )

    def _target(self, sweep: ServiceFunction, *, retries: int, age: Duration) -> targets.LambdaFunction:
        return targets.LambdaFunction(
            sweep.function, dead_letter_queue=self.dead_letters, retry_attempts=retries, max_event_age=age
        )
