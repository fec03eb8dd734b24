"""Log groups: kept for a configured time, and only as long as their stack."""

from aws_cdk import Fn, RemovalPolicy, Stack
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.config import Config

_RETENTION = {
    1: logs.RetentionDays.ONE_DAY,
    3: logs.RetentionDays.THREE_DAYS,
    5: logs.RetentionDays.FIVE_DAYS,
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    60: logs.RetentionDays.TWO_MONTHS,
    90: logs.RetentionDays.THREE_MONTHS,
    120: logs.RetentionDays.FOUR_MONTHS,
    150: logs.RetentionDays.FIVE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
}


def log_group(scope: Construct, name: str, config: Config, *, group_name: str | None = None) -> logs.LogGroup:
    """Make a log group; give ``group_name`` only where a service asks for a prefix.

    A group that outlives its stack must not bear a name that the next stack would give its own.
    """
    return logs.LogGroup(
        scope,
        name,
        log_group_name=group_name and vended_name(scope, config, group_name),
        retention=_RETENTION[config.log_retention_days],
        removal_policy=RemovalPolicy.RETAIN if config.is_production else RemovalPolicy.DESTROY,
    )


def vended_name(scope: Construct, config: Config, name: str) -> str:
    """Return ``name``, in production with what is unique to this life of the stack."""
    if not config.is_production:
        return name
    # …:stack/NAME/xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx
    life = Fn.select(4, Fn.split("-", Fn.select(2, Fn.split("/", Stack.of(scope).stack_id))))
    return f"{name}-{life}"
