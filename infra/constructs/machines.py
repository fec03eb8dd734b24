"""The state machines, rendered from the core's tables."""

import json
from collections.abc import Mapping

from aws_cdk import ArnFormat, Aws, Duration, Stack
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
    """One standard state machine; it may call the functions its table names, and nothing else.

    One that works through a list starts its own executions for the items, and so needs a name to be allowed that by.
    """

    def __init__(
        self,
        scope: Construct,
        config: Config,
        table: Machine,
        functions: Mapping[FunctionName, ServiceFunction],
        *,
        physical_name: str | None = None,
    ) -> None:
        super().__init__(scope, table.name)
        used = {step.function: functions[step.function].function for step in table.steps}
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            state_machine_name=physical_name,
            definition_body=sfn.DefinitionBody.from_string(
                json.dumps(to_asl(table, items_at_once=config.parts_at_once))
            ),
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
        if physical_name and any(step.each for step in table.steps):
            self._work_through_lists(physical_name)
        accept_wildcard(
            self, "*", "Log delivery and X-Ray have no resource-level permissions; Step Functions asks for '*'."
        )

    def _work_through_lists(self, name: str) -> None:
        """Let the machine do what a Distributed Map does in its name: start, watch and stop executions of itself.

        https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
        """
        self.machine.add_to_role_policy(
            iam.PolicyStatement(actions=["states:StartExecution"], resources=[machine_arn(self, name)])
        )
        # An item's execution belongs to "name/label".
        watched = [executions_arn(self, name), executions_arn(self, f"{name}/*")]
        self.machine.add_to_role_policy(
            iam.PolicyStatement(actions=["states:DescribeExecution", "states:StopExecution"], resources=watched)
        )
        for arn in watched:
            accept_wildcard(self, arn, "Executions of this state machine alone: their names are made at run time.")


def machine_arn(scope: Construct, name: str) -> str:
    """Return the ARN of a state machine, which need not exist yet."""
    return _states_arn(scope, "stateMachine", name)


def executions_arn(scope: Construct, name: str) -> str:
    """Return the pattern of the executions of a state machine, which need not exist yet."""
    return _states_arn(scope, "execution", f"{name}:*")


def _states_arn(scope: Construct, resource: str, name: str) -> str:
    return Stack.of(scope).format_arn(
        service="states", resource=resource, resource_name=name, arn_format=ArnFormat.COLON_RESOURCE_NAME
    )
