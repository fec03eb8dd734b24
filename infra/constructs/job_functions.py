"""The functions behind the two state machines and around them: what each reads, and all that each may do."""

from dataclasses import dataclass

from aws_cdk import Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import SAGEMAKER_URL_PLACEHOLDER, Config
from infra.constructs import grants
from infra.constructs.buckets import ASYNC_PREFIX, INPUT_PREFIX, ORDERS_PREFIX, OUTPUT_PREFIX, WET_PREFIX
from infra.constructs.cpu_lane import cpu_function_arn
from infra.constructs.functions import ServiceFunction, Spec, settings_environment
from infra.constructs.images import ContainerImage
from infra.constructs.job_table import INDEXES
from infra.constructs.machines import executions_arn, machine_arn
from infra.constructs.queues import ERASE_TIMEOUT_S, JobQueues
from infra.constructs.work_role import WorkRole
from infra.nag import accept_objects, accept_wildcard
from lambdas.core.workflow import ASSET_INTAKE, PROBE_LIMIT_S, FunctionName
from lambdas.settings import (
    AdmitSettings,
    CompleteSettings,
    DispatchSettings,
    EraseSettings,
    IntakeSettings,
    JobStepsSettings,
    SweepSettings,
)

ADMIT_TIMEOUT_S = 60
SWEEP_TIMEOUT_S = 50

_ONE_CPU_MIB = 1769
"""Lambda gives a whole virtual CPU from here on: a thousand stuck jobs are some thousand calls in a minute."""

_PROBE_HANDLER = "gpu_container.serving.lambda_handler.probe"


@dataclass(frozen=True)
class Stores:
    """What the functions share, made elsewhere."""

    table: dynamodb.ITable
    audio: s3.IBucket
    work: s3.IBucket
    key: kms.IKey
    admit_queue: sqs.IQueue
    queues: JobQueues
    keys: WorkRole
    image: ContainerImage | None
    """Of the functions that decode; None where they run from a zip."""


