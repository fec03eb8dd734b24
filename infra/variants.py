"""What the variant for one machine leaves out or does otherwise: the closed list, and how it is found.

A test fails on anything that is not listed here, and ``make synth-all`` prints the list as the templates show it.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from infra.config import Config

Resources = Mapping[str, Mapping[str, Any]]
"""Resources of all stacks, by ``part/logical id``."""

AWS_ONLY: Final[Mapping[str, Mapping[str, int]]] = {
    "the GPU lane and its scaling": {
        "AWS::SageMaker::Model": 1,
        "AWS::SageMaker::EndpointConfig": 1,
        "AWS::SageMaker::Endpoint": 1,
        "AWS::ApplicationAutoScaling::ScalableTarget": 1,
        "AWS::ApplicationAutoScaling::ScalingPolicy": 2,
        "AWS::IAM::Role": 1,
        "AWS::IAM::Policy": 1,
        "AWS::CloudWatch::Alarm": 3,
    },
    "the images' build": {
        "AWS::CodeBuild::Project": 1,
        "AWS::ECR::Repository": 1,
        "AWS::KMS::Key": 1,
        "AWS::IAM::Role": 7,
        "AWS::IAM::Policy": 7,
        "AWS::Lambda::Function": 5,
        "AWS::Logs::LogGroup": 4,
        "AWS::StepFunctions::StateMachine": 1,
        "Custom::CleartakeImage": 2,
    },
    "the firewall and its log": {
        "AWS::WAFv2::WebACL": 1,
        "AWS::WAFv2::WebACLAssociation": 1,
        "AWS::WAFv2::LoggingConfiguration": 1,
        "AWS::Logs::LogGroup": 1,
    },
    "TLS only, and access logs": {
        "AWS::S3::Bucket": 1,
        "AWS::S3::BucketPolicy": 3,
        "AWS::SQS::QueuePolicy": 14,
        "AWS::SNS::TopicPolicy": 2,
    },
}
"""Resources that exist only in AWS, by what they are for."""

OTHERWISE: Final[Mapping[tuple[str, str], str]] = {
    ("AWS::Lambda::Function", "Architectures"): "this machine's processor",
    ("AWS::Lambda::Function", "Code"): "our modules alone; their dependencies are the checkout's",
    ("AWS::Lambda::Function", "Environment"): "this machine's interpreter and addresses",
    ("AWS::Lambda::Function", "Handler"): "the image's functions run from a zip",
    ("AWS::Lambda::Function", "ImageConfig"): "the image's functions run from a zip",
    ("AWS::Lambda::Function", "PackageType"): "the image's functions run from a zip",
    ("AWS::Lambda::Function", "Runtime"): "AWS's runtime client under this machine's interpreter",
    ("AWS::CloudWatch::Dashboard", "DashboardBody"): "the GPU's graphs",
    ("AWS::IAM::Policy", "PolicyDocument"): "answering task tokens names no machine; ARNs name the account",
    ("AWS::S3::Bucket", "LoggingConfiguration"): "no access logs",
    ("AWS::SNS::TopicPolicy", "PolicyDocument"): "TLS only in AWS",
    ("AWS::SQS::QueuePolicy", "PolicyDocument"): "TLS only in AWS",
}
"""Properties that differ where both variants have the resource, and why."""


def aws_only() -> dict[str, int]:
    """Return the listed number of resources of each type that exist only in AWS."""
    return dict(sum((Counter(group) for group in AWS_ONLY.values()), Counter[str]()))


def resources(assembly: Path, config: Config, parts: tuple[str, ...]) -> Resources:
    """Read the resources of a synthesised assembly."""
    return {
        f"{part}/{name}": resource
        for part in parts
        for name, resource in json.loads(
            (assembly / f"{config.stack_name(part)}.template.json").read_text(encoding="utf-8")
        )["Resources"].items()
    }


def surplus(these: Resources, those: Resources) -> dict[str, int]:
    """Return how many more resources of each type ``these`` have than ``those``."""
    return dict(Counter(r["Type"] for r in these.values()) - Counter(r["Type"] for r in those.values()))


def differing_properties(here: Resources, there: Resources) -> set[tuple[str, str]]:
    """Return type and name of every property that differs between resources of the same logical id."""
    return {
        (resource["Type"], key)
        for name, resource in here.items()
        if name in there
        for key in resource.get("Properties", {}).keys() | there[name].get("Properties", {}).keys()
        if resource["Properties"].get(key) != there[name]["Properties"].get(key)
    }
