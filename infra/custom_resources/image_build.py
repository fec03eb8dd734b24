"""Makes a deployment wait for the build of an image, and gives it the image's digest.

The CDK's provider framework calls `start`, then `finish` until it says that the build is over; an error in either
fails the deployment with its words. Every call may come twice.
"""

from typing import Any

import boto3

_NO_BUILD = ""
_RUNNING = "IN_PROGRESS"
_SUCCEEDED = "SUCCEEDED"

Event = dict[str, Any]


class BuildError(Exception):
    """The build ended without an image; the message says where its log is."""


def start(event: Event, _context: object = None) -> Event:
    """Start the build, unless the registry has this image already (a rollback, say) or there is nothing to do.

    Returns
    -------
    ``Data.BuildId``: empty where nothing was started.
    """
    wanted = event["ResourceProperties"]
    answer = {"PhysicalResourceId": f"{wanted['Repository']}/{wanted['Target']}", "Data": {"BuildId": _NO_BUILD}}
    if event["RequestType"] == "Delete":
        # An image goes with its repository. The id must be the one that is deleted.
        return {**answer, "PhysicalResourceId": event["PhysicalResourceId"]}
    if _digest(wanted) is None:
        answer["Data"] = {"BuildId": _start_build(wanted, event["RequestId"])}
    return answer


def finish(event: Event, _context: object = None) -> Event:
    """Tell whether the image is there; then ``Data.Sha256`` is its digest without the algorithm's name.

    Raises
    ------
    BuildError
        If the build ended otherwise.
    """
    if event["RequestType"] == "Delete":
        return {"IsComplete": True}
    wanted, build_id = event["ResourceProperties"], event["Data"]["BuildId"]
    if build_id != _NO_BUILD and not _is_over(build_id):
        return {"IsComplete": False}
    digest = _digest(wanted)
    if digest is None:
        raise BuildError(f"The build succeeded, but {wanted['Repository']} has no image {wanted['Tag']}.")
    return {"IsComplete": True, "Data": {"Sha256": digest.removeprefix("sha256:")}}


def _start_build(wanted: dict[str, str], request_id: str) -> str:
    variables = {"TARGET": wanted["Target"], "TAG": wanted["Tag"], "SOURCE_URL": wanted["Source"]}
    answer = boto3.client("codebuild").start_build(
        projectName=wanted["Project"],
        idempotencyToken=request_id,
        environmentVariablesOverride=[{"name": name, "value": value} for name, value in variables.items()],
    )
    return str(answer["build"]["id"])


def _is_over(build_id: str) -> bool:
    (build,) = boto3.client("codebuild").batch_get_builds(ids=[build_id])["builds"]
    if build["buildStatus"] == _RUNNING:
        return False
    if build["buildStatus"] == _SUCCEEDED:
        return True
    log = build.get("logs", {}).get("deepLink", "none was written")
    raise BuildError(f"The image build {build_id} ended as {build['buildStatus']}{_reason(build)}. Its log: {log}")


def _reason(build: dict[str, Any]) -> str:
    """Return what the first failed phase says, in brackets."""
    messages = [
        context["message"]
        for phase in build.get("phases", ())
        for context in phase.get("contexts", ())
        if phase.get("phaseStatus") not in {None, _SUCCEEDED} and context.get("message")
    ]
    return f" ({messages[0]})" if messages else ""


def _digest(wanted: dict[str, str]) -> str | None:
    ecr = boto3.client("ecr")
    try:
        found = ecr.describe_images(repositoryName=wanted["Repository"], imageIds=[{"imageTag": wanted["Tag"]}])
    except ecr.exceptions.ImageNotFoundException:
        return None
    return str(found["imageDetails"][0]["imageDigest"])
