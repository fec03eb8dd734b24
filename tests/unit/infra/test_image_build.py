"""The deployment waits for its images: what the handlers answer, and what the build's script does."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from infra.config import REPOSITORY
from infra.custom_resources import image_build

WANTED = {
    "Project": "images",
    "Repository": "cleartake",
    "Target": "cpu",
    "Tag": "cpu-x86_64-1",
    "Source": "s3://assets/1.zip",
}
DIGEST = "sha256:" + "d" * 64
BUILD = "images:1"

Stubs = dict[str, Stubber]


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubs]:
    clients: dict[str, Any] = {
        name: boto3.client(  # type: ignore[call-overload]
            name, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        for name in ("codebuild", "ecr")
    }
    monkeypatch.setattr(image_build.boto3, "client", clients.__getitem__)
    stubs = {name: Stubber(client) for name, client in clients.items()}
    for stub in stubs.values():
        stub.activate()
    yield stubs
    for stub in stubs.values():
        stub.assert_no_pending_responses()


def event(kind: str = "Create", **more: Any) -> dict[str, Any]:
    return {"RequestType": kind, "RequestId": "request", "ResourceProperties": WANTED, **more}


def has_image(stubs: Stubs, *, there: bool) -> None:
    asked = {"repositoryName": "cleartake", "imageIds": [{"imageTag": "cpu-x86_64-1"}]}
    if there:
        stubs["ecr"].add_response("describe_images", {"imageDetails": [{"imageDigest": DIGEST}]}, asked)
    else:
        stubs["ecr"].add_client_error("describe_images", "ImageNotFoundException", expected_params=asked)


def builds(stubs: Stubs, **build: Any) -> None:
    stubs["codebuild"].add_response("batch_get_builds", {"builds": [{"id": BUILD, **build}]}, {"ids": [BUILD]})


def test_a_build_is_started_once_for_a_request(stubs: Stubs) -> None:
    has_image(stubs, there=False)
    variables = {"TARGET": "cpu", "TAG": "cpu-x86_64-1", "SOURCE_URL": "s3://assets/1.zip"}
    expected = {
        "projectName": "images",
        "idempotencyToken": "request",  # an event that comes twice gets the build of the first
        "environmentVariablesOverride": [{"name": name, "value": value} for name, value in variables.items()],
    }
    stubs["codebuild"].add_response("start_build", {"build": {"id": BUILD}}, expected)
    assert image_build.start(event()) == {"PhysicalResourceId": "cleartake/cpu", "Data": {"BuildId": BUILD}}


def test_an_image_that_is_there_is_not_built_again(stubs: Stubs) -> None:
    has_image(stubs, there=True)
    started = image_build.start(event("Update", PhysicalResourceId="cleartake/cpu"))
    assert started["Data"] == {"BuildId": ""}
    has_image(stubs, there=True)
    assert image_build.finish(event("Update", **started)) == {"IsComplete": True, "Data": {"Sha256": "d" * 64}}


def test_the_deployment_waits_while_it_is_built(stubs: Stubs) -> None:
    builds(stubs, buildStatus="IN_PROGRESS")
    assert image_build.finish(event(Data={"BuildId": BUILD})) == {"IsComplete": False}
    builds(stubs, buildStatus="SUCCEEDED")
    has_image(stubs, there=True)
    assert image_build.finish(event(Data={"BuildId": BUILD}))["Data"] == {"Sha256": "d" * 64}


@pytest.mark.parametrize("status", ["FAILED", "FAULT", "TIMED_OUT", "STOPPED"])
def test_a_failed_build_fails_the_deployment_with_reason_and_log(stubs: Stubs, status: str) -> None:
    phases = [
        {"phaseType": "PROVISIONING", "phaseStatus": "SUCCEEDED", "contexts": [{"message": ""}]},
        {"phaseType": "BUILD", "phaseStatus": status, "contexts": [{"message": "exit status 1"}]},
        {"phaseType": "COMPLETED"},
    ]
    builds(stubs, buildStatus=status, phases=phases, logs={"deepLink": "https://console/log"})
    with pytest.raises(image_build.BuildError, match=rf"{status} \(exit status 1\).*https://console/log"):
        image_build.finish(event(Data={"BuildId": BUILD}))


def test_a_build_that_pushed_nothing_is_a_failure(stubs: Stubs) -> None:
    builds(stubs, buildStatus="SUCCEEDED")
    has_image(stubs, there=False)
    with pytest.raises(image_build.BuildError, match="no image cpu-x86_64-1"):
        image_build.finish(event(Data={"BuildId": BUILD}))


def test_deleting_asks_nobody_and_keeps_the_id(stubs: Stubs) -> None:
    deleted = image_build.start(event("Delete", PhysicalResourceId="older"))
    assert deleted["PhysicalResourceId"] == "older"
    assert image_build.finish(event("Delete", **deleted)) == {"IsComplete": True}


class TestScript:
    """Run with stand-ins for what CodeBuild has and this machine may not; two write down how they were called."""

    AWS = """#!/bin/sh
