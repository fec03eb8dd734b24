"""Sets through the API what the emulator's CloudFormation accepts and drops: TTL, encryption, lifecycle."""

from collections.abc import Mapping
from typing import Any

from scripts.local.assembly import Stack
from scripts.local.emulator import client
from scripts.local.paths import Cloud

Properties = Mapping[str, Any]


def close(cloud: Cloud, stack: Stack) -> None:
    """Close the gaps of one deployed stack."""
    physical = _physical_ids(cloud, stack.name)
    for logical_id, resource in stack.resources.items():
        properties = resource.get("Properties", {})
        if resource["Type"] in {"AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable"}:
            _set_ttl(cloud, physical[logical_id], properties)
        if resource["Type"] == "AWS::S3::Bucket":
            _set_encryption(cloud, physical[logical_id], properties)
            _set_lifecycle(cloud, physical[logical_id], properties)


def _physical_ids(cloud: Cloud, stack_name: str) -> dict[str, str]:
    found = client(cloud, "cloudformation").describe_stack_resources(StackName=stack_name)["StackResources"]
    return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in found}


def _set_ttl(cloud: Cloud, table: str, properties: Properties) -> None:
    wanted = properties.get("TimeToLiveSpecification")
    if not wanted:
        return
    dynamodb = client(cloud, "dynamodb")
    now = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    if now.get("TimeToLiveStatus") != "ENABLED":  # enabling it twice is an error
        dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=wanted)


def _set_encryption(cloud: Cloud, bucket: str, properties: Properties) -> None:
    wanted = properties.get("BucketEncryption")
    if not wanted:
        return
    rules = [encryption_rule(rule) for rule in wanted["ServerSideEncryptionConfiguration"]]
    client(cloud, "s3").put_bucket_encryption(
        Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule for rule in rules if rule]}
    )


def encryption_rule(rule: Properties) -> dict[str, Any]:
    """Return the API's form of a template's encryption rule; a key given by reference becomes the bucket's default."""
    default = dict(rule.get("ServerSideEncryptionByDefault", {}))
    key = default.pop("KMSMasterKeyID", None)
    if isinstance(key, str):
        default["KMSMasterKeyID"] = key
    return {"ApplyServerSideEncryptionByDefault": default} if default else {}


def _set_lifecycle(cloud: Cloud, bucket: str, properties: Properties) -> None:
    wanted = properties.get("LifecycleConfiguration")
    if not wanted:
        return
    rules = [lifecycle_rule(rule) for rule in wanted["Rules"]]
    client(cloud, "s3").put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})


def lifecycle_rule(rule: Properties) -> dict[str, Any]:
    """Return the API's form of a template's lifecycle rule; the two spell the same things differently."""
    expiration = {
        "Days": rule.get("ExpirationInDays"),
        "ExpiredObjectDeleteMarker": rule.get("ExpiredObjectDeleteMarker"),
    }
    noncurrent = rule.get("NoncurrentVersionExpiration") or {
        "NoncurrentDays": rule.get("NoncurrentVersionExpirationInDays")
    }
    unfinished = rule.get("AbortIncompleteMultipartUpload", {})
    made = {
        "ID": rule.get("Id"),
        "Status": rule["Status"],
        "Filter": _lifecycle_filter(rule),
        "Expiration": _given(expiration),
        "NoncurrentVersionExpiration": _given(noncurrent),
        "AbortIncompleteMultipartUpload": _given({"DaysAfterInitiation": unfinished.get("DaysAfterInitiation")}),
    }
    return {name: value for name, value in made.items() if value or name == "Filter"}


def _lifecycle_filter(rule: Properties) -> dict[str, Any]:
    tags = [{"Key": tag["Key"], "Value": tag["Value"]} for tag in rule.get("TagFilters", ())]
    prefix = rule.get("Prefix", "")
    if not tags:
        return {"Prefix": prefix}
    if len(tags) == 1 and not prefix:
        return {"Tag": tags[0]}
    return {"And": {**({"Prefix": prefix} if prefix else {}), "Tags": tags}}


def _given(values: Properties) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
