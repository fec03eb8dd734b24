"""From an upload to an enhanced file: state machines, their functions, admission, notices, the lanes."""

from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.config import Config
from infra.constructs.cpu_lane import cpu_lane
from infra.constructs.fetching import Fetching
from infra.constructs.functions import ServiceFunction
from infra.constructs.gpu_endpoint import GpuEndpoint
from infra.constructs.intake_trigger import IntakeTrigger
from infra.constructs.job_functions import ADMIT_TIMEOUT_S, JobFunctions, Stores
from infra.constructs.machines import Workflow
from infra.constructs.notices import Notices
from infra.constructs.publish import publish
from infra.constructs.queues import JobQueues, admission_queue, dead_letter_queue
from infra.constructs.sweeping import SweepTriggers
from infra.constructs.webhooks import Webhooks
from infra.outputs import Output
from infra.stacks.base import BaseStack
from infra.stacks.data import DataStack
from lambdas.core.workflow import ASSET_INTAKE, ENHANCEMENT, FunctionName

ADMISSIONS_AT_ONCE = 2
"""The fewest that Lambda offers. Each round serves all clients: rounds side by side fight for the same rows."""


class EngineStack(BaseStack):
    """Everything that happens without a client waiting for it."""

    def __init__(self, scope: Construct, config: Config, *, data: DataStack) -> None:
        super().__init__(scope, config, "engine", "Workflows and lanes")
        admit_dead_letters = dead_letter_queue(self, "AdmitDeadLetters", config, fifo=True)
        self.admit_queue = admission_queue(
            self, "AdmitQueue", config, dead_letters=admit_dead_letters, consumer_timeout_s=ADMIT_TIMEOUT_S
        )
        self.queues = JobQueues(self, "Queues", config)
        stores = Stores(data.table, data.audio, data.work, data.data_key, self.admit_queue, self.queues)
        functions = JobFunctions(self, config, stores)
        steps = {made.name: made for made in _step_functions(functions)}
        self.intake = Workflow(self, config, ASSET_INTAKE, steps).machine
        self.enhancement = Workflow(self, config, ENHANCEMENT, steps).machine

        trigger = IntakeTrigger(self, "IntakeTrigger", config, bucket=data.audio, machine=self.intake)
        admit = functions.admit(self.enhancement)
        admit.function.add_event_source(
            event_sources.SqsEventSource(
                self.admit_queue, batch_size=10, report_batch_item_failures=True, max_concurrency=ADMISSIONS_AT_ONCE
            )
        )
        self.notices = Notices(self, "Notices", config, key=data.data_key)
        complete = functions.complete(self.enhancement)
        lost_notices = self.notices.deliver_to(complete)
        complete.function.add_event_source(event_sources.SqsEventSource(self.queues.stop, batch_size=1))
        erase = functions.erase()
        erase.function.add_event_source(
            event_sources.SqsEventSource(self.queues.erase, batch_size=1, report_batch_item_failures=True)
        )
        sweep = functions.sweep(self.enhancement)
        sweeping = SweepTriggers(self, "SweepTriggers", config, sweep=sweep, machine=self.enhancement)
        self.webhooks = Webhooks(
            self, "Webhooks", config, table=data.table, key=data.webhook_key, outcomes=self.queues.outcome
        )
        intake = steps[FunctionName.INTAKE]
        self.fetching = Fetching(self, "Fetching", config, audio=data.audio, key=data.data_key, intake=intake)
        self.dead_letters: tuple[sqs.Queue, ...] = (
            admit_dead_letters,
            trigger.dead_letters,
            lost_notices,
            sweeping.dead_letters,
            self.webhooks.dead_letters,
            *self.fetching.dead_letters,
            *self.queues.dead_letters,
        )
        cpu = cpu_lane(
            self,
            config,
            table=data.table,
            audio=data.audio,
            work=data.work,
            key=data.data_key,
            machine=self.enhancement,
            notices=self.notices,
        )
        outward = (self.webhooks.announce, self.webhooks.deliver, self.fetching.fetch)
        self.watched = (admit, sweep, complete, erase, cpu, *outward, *steps.values())
        if config.has_gpu and not config.local:
            self._add_gpu(config, data)
        self._publish(config)

    def _add_gpu(self, config: Config, data: DataStack) -> None:
        GpuEndpoint(
            self,
            "Gpu",
            config,
            table=data.table,
            audio=data.audio,
            work=data.work,
            key=data.data_key,
            machine=self.enhancement,
            notices=self.notices,
        )

    def _publish(self, config: Config) -> None:
        publish(self, Output.ADMIT_QUEUE_URL, self.admit_queue.queue_url)
        publish(self, Output.STOP_QUEUE_URL, self.queues.stop.queue_url)
        publish(self, Output.OUTCOME_QUEUE_URL, self.queues.outcome.queue_url)
        publish(self, Output.ERASE_QUEUE_URL, self.queues.erase.queue_url)
        publish(self, Output.FETCH_QUEUE_URL, self.fetching.queue.queue_url)
        publish(self, Output.DELIVERY_QUEUE_URL, self.webhooks.queue.queue_url)
        publish(self, Output.INTAKE_MACHINE_ARN, self.intake.state_machine_arn)
        publish(self, Output.ENHANCEMENT_MACHINE_ARN, self.enhancement.state_machine_arn)
        if config.has_gpu:
            publish(self, Output.ENDPOINT_NAME, config.endpoint_name)


def _step_functions(functions: JobFunctions) -> tuple[ServiceFunction, ...]:
    return (functions.intake(), functions.probe(), functions.job_steps(), functions.dispatch())
