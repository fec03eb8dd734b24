"""Delivers every event again: twice, newest first, while the work goes on and once more after all of it is done.

The events are taken from where the product's own consumers get them, by a queue beside theirs, and delivered to the
same targets: an upload's event starts the intake's state machine as EventBridge does, a lane's notice goes to
``complete`` as SNS sends it, an execution's bad end to the sweeper.
"""

import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from infra.outputs import Output
from lambdas.core.services.sweeping import ENDED_BADLY
from lambdas.core.workflow import FunctionName
from scripts.chaos.scene import UNREACHABLE, Scene

NAME = "chaos-echo"
TIMES = 2
PERIOD_S = 4.0

Event = dict[str, Any]


def _open_to_topics(queue_arn: str) -> Event:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": ["sns.amazonaws.com", "events.amazonaws.com"]},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


@dataclass
class Echo:
    """Listens, and repeats what it heard."""

    scene: Scene
    heard: list[Event] = field(default_factory=list)
    delivered: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Set up a queue beside the product's own consumers and begin."""
        sqs, events, sns = (self.scene.aws(service) for service in ("sqs", "events", "sns"))
        url = sqs.create_queue(QueueName=NAME)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(_open_to_topics(arn))})
        outputs = self.scene.outputs
        patterns: dict[str, Event] = {
            "uploads": {"source": ["aws.s3"], "detail": {"bucket": {"name": [outputs[Output.AUDIO_BUCKET]]}}},
            "ends": {
                "source": ["aws.states"],
                "detail": {
                    "stateMachineArn": [outputs[Output.ENHANCEMENT_MACHINE_ARN]],
                    "status": sorted(ENDED_BADLY),
                },
            },
        }
        for name, pattern in patterns.items():
            events.put_rule(Name=f"{NAME}-{name}", EventPattern=json.dumps(pattern))
            events.put_targets(Rule=f"{NAME}-{name}", Targets=[{"Id": NAME, "Arn": arn}])
        for topic in (Output.SUCCESS_TOPIC_ARN, Output.ERROR_TOPIC_ARN):
            sns.subscribe(TopicArn=outputs[topic], Protocol="sqs", Endpoint=arn)
        self._thread = threading.Thread(target=self._run, args=(url,), name="echo", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Repeat nothing any more."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def repeat_everything(self) -> None:
        """Deliver all that was ever heard, newest first."""
        self._deliver(self.heard)

    def _run(self, url: str) -> None:
        while not self._stop.wait(PERIOD_S):
            with suppress(*UNREACHABLE):
                fresh = self._receive(url)
                self.heard += fresh
                self._deliver(fresh)

    def _receive(self, url: str) -> list[Event]:
        sqs, found = self.scene.aws("sqs"), []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def _deliver(self, events: Sequence[Event]) -> None:
        for event in reversed(events):
            for _ in range(TIMES):
                self._deliver_one(event)
                self.delivered += 1

    def _deliver_one(self, event: Event) -> None:
        match event:
            case {"source": "aws.s3"}:
                machine = self.scene.outputs[Output.INTAKE_MACHINE_ARN]
                self.scene.aws("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(event))
            case {"source": "aws.states"}:
                self.scene.invoke(FunctionName.SWEEP, event)
            case {"Type": "Notification"}:
                record = {"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": event}
                self.scene.invoke(FunctionName.COMPLETE, {"Records": [record]})
            case _:
                raise ValueError(f"an event of an unknown kind: {sorted(event)}")
