"""From an upload to an enhanced file: state machines, their functions, admission, notices, the lanes."""

from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.config import Config
from infra.constructs.cpu_lane import cpu_lane
from infra.constructs.fetching import Fetching
from infra.constructs.functions import ServiceFunction
from infra.constructs.gpu_endpoint import GpuEndpoint
from infra.constructs.images import container_images
from infra.constructs.intake_trigger import IntakeTrigger
from infra.constructs.job_functions import ADMIT_TIMEOUT_S, JobFunctions, Stores
from infra.constructs.machines import Workflow
from infra.constructs.notices import Notices
from infra.constructs.publish import publish
from infra.constructs.queues import JobQueues, admission_queue, dead_letter_queue
from infra.constructs.sweeping import SweepTriggers
from infra.constructs.webhooks import Webhooks
from infra.constructs.work_role import WorkRole
from infra.outputs import Output
from infra.stacks.base import BaseStack
from infra.stacks.data import DataStack
from lambdas.core.workflow import ASSET_INTAKE, ENHANCEMENT, FAN_OUT, FunctionName

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
        keys = WorkRole(self, "Keys", config, table=data.table, audio=data.audio, work=data.work, key=data.data_key)
        images = None if config.local else container_images(self, config)
        cpu_image = images.cpu if images else None
        stores = Stores(
            data.table, data.audio, data.work, data.data_key, self.admit_queue, self.queues, keys, cpu_image
        )
        functions = JobFunctions(self, config, stores)
        steps = {made.name: made for made in _step_functions(functions)}
        self.intake = Workflow(self, config, ASSET_INTAKE, steps).machine
        self.enhancement = Workflow(self, config, ENHANCEMENT, steps).machine
        keys.allow_heartbeats(self.enhancement)

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
        sweep = functions.sweep(self.enhancement, self.intake)
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
        cpu = cpu_lane(self, config, keys=keys, notices=self.notices, image=cpu_image)
        fan_out = Workflow(self, config, FAN_OUT, {cpu.name: cpu}, physical_name=config.fan_out_name)
        self.fan_out = fan_out.machine
        self.notices.deliver_fan_out(self.fan_out, complete, lost_notices)
        outward = (self.webhooks.announce, self.webhooks.deliver, self.fetching.fetch, self.fetching.lost)
        self.watched = (admit, sweep, complete, erase, cpu, keys.access, *outward, *steps.values())
        if images and images.gpu:
            GpuEndpoint(
                self,
                "Gpu",
                config,
                work=data.work,
                key=data.data_key,
                keys=keys,
                notices=self.notices,
                image=images.gpu,
            )
        self._publish(config)

    def _publish(self, config: Config) -> None:
        publish(self, Output.ADMIT_QUEUE_URL, self.admit_queue.queue_url)
        publish(self, Output.STOP_QUEUE_URL, self.queues.stop.queue_url)
        publish(self, Output.OUTCOME_QUEUE_URL, self.queues.outcome.queue_url)
        publish(self, Output.ERASE_QUEUE_URL, self.queues.erase.queue_url)
        publish(self, Output.FETCH_QUEUE_URL, self.fetching.queue.queue_url)
        publish(self, Output.FETCH_ROLE_ARN, self.fetching.fetch.role.role_arn)
        publish(self, Output.DELIVERY_QUEUE_URL, self.webhooks.queue.queue_url)
        publish(self, Output.INTAKE_MACHINE_ARN, self.intake.state_machine_arn)
        publish(self, Output.ENHANCEMENT_MACHINE_ARN, self.enhancement.state_machine_arn)
        publish(self, Output.FAN_OUT_MACHINE_ARN, self.fan_out.state_machine_arn)
        if config.models_mirror:
            publish(self, Output.MODELS_MIRROR, config.models_mirror)
        if config.has_gpu:
            publish(self, Output.ENDPOINT_NAME, config.endpoint_name)


def _step_functions(functions: JobFunctions) -> tuple[ServiceFunction, ...]:
    return (functions.intake(), functions.probe(), functions.job_steps(), functions.dispatch())
