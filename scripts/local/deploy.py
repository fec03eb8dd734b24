"""Deploys the filled-in stacks to the emulator, as ``cdk deploy`` would, and sets what its CloudFormation drops."""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.local import assembly, gaps
from scripts.local.emulator import REGION, client
from scripts.local.paths import Cloud, LauncherError

MARKER = "/cleartake/local/deployed"
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
STACK_LIMIT_S = 300.0
MESSAGE_CHARACTERS = 2000
"""Some refusals repeat the whole template before they come to the point."""

GOOD = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})

Say = Callable[[str], None]


def deploy(cloud: Cloud, say: Say) -> dict[str, str]:
    """Bring the emulator's stacks to the state of the sources; return every stack's outputs, merged."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only a deployment needs it

    ready = assembly.synthesised(cloud.context)
    try:
        return _deploy(cloud, ready, say)
    except (BotoCoreError, ClientError) as error:
        log = cloud.logs / "emulator.log"
        raise LauncherError(f"The deployment failed: {str(error)[-MESSAGE_CHARACTERS:]}\nSee {log}") from error


def was_interrupted(cloud: Cloud) -> bool:
    """Whether a first deployment was begun and never ended, because the emulator or the launcher was killed."""
    stacks = client(cloud, "cloudformation").list_stacks()["StackSummaries"]
    tables = client(cloud, "dynamodb").list_tables()["TableNames"]
    return bool(stacks or tables) and _deployed(cloud) is None


def _deploy(cloud: Cloud, ready: Path, say: Say) -> dict[str, str]:
    account = client(cloud, "sts").get_caller_identity()["Account"]
    intrinsics = {"${AWS::AccountId}": account, "${AWS::Region}": REGION, "${AWS::Partition}": "aws"}
    stacks = assembly.stacks(ready, assembly.placeholders(cloud), intrinsics)
    if not stacks:
        raise LauncherError("The app synthesised no stack for the local variant.")
    fingerprint = _fingerprint(stacks)
    if _deployed(cloud) != fingerprint:
        _deploy_all(cloud, stacks, say)
        # Kept in the emulator, so that it is lost with the stacks if the emulator loses its state.
        _put_parameter(cloud, MARKER, fingerprint)
    outputs = _outputs(cloud, stacks)
    cloud.outputs_file.write_text(json.dumps(outputs, indent=2))
    return outputs


def _deploy_all(cloud: Cloud, stacks: list[assembly.Stack], say: Say) -> None:
    for stack in stacks:
        _upload(cloud, stack)
        status = _apply(cloud, stack)
        gaps.close(cloud, stack)
        say(f"Stack {stack.name}: {status}")


def _fingerprint(stacks: list[assembly.Stack]) -> str:
    digest = hashlib.sha256()
    for stack in stacks:
        digest.update(stack.name.encode())
        digest.update(stack.template.encode())  # names its assets by their digests
    return digest.hexdigest()


def _deployed(cloud: Cloud) -> str | None:
    ssm = client(cloud, "ssm")
    try:
        return str(ssm.get_parameter(Name=MARKER)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return None


def _put_parameter(cloud: Cloud, name: str, value: str) -> None:
    client(cloud, "ssm").put_parameter(Name=name, Value=value, Type="String", Overwrite=True)


def _upload(cloud: Cloud, stack: assembly.Stack) -> None:
    s3 = client(cloud, "s3")
    for bucket in {asset.bucket for asset in stack.assets}:
        with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
            s3.create_bucket(Bucket=bucket)
    for asset in stack.assets:
        s3.put_object(Bucket=asset.bucket, Key=asset.key, Body=asset.body)


def _apply(cloud: Cloud, stack: assembly.Stack) -> str:
    """Create or update ``stack`` and wait; return its status."""
    cloudformation = client(cloud, "cloudformation")
    template = stack.assets[-1]
    request: dict[str, Any] = {
        "StackName": stack.name,
        "TemplateURL": f"{cloud.emulator_url}/{template.bucket}/{template.key}",
        "Capabilities": CAPABILITIES,
    }
    if _status(cloudformation, stack.name) is None:
        cloudformation.create_stack(**request)
    else:
        try:
            cloudformation.update_stack(**request)
        except cloudformation.exceptions.ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
    return _settled(cloudformation, stack.name)


def _settled(cloudformation: Any, name: str) -> str:
    deadline = time.monotonic() + STACK_LIMIT_S
    while (status := _status(cloudformation, name) or "").endswith("IN_PROGRESS") and time.monotonic() < deadline:
        time.sleep(0.05)
    if status in GOOD:
        return status
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    reasons = [
        f"  {event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', '')}"
        for event in events
        if event["ResourceStatus"].endswith("FAILED")
    ]
    raise LauncherError("\n".join([f"Stack {name} ended as {status or 'missing'}:", *reasons]))


def _status(cloudformation: Any, name: str) -> str | None:
    try:
        found = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except cloudformation.exceptions.ClientError:
        return None
    status = str(found[0]["StackStatus"]) if found else None
    return None if status == "DELETE_COMPLETE" else status


def _outputs(cloud: Cloud, stacks: list[assembly.Stack]) -> dict[str, str]:
    cloudformation = client(cloud, "cloudformation")
    merged: dict[str, str] = {}
    for stack in stacks:
        described = cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0]
        merged |= {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", ())}
    return merged
