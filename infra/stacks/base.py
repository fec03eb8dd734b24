"""What all stacks have in common."""

from typing import Any

from aws_cdk import CliCredentialsStackSynthesizer, Environment, Stack
from constructs import Construct

from infra.config import LOCAL_ACCOUNT, LOCAL_REGION, PRODUCT, Config

_CFN_LINT = {"config": {"ignore_checks": ["W3005"]}}
"""The CDK orders a function after its role's policies, and so names the role twice."""

DEPLOYMENT_TAG = "deployment"
"""Tells two stages apart for who can filter by one tag only, as a budget can."""


class BaseStack(Stack):
    """A stack named, tagged and protected like every other of this app."""

    def __init__(self, scope: Construct, config: Config, part: str, description: str) -> None:
        super().__init__(
            scope,
            config.stack_name(part),
            description=f"Cleartake ({config.stage}): {description}",
            analytics_reporting=False,
            # CloudFormation hands them on to every resource; as cost allocation tags they split the bill.
            tags={"product": PRODUCT, "stage": config.stage, "part": part, DEPLOYMENT_TAG: config.deployment},
            termination_protection=config.is_production,
            **_target(config),
        )
        self.template_options.metadata = {"cfn-lint": _CFN_LINT}


def _target(config: Config) -> dict[str, Any]:
    """Return where the stack goes; only the local variant knows its account before deployment."""
    if config.local:
        # One machine has no bootstrapped account, so no roles and no bootstrap version to check.
        environment = Environment(account=LOCAL_ACCOUNT, region=LOCAL_REGION)
        return {"env": environment, "synthesizer": CliCredentialsStackSynthesizer()}
    return {"env": Environment(account=config.account, region=config.region)}