class JobFunctions:
    """Makes the functions in one scope; each method is one function and the whole list of what it may do."""

    def __init__(self, scope: Construct, config: Config, stores: Stores) -> None:
        self._scope = scope
        self._config = config
        self._stores = stores

    def intake(self) -> ServiceFunction:
        """Settle an upload: find it, mark the asset, ask for admission; have erased what belongs to no asset."""
        stores = self._stores
        environment = settings_environment(
            IntakeSettings,
            self._config,
            table=stores.table.table_name,
            audio_bucket=stores.audio.bucket_name,
            admit_queue_url=stores.admit_queue.queue_url,
            outcome_queue_url=stores.queues.outcome.queue_url,
            erase_queue_url=stores.queues.erase.queue_url,
        )
        function = self._make(Spec(FunctionName.INTAKE, environment))
        accept_objects(function, stores.audio, INPUT_PREFIX)
        return function.allow(
            self._table(),
            grants.objects_get(stores.audio, INPUT_PREFIX),
            grants.objects_exist(stores.audio, INPUT_PREFIX),
            # Whether another attempt is writing what one could not fetch.
            grants.uploads_list(stores.audio),
            grants.data_key_read(stores.key),
            grants.queue_send(stores.admit_queue),
            # An enhancement that waited for an upload that is no good ends here.
            grants.queue_send(stores.queues.outcome),
            grants.queue_send(stores.queues.erase),
        )

    def probe(self) -> ServiceFunction:
        """Decode an upload: it opens clients' bytes, so it may touch nothing but the one it was given the keys to."""
        local = {"CLEARTAKE_S3_ADDRESSING": "path"} if self._config.local else {}
        limit = {"CLEARTAKE_PROBE_LIMIT_S": str(PROBE_LIMIT_S)}
        environment = {**self._stores.keys.environment, **limit, **local}
        function = self._make(
            Spec(
                FunctionName.PROBE,
                environment,
                memory_mib=2048,
                timeout_s=ASSET_INTAKE.step("Probe").timeout_s,
                scratch_mib=10_240,
                image_handler=_PROBE_HANDLER,
            )
        )
        return function.allow(self._stores.keys.allow_asking())

    def admit(self, machine: sfn.IStateMachine) -> ServiceFunction:
        """Admit queued jobs: the only function that starts their executions."""
        environment = settings_environment(
            AdmitSettings,
            self._config,
            table=self._stores.table.table_name,
            state_machine_arn=machine.state_machine_arn,
            admit_queue_url=self._stores.admit_queue.queue_url,
            max_active_total=str(self._config.active_total),
        )
        function = self._make(Spec(FunctionName.ADMIT, environment, timeout_s=ADMIT_TIMEOUT_S))
        return function.allow(
            self._table_and_delete(),
            grants.machine_start(machine.state_machine_arn),
            grants.queue_send(self._stores.admit_queue),
        )

    def job_steps(self) -> ServiceFunction:
        """Claim, verify and finish a job, and tell of its end."""
        stores = self._stores
        environment = settings_environment(
            JobStepsSettings,
            self._config,
            table=stores.table.table_name,
            audio_bucket=stores.audio.bucket_name,
            admit_queue_url=stores.admit_queue.queue_url,
            outcome_queue_url=stores.queues.outcome.queue_url,
            gpu_instance_type=self._config.gpu_instance_type,
            gpu_concurrency=str(self._config.gpu_concurrency),
            cpu_memory_mib=str(self._config.cpu_memory_mib),
            cpu_architecture=self._config.cpu_architecture.value,
        )
        function = self._make(Spec(FunctionName.JOB_STEPS, environment))
        accept_objects(function, stores.audio, OUTPUT_PREFIX)
        return function.allow(
            self._table_and_delete(),
            grants.objects_get(stores.audio, OUTPUT_PREFIX),
            grants.objects_exist(stores.audio, OUTPUT_PREFIX),
            grants.data_key_read(stores.key),
            grants.queue_send(stores.admit_queue),
            grants.queue_send(stores.queues.outcome),
        )

    def dispatch(self) -> ServiceFunction:
        """Write the work order and hand it to a lane."""
        stores, has_gpu = self._stores, self._config.has_gpu
        gpu = {"endpoint_name": self._config.endpoint_name} if has_gpu else {}
        local = {"sagemaker_endpoint_url": SAGEMAKER_URL_PLACEHOLDER} if self._config.local and has_gpu else {}
        environment = settings_environment(
            DispatchSettings,
            self._config,
            table=stores.table.table_name,
            audio_bucket=stores.audio.bucket_name,
            work_bucket=stores.work.bucket_name,
            speeds=self._config.speeds_json,
            cpu_function=self._config.cpu_function_name,
            fan_out_machine_arn=machine_arn(self._scope, self._config.fan_out_name),
            dereverb=self._config.dereverb,
            report=self._config.report,
            **gpu,
            **local,
        )
        function = self._make(Spec(FunctionName.DISPATCH, environment))
        function.allow(
            self._table(),
            grants.function_invoke(cpu_function_arn(self._scope, self._config)),
            grants.machine_start(machine_arn(self._scope, self._config.fan_out_name)),
        )
        if not has_gpu:
            return function
        accept_objects(function, stores.work, ORDERS_PREFIX)
        endpoint = endpoint_arn(self._scope, self._config)
        return function.allow(
            grants.objects_put(stores.work, ORDERS_PREFIX),
            grants.data_key_write(stores.key),
            grants.endpoint_invoke(endpoint),
            grants.endpoint_watch(endpoint),
        )

    def complete(self, machine: sfn.IStateMachine) -> ServiceFunction:
        """Hear of the lanes' ends and of requests to stop, and end tasks accordingly."""
        stores = self._stores
        environment = settings_environment(
            CompleteSettings, self._config, table=stores.table.table_name, work_bucket=stores.work.bucket_name
        )
        function = self._make(Spec(FunctionName.COMPLETE, environment))
        accept_objects(function, stores.work, ASYNC_PREFIX)
        return function.allow(
            grants.table_get(stores.table),
            self._executions(function, self._config.fan_out_name),  # an end may be told without its output
            grants.objects_get(stores.work, ASYNC_PREFIX),
            grants.objects_exist(stores.work, ASYNC_PREFIX),
            grants.data_key_read(stores.key),
            grants.machine_answer(self._config, machine, "states:SendTaskSuccess", "states:SendTaskFailure"),
        )

    def sweep(self, machine: sfn.StateMachine, intake: sfn.IStateMachine) -> ServiceFunction:
        """Beat for jobs that wait for a worker, end those whose worker or notice was lost, send what was not sent.

        It also starts intakes whose event was lost; enhancements it may not start.
        """
        stores = self._stores
        drill = {"timer_scale": str(self._config.timer_scale)} if self._config.timer_scale != 1 else {}
        environment = settings_environment(
            SweepSettings,
            self._config,
            table=stores.table.table_name,
            state_machine_arn=machine.state_machine_arn,
            work_bucket=stores.work.bucket_name,
            admit_queue_url=stores.admit_queue.queue_url,
            outcome_queue_url=stores.queues.outcome.queue_url,
            erase_queue_url=stores.queues.erase.queue_url,
            intake_machine_arn=intake.state_machine_arn,
            **drill,
        )
        function = self._make(Spec(FunctionName.SWEEP, environment, memory_mib=_ONE_CPU_MIB, timeout_s=SWEEP_TIMEOUT_S))
        accept_objects(function, stores.work, ASYNC_PREFIX)
        return function.allow(
            self._table_and_delete(),
            grants.machine_answer(
                self._config,
                machine,
                "states:SendTaskHeartbeat",
                "states:SendTaskSuccess",
                "states:SendTaskFailure",
            ),
            grants.machine_start(intake.state_machine_arn),
            self._executions(function, machine.state_machine_name, self._config.fan_out_name),
            grants.objects_get(stores.work, ASYNC_PREFIX),
            grants.objects_exist(stores.work, ASYNC_PREFIX),
            grants.data_key_read(stores.key),
            grants.queue_send(stores.admit_queue),
            grants.queue_send(stores.queues.outcome),
            grants.queue_send(stores.queues.erase),
        )

    def erase(self) -> ServiceFunction:
        """Erase deleted assets: the only function that may delete objects, and it may read none."""
        stores = self._stores
        environment = settings_environment(
            EraseSettings,
            self._config,
            table=stores.table.table_name,
            audio_bucket=stores.audio.bucket_name,
            work_bucket=stores.work.bucket_name,
            admit_queue_url=stores.admit_queue.queue_url,
            stop_queue_url=stores.queues.stop.queue_url,
            outcome_queue_url=stores.queues.outcome.queue_url,
        )
        function = self._make(Spec(FunctionName.ERASE, environment, timeout_s=ERASE_TIMEOUT_S))
        erasable = ((stores.audio, INPUT_PREFIX), (stores.audio, OUTPUT_PREFIX), (stores.work, WET_PREFIX))
        for bucket, prefix in erasable:
            accept_objects(function, bucket, prefix)
            function.allow(grants.objects_erase(bucket, prefix))
        return function.allow(
            self._table_and_delete(),
            grants.uploads_abort(stores.audio, INPUT_PREFIX),
            grants.versions_list(stores.audio, INPUT_PREFIX, OUTPUT_PREFIX),
            grants.versions_list(stores.work, WET_PREFIX),
            grants.queue_send(stores.admit_queue),
            grants.queue_send(stores.queues.stop),
            grants.queue_send(stores.queues.outcome),
        )

    def _make(self, spec: Spec) -> ServiceFunction:
        return ServiceFunction(self._scope, self._config, spec, image=self._stores.image)

    def _executions(self, function: ServiceFunction, *machines: str) -> iam.PolicyStatement:
        """Allow asking how the executions of state machines fare, which need not exist yet."""
        arns = [executions_arn(self._scope, name) for name in machines]
        for arn in arns:
            accept_wildcard(function, arn, "Executions of one state machine: their names are made at run time.")
        return grants.executions_read(*arns)

    def _table(self) -> iam.PolicyStatement:
        return grants.table_use(self._stores.table, INDEXES, *grants.READ, *grants.WRITE)

    def _table_and_delete(self) -> iam.PolicyStatement:
        """Allow also what takes a job off the queue, or gives its uniqueness back."""
        return grants.table_use(self._stores.table, INDEXES, *grants.READ, *grants.WRITE, *grants.DELETE)


def endpoint_arn(scope: Construct, config: Config) -> str:
    """Return the ARN of the asynchronous endpoint, which need not exist yet."""
    return Stack.of(scope).format_arn(service="sagemaker", resource="endpoint", resource_name=config.endpoint_name)
