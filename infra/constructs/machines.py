"""The state machines, rendered from the core's tables."""

import json
from collections.abc import Mapping

from aws_cdk import Aws, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import PRODUCT, Config
from infra.constructs.asl import CALL_AND_WAIT, to_asl
from infra.constructs.functions import ServiceFunction
from infra.constructs.logs import log_group
from infra.nag import accept_wildcard
from lambdas.core.workflow import FunctionName, Machine


class Workflow(Construct):
    """One standard state machine; it may call the functions its table names, and nothing else."""

    def __init__(
        self, scope: Construct, config: Config, table: Machine, functions: Mapping[FunctionName, ServiceFunction]
    ) -> None:
        super().__init__(scope, table.name)
        used = {step.function: functions[step.function].function for step in table.steps}
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            definition_body=sfn.DefinitionBody.from_string(json.dumps(to_asl(table))),
            definition_substitutions={
                CALL_AND_WAIT: f"arn:{Aws.PARTITION}:states:::lambda:invoke.waitForTaskToken",
                **{name.value: function.function_arn for name, function in used.items()},
            },
            state_machine_type=sfn.StateMachineType.STANDARD,
            timeout=Duration.seconds(table.timeout_s),
            tracing_enabled=True,
            logs=sfn.LogOptions(
                # Step Functions keeps room in the account's log policy only for names under this prefix.
                destination=log_group(
                    self,
                    "Logs",
                    config,
                    group_name=f"/aws/vendedlogs/states/{PRODUCT}-{config.stage}-{table.name}",
                ),
                level=sfn.LogLevel.ALL,
                include_execution_data=False,  # task tokens and clients' file names stay out of the logs
            ),
        )
        self.machine.add_to_role_policy(
            iam.PolicyStatement(
                actions=["lambda:InvokeFunction"], resources=[function.function_arn for function in used.values()]
            )
        )
        accept_wildcard(
            self, "*", "Log delivery and X-Ray have no resource-level permissions; Step Functions asks for '*'."
        )