echo "aws $*" >> "$CALLS"
case "$1 $2" in
  "ecr describe-images") exit "$HAS_NO_IMAGE" ;;
  "s3 cp") case "$*" in *source.zip) cp "$ARCHIVE" source.zip ;; esac ;;
  "ecr-public get-login-password") exit 1 ;;
esac
"""
    DOCKER = """#!/bin/sh
echo "docker $*" >> "$CALLS"
case "$1" in login) cat > /dev/null ;; build) test -f source/gpu_container/Dockerfile; exit "$BUILD_FAILS" ;; esac
"""

    UNZIP = f'''#!/bin/sh
exec "{sys.executable}" -m zipfile -e "$2" "$4"
'''

    def run(self, folder: Path, **variables: str) -> tuple[int, str]:
        tools = folder / "tools"
        tools.mkdir()
        for name, text in (("aws", self.AWS), ("docker", self.DOCKER), ("unzip", self.UNZIP)):
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
        with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
            archive.writestr("gpu_container/Dockerfile", "FROM scratch")
        given = {
            "SOURCE_URL": "s3://assets/1.zip",
            "TARGET": "cpu",
            "TAG": "t",
            "REPOSITORY": "cleartake",
            "REPOSITORY_URI": "1.registry/cleartake",
            "MODELS_MIRROR": "",
            "HAS_NO_IMAGE": "1",
            "BUILD_FAILS": "0",
            "CALLS": str(folder / "calls"),
            "ARCHIVE": str(folder / "archive.zip"),
            "PATH": f"{tools}:{os.environ['PATH']}",
        } | variables
        script = (REPOSITORY / "infra" / "custom_resources" / "image_build.sh").read_text()
        done = subprocess.run(["bash", "-c", f"(\n{script})"], cwd=folder, env=given, capture_output=True, check=False)
        return done.returncode, (folder / "calls").read_text()

    def test_builds_the_target_and_pushes_it(self, tmp_path: Path) -> None:
        code, calls = self.run(tmp_path)
        assert code == 0
        *_, one, other, build, push = calls.splitlines()
        # A pipe: both ends begin at once.
        assert {one, other} == {
            "aws ecr get-login-password",
            "docker login --username AWS --password-stdin 1.registry",
        }
        assert [build, push] == [
            "docker build --file source/gpu_container/Dockerfile --target cpu --tag 1.registry/cleartake:t source",
            "docker push --quiet 1.registry/cleartake:t",
        ]

    def test_takes_model_files_from_the_mirror_first(self, tmp_path: Path) -> None:
        code, calls = self.run(tmp_path, MODELS_MIRROR="s3://ours/models/")
        assert code == 0
        assert "aws s3 cp --recursive --only-show-errors s3://ours/models/ source/gpu_container/models" in calls

    def test_does_nothing_where_the_tag_is_taken(self, tmp_path: Path) -> None:
        code, calls = self.run(tmp_path, HAS_NO_IMAGE="0")
        assert (code, len(calls.splitlines())) == (0, 1)

    def test_pushes_nothing_that_was_not_built(self, tmp_path: Path) -> None:
        code, calls = self.run(tmp_path, BUILD_FAILS="1")
        assert code != 0
        assert "push" not in calls
