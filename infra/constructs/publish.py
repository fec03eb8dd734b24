"""Publishes stack outputs under stable names."""

from aws_cdk import CfnOutput, Stack
from constructs import Construct


def publish(scope: Construct, key: str, value: str) -> None:
    """Make ``value`` an output of the stack around ``scope``, under exactly the name ``key``."""
    stack = Stack.of(scope)
    CfnOutput(stack, f"Output{key}", value=value).override_logical_id(key)
