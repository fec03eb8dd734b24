"""The GPU lane's endpoint by itself, with the SageMaker SDK: what it is, how many instances it has, whether it works.

``make smoke-endpoint`` sends one real order past the rest of the service; on one machine the same order goes to the
endpoint's look-alike, and so to the container's own serving process. The SDK is large: it has its own environment.

The order's files lie in the work bucket, under prefixes that the container may use anyway and whose lifecycle deletes
them. No job knows of the order, so that its notice is one that ``complete`` ignores.
"""

import argparse
import os
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
from pydantic import ValidationError

from gpu_container.contract import ObjectRef, WorkFailure, WorkOrder, WorkResult
from infra.config import REPOSITORY
from infra.outputs import Output
from scripts.cli.stacks import asking, published, stage_config
from scripts.local import emulator
from scripts.local.paths import Cloud, LauncherError, outputs_of

SAMPLE: Final = REPOSITORY / "samples" / "librivox-noisy.mp3"
CONTENT_TYPE: Final = "audio/mpeg"
MODEL: Final = "dfn3"
STRENGTH: Final = 90.0

COLD_START_S: Final = 1200.0
"""As long as a job waits for the first instance."""
_POLL_S: Final = 1.0
_ORDERS: Final = "orders/smoke/"
_ANSWERS: Final = "async/smoke/"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """Where an endpoint is: its name, the bucket it works in, and the session that reaches both.

    Attributes
    ----------
    is_lookalike
        True on one machine: that endpoint takes orders and answers nothing about itself.
    """

    endpoint_name: str
    work_bucket: str
    session: boto3.Session
    is_lookalike: bool = False

    def endpoint(self) -> Any:
        """Return the SDK's own object for the endpoint, as AWS describes it now."""
        from sagemaker.core.resources import Endpoint  # noqa: PLC0415 - seconds, and only its own environment has it

        if self.is_lookalike:
            return Endpoint(endpoint_name=self.endpoint_name)
        return Endpoint.get(endpoint_name=self.endpoint_name, session=self.session, region=self.session.region_name)


def deployed(stage: str) -> Place:
    """Find the endpoint of a stage in the account of the person's credentials.

    Raises
    ------
    LauncherError
        If the stage is not deployed, or without a GPU.
    """
    outputs = published(stage_config(stage))
    if Output.ENDPOINT_NAME not in outputs:
        raise LauncherError(f"The stage {stage} has no GPU endpoint: it was deployed with gpuBackend=none.")
    return Place(outputs[Output.ENDPOINT_NAME], outputs[Output.WORK_BUCKET], boto3.Session())


def local() -> Place:
    """Find the look-alike of the local cloud and turn this process to it."""
    cloud = Cloud.from_environment()
    outputs = outputs_of(cloud)
    if Output.ENDPOINT_NAME not in outputs:
        raise LauncherError("The local cloud runs without the GPU lane: CLEARTAKE_GPU_BACKEND=none.")
    emulator.enter(cloud)
    os.environ["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"] = cloud.sagemaker_url
    session = boto3.Session(region_name=emulator.REGION)
    return Place(outputs[Output.ENDPOINT_NAME], outputs[Output.WORK_BUCKET], session, is_lookalike=True)


def description(endpoint: Any) -> list[str]:
    """Return what AWS says of an endpoint, as lines."""
    lines = [
        f"endpoint   {endpoint.endpoint_name}",
        f"status     {endpoint.endpoint_status}",
        f"changed    {endpoint.last_modified_time:%Y-%m-%d %H:%M} UTC",
    ]
    for variant in endpoint.production_variants:
        wanted = variant.desired_instance_count
        lines.append(f"instances  {variant.current_instance_count} of {wanted} wanted ({variant.variant_name})")
        lines += [f"image      {image.resolved_image}" for image in variant.deployed_images or ()]
    if endpoint.endpoint_status == "Failed":
        lines.append(f"reason     {endpoint.failure_reason}")
    return lines


def set_capacity(endpoint: Any, instances: int) -> None:
    """Ask for so many instances now. Scaling goes on from there, down to none when nothing waits."""
    from sagemaker.core.shapes import DesiredWeightAndCapacity  # noqa: PLC0415 - see Place.endpoint

    wanted = [
        DesiredWeightAndCapacity(variant_name=variant.variant_name, desired_instance_count=instances)
        for variant in endpoint.production_variants
    ]
    endpoint.update_weights_and_capacities(desired_weights_and_capacities=wanted)


