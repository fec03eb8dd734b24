"""cdk-nag as a gate: findings fail the synthesis; each exception stands, with its reason, beside its resource."""

import re
from typing import Any

from aws_cdk import Acknowledgment, App, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct

_WILDCARD = "AwsSolutions-IAM5"
_MANAGED_POLICY = "AwsSolutions-IAM4"

_VARIABLE = re.compile(r"\$\{(.*?)\}")
"""Of a policy, such as ``${aws:PrincipalTag/…}``."""


def gate(app: App) -> None:
    """Make the synthesis of ``app`` fail on any finding of the AWS Solutions rules that nobody answered for."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def accept(construct: IConstruct, rule: str, reason: str) -> None:
    """Answer for the findings of one rule on ``construct`` and below it."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def accept_wildcard(construct: IConstruct, resource: str, reason: str) -> None:
    """Answer for one resource pattern in a policy below ``construct``, and for no other."""
    accept(construct, f"{_WILDCARD}[Resource::{_as_reported(construct, resource)}]", reason)


def accept_objects(construct: IConstruct, bucket: s3.IBucket, prefix: str) -> None:
    """Answer for a policy on the objects under ``prefix``."""
    arn = bucket.bucket_arn
    if Stack.of(bucket) is not Stack.of(construct):
        arn = Stack.of(bucket).export_value(arn)  # the name under which the other stack sees it
    accept_wildcard(construct, f"{arn}/{prefix}*", "Objects under one prefix: their keys are made at run time.")


def accept_managed_policy(construct: IConstruct, policy: iam.IManagedPolicy, reason: str) -> None:
    """Answer for one policy of AWS's own below ``construct``."""
    accept(construct, f"{_MANAGED_POLICY}[Policy::{_as_reported(construct, policy.managed_policy_arn)}]", reason)


def _as_reported(construct: IConstruct, value: str) -> str:
    """Write ``value`` as the rules name it in their findings."""
    return _flat(Stack.of(construct).resolve(value))


def _flat(value: Any) -> str:
    match value:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(_flat(part) for part in parts)
        case {"Fn::ImportValue": name}:
            return str(name)
        case _:
            return _VARIABLE.sub(r"<\1>", str(value))
