"""What an order's worker may touch: a role that names its objects by the tags of its session.

Written out here instead of in a policy handed over with each session: it is seen in a review, it is never longer than
what STS takes, and a session made without its tags reaches nothing instead of everything.
"""

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import Config
from infra.constructs import grants
from infra.constructs.buckets import INPUT_PREFIX, OUTPUT_PREFIX, WET_PREFIX
from infra.constructs.functions import ServiceFunction, Spec, function_role, settings_environment
from infra.nag import accept_objects
from lambdas.core.access import Tag
from lambdas.core.workflow import FunctionName
from lambdas.settings import AccessSettings

_MEMORY_MIB = 1024
"""Every order waits for it: more memory is more CPU, and a shorter cold start."""

_READ = ("s3:GetObject", "s3:GetObjectVersion")
_WRITE = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")


def tagged(tag: Tag) -> str:
    """Return the policy variable that stands for the value of a session's tag."""
    return f"${{aws:PrincipalTag/{tag.value}}}"


UPLOAD_KEY = f"{INPUT_PREFIX}{tagged(Tag.UPLOAD)}"
RESULT_KEY = f"{OUTPUT_PREFIX}{tagged(Tag.UPLOAD)}/{tagged(Tag.JOB)}"
WET_KEY = f"{WET_PREFIX}{tagged(Tag.UPLOAD)}/{tagged(Tag.WET)}"
BESIDE_RESULT = f"{RESULT_KEY}."
"""What the keys of its report and pictures begin with."""
WET_PARTS = f"{WET_KEY}.parts/"
"""What the keys of a wet track begin with that is made in parts."""


class WorkRole(Construct):
    """The role of all workers, and the one function that lends it."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        config: Config,
        *,
        table: dynamodb.ITable,
        audio: s3.IBucket,
        work: s3.IBucket,
        key: kms.IKey,
    ) -> None:
        super().__init__(scope, name)
        self._config = config
        lender = function_role(self, FunctionName.ACCESS)
        self.role = iam.Role(
            self,
            "WorkRole",
            assumed_by=iam.SessionTagsPrincipal(iam.ArnPrincipal(lender.role_arn)),
            description="Opens one order's objects, which the session's tags name",
        )
        for statement in (
            grants.objects(audio, [UPLOAD_KEY], *_READ),
            grants.objects(audio, [RESULT_KEY, f"{BESIDE_RESULT}*"], *_WRITE),
            grants.objects(work, [WET_KEY, f"{WET_PARTS}*"], *_WRITE),
            grants.data_key_write_by_s3(key),
            grants.table_progress(table, f"C#{tagged(Tag.CLIENT)}"),
        ):
            self.role.add_to_policy(statement)
        accept_objects(self.role, audio, BESIDE_RESULT)
        accept_objects(self.role, work, WET_PARTS)
        environment = settings_environment(
            AccessSettings,
            config,
            table=table.table_name,
            work_role_arn=self.role.role_arn,
            dereverb=config.dereverb,
        )
        spec = Spec(FunctionName.ACCESS, environment, memory_mib=_MEMORY_MIB)
        self.access = ServiceFunction(self, config, spec, role=lender).allow(
            grants.table_get(table), grants.role_assume_tagged(self.role)
        )

    @property
    def environment(self) -> dict[str, str]:
        """What a worker's process must know in order to ask."""
        return {"CLEARTAKE_ACCESS_FUNCTION": self.access.function.function_name}

    def allow_asking(self) -> iam.PolicyStatement:
        """Allow a worker's own role to ask for an order's keys."""
        return grants.function_invoke(self.access.function.function_arn)

    def allow_heartbeats(self, machine: sfn.IStateMachine) -> None:
        """Let workers say that they live, never that they succeeded: that is for the function that checks.

        The token is the proof: the service knows no narrower resource than the state machine.
        """
        self.role.add_to_policy(grants.machine_answer(self._config, machine, "states:SendTaskHeartbeat"))
