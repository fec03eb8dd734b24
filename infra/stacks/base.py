"""What all stacks have in common."""

from typing import Any

from aws_cdk import CliCredentialsStackSynthesizer, Environment

from infra.config import LOCAL_ACCOUNT, LOCAL_REGION, PRODUCT, Config


def stack_properties(config: Config, description: str) -> dict[str, Any]:
    """Return the keyword arguments of ``Stack``; only the local variant knows its account before deployment."""
    common = {
        "description": f"Cleartake ({config.stage}): {description}",
        "analytics_reporting": False,
        "tags": {"product": PRODUCT, "stage": config.stage},
        "termination_protection": config.is_production,
    }
    if config.local:
        # One machine has no bootstrapped account, so no roles and no bootstrap version to check.
        environment = Environment(account=LOCAL_ACCOUNT, region=LOCAL_REGION)
        return {**common, "env": environment, "synthesizer": CliCredentialsStackSynthesizer()}
    return {**common, "env": Environment(account=config.account, region=config.region)}
