"""What of the service is in an AWS account: what its stacks publish, and what of them outlives a ``make destroy``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from infra.config import STACK_PARTS, Config
from infra.outputs import Output
from scripts.local.paths import LauncherError

IDENTIFIERS: Final[Mapping[str, str]] = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::KMS::Key": "KeyId",
}
"""What is stateful, and the property by which CloudFormation finds one that exists."""

_DATA_PART: Final = "data"
_KEPT: Final = "DELETE_SKIPPED"
_DELETED: Final = "DELETE_COMPLETE"


@dataclass(frozen=True)
class Resource:
    """A resource of a stack: in the stack, or left behind by it."""

    logical_id: str
    kind: str
    physical_id: str


def outputs(formation: Any, config: Config) -> dict[str, str]:
    """Return what all stacks of a stage publish, by the names of `Output`.

    Raises
    ------
    LauncherError
        If a stack is not there.
    """
    published: dict[str, str] = {}
    for part in STACK_PARTS:
        name = config.stack_name(part)
        try:
            (stack,) = formation.describe_stacks(StackName=name)["Stacks"]
        except formation.exceptions.ClientError as error:
            where, remedy = formation.meta.region_name, f"make deploy STAGE={config.stage}"
            raise LauncherError(f"{name} cannot be read in {where}: {error}. Is it deployed? {remedy}") from None
        published |= {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", ())}
    return published


def summary(published: Mapping[str, str], config: Config) -> list[str]:
    """Return what a person needs after a deployment, as lines."""
    facts = {
        "base URL": published[Output.BASE_URL],
        "table": published[Output.TABLE_NAME],
        "audio bucket": published[Output.AUDIO_BUCKET],
        "work bucket": published[Output.WORK_BUCKET],
        "GPU endpoint": published.get(Output.ENDPOINT_NAME, "none: every job runs on functions"),
    }
    return [
        *(f"{name:13} {value}" for name, value in facts.items()),
        "",
        f"make a client  .venv/bin/cleartake clients --table {published[Output.TABLE_NAME]} create NAME",
        f"try it         make smoke STAGE={config.stage}",
    ]


def kept(formation: Any, config: Config) -> dict[str, list[Resource]]:
    """Return what the last deleted stack of each part has left behind; CloudFormation remembers it for 90 days."""
    last = _last_deleted(formation)
    return {
        part: [one for one, status in _resources(formation, last[config.stack_name(part)]) if status == _KEPT]
        for part in STACK_PARTS
        if config.stack_name(part) in last
    }


def adoption(left: Mapping[str, list[Resource]]) -> dict[str, dict[str, str]]:
    """Return, for ``cdk import``, what of `kept` a new data stack must take over.

    Raises
    ------
    LauncherError
        If there is nothing.
    """
    stateful = [one for one in left.get(_DATA_PART, ()) if one.kind in IDENTIFIERS]
    if not stateful:
        raise LauncherError("No data stack was deleted here in the last 90 days that left anything behind.")
    return {one.logical_id: {IDENTIFIERS[one.kind]: one.physical_id} for one in stateful}


def buckets(formation: Any, config: Config) -> list[str]:
    """Return the names of the buckets that the data stack holds; none where it is not there."""
    try:
        found = list(_resources(formation, config.stack_name(_DATA_PART)))
    except formation.exceptions.ClientError:
        return []
    return [one.physical_id for one, status in found if one.kind == "AWS::S3::Bucket" and status != _DELETED]


def empty(s3: Any, bucket: str) -> int:
    """Delete every version of every object, and uploads half way; return how many there were.

    Raises
    ------
    LauncherError
        If something could not be deleted.
    """
    count = 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        listed = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        if not listed:
            continue
        objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in listed]
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        if failed := answer.get("Errors"):
            raise LauncherError(f"{bucket}: {len(failed)} objects stay, the first with {failed[0]['Message']}")
        count += len(objects)
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", ()):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return count


def _last_deleted(formation: Any) -> dict[str, str]:
    """Return the id of the last deleted stack of each name."""
    pages = formation.get_paginator("list_stacks").paginate(StackStatusFilter=[_DELETED])
    deleted = [stack for page in pages for stack in page["StackSummaries"]]
    return {stack["StackName"]: stack["StackId"] for stack in sorted(deleted, key=lambda stack: stack["DeletionTime"])}


def _resources(formation: Any, stack: str) -> Iterator[tuple[Resource, str]]:
    for page in formation.get_paginator("list_stack_resources").paginate(StackName=stack):
        for one in page["StackResourceSummaries"]:
            resource = Resource(one["LogicalResourceId"], one["ResourceType"], one.get("PhysicalResourceId", ""))
            yield resource, one["ResourceStatus"]