def smoke(place: Place, endpoint: Any, s3: Any, sample: Path, *, limit_s: float, say: Say) -> WorkResult:
    """Send one order and wait for its result.

    Raises
    ------
    LauncherError
        If the order fails, or nothing is heard within ``limit_s``.
    """
    order = _order(place.work_bucket, sample)
    with sample.open("rb") as body:
        s3.put_object(Bucket=order.input.bucket, Key=order.input.key, Body=body, ContentType=CONTENT_TYPE)
    document = ObjectRef(bucket=place.work_bucket, key=f"{_ORDERS}{order.job_id}.json")
    s3.put_object(Bucket=document.bucket, Key=document.key, Body=order.model_dump_json().encode())
    accepted = endpoint.invoke_async(
        input_location=_uri(document),
        content_type="application/json",
        inference_id=order.job_id,
        session=place.session,
        region=place.session.region_name,
    )
    say(f"sent       {order.job_id}, {sample.name}")
    result = _wait(s3, accepted.output_location, accepted.failure_location, limit_s=limit_s)
    _check(s3, order, result)
    return result


def _order(bucket: str, sample: Path) -> WorkOrder:
    name = f"smoke-{uuid.uuid4()}"
    return WorkOrder(
        job_id=name,
        attempt=1,
        input=ObjectRef(bucket=bucket, key=f"{_ORDERS}{name}{sample.suffix}"),
        output=ObjectRef(bucket=bucket, key=f"{_ANSWERS}{name}{sample.suffix}"),
        content_type=CONTENT_TYPE,
        strength=STRENGTH,
        model=MODEL,
    )


def _wait(s3: Any, output: str, failure: str, *, limit_s: float) -> WorkResult:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if (answer := _read(s3, output)) is not None:
            return WorkResult.model_validate_json(answer)
        if (answer := _read(s3, failure)) is not None:
            raise LauncherError(f"The endpoint refused the order: {_reason(answer)}")
        time.sleep(_POLL_S)
    raise LauncherError(f"Nothing was heard within {limit_s:.0f} s. Does an instance start? See: describe")


def _reason(answer: bytes) -> str:
    try:
        failed = WorkFailure.model_validate_json(answer)
    except ValidationError:
        return answer.decode(errors="replace")[:500]
    return f"{failed.error_code.value}: {failed.message}"


def _check(s3: Any, order: WorkOrder, result: WorkResult) -> None:
    stored = s3.head_object(Bucket=order.output.bucket, Key=order.output.key)
    if result.job_id != order.job_id or stored["ContentLength"] != result.size_bytes:
        raise LauncherError("The result is not the one that was announced.")
    if result.silent or result.nan_count:
        raise LauncherError("The result is silent, or no sound at all.")


def _read(s3: Any, uri: str) -> bytes | None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except s3.exceptions.NoSuchKey:
        return None


def _uri(ref: ObjectRef) -> str:
    return f"s3://{ref.bucket}/{ref.key}"


def main(arguments: list[str] | None = None) -> int:
    """Run ``python -m scripts.endpoint describe | capacity [N] | smoke``."""
    parser = argparse.ArgumentParser(prog="python -m scripts.endpoint", description=__doc__)
    parser.add_argument("action", choices=["describe", "capacity", "smoke"])
    parser.add_argument("instances", type=int, nargs="?", help="for capacity: how many are wanted now")
    parser.add_argument("--stage", default="dev", help="dev, stage or prod (default: %(default)s)")
    parser.add_argument("--local", action="store_true", help="the look-alike of the local cloud; smoke only")
    parser.add_argument("--sample", type=Path, default=SAMPLE, help="an MP3 of your own (default: the bundled one)")
    parser.add_argument("--limit-s", type=float, default=COLD_START_S, help="to wait for (default: %(default)s)")
    given = parser.parse_args(arguments)
    try:
        with asking():
            _act(given)
    except LauncherError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _act(given: argparse.Namespace) -> None:
    if given.local and given.action != "smoke":
        raise LauncherError("The look-alike takes orders only: smoke --local")
    place = local() if given.local else deployed(given.stage)
    endpoint = place.endpoint()
    if given.action == "smoke":
        began = time.monotonic()
        result = smoke(place, endpoint, place.session.client("s3"), given.sample, limit_s=given.limit_s, say=print)
        print(
            f"done       {time.monotonic() - began:.1f} s; {result.facts.duration_s:.1f} s of sound in "
            f"{result.seconds:.1f} s of work, {result.network_inferences} inferences"
        )
        return
    if given.action == "capacity" and given.instances is not None:
        set_capacity(endpoint, given.instances)
        endpoint = place.endpoint()
    print("\n".join(description(endpoint)))


if __name__ == "__main__":
    sys.exit(main())
