"""Where the container image comes from, and that everything names it by what is in it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App
from aws_cdk.assertions import Template
from pydantic import ValidationError

from infra.config import REPOSITORY, Config
from infra.stacks.data import DataStack
from infra.stacks.engine import EngineStack
from tests.infra.templates import Assembly, listed

REGISTRY = "111122223333.dkr.ecr.eu-central-1.amazonaws.com"
CPU = f"{REGISTRY}/speech/cleartake-cpu@sha256:{'c' * 64}"
GPU = f"{REGISTRY}/speech/cleartake-gpu@sha256:{'a' * 64}"
IN_THE_IMAGE = ("Probe", "EnhanceCpu")


def engine(folder: Path, **context: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the resources and the assets of the engine's stack."""
    config = Config.from_context({"bundle": "false", **context})
    app = App(outdir=str(folder), analytics_reporting=False)
    stack = EngineStack(app, config, data=DataStack(app, config))
    resources = Template.from_stack(stack).to_json()["Resources"]
    return resources, json.loads((folder / f"{config.stack_name('engine')}.assets.json").read_text())


def of_type(resources: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [resource["Properties"] for resource in resources.values() if resource["Type"] == kind]


def image_of(resources: dict[str, Any], function: str) -> Any:
    (found,) = (f for f in of_type(resources, "AWS::Lambda::Function") if f["Description"].endswith(f": {function}"))
    return found["Code"]["ImageUri"]


class TestBuiltInTheAccount:
    def test_functions_and_endpoint_name_the_digest_that_the_build_gave(self, aws: Assembly) -> None:
        uris = {name: json.dumps(aws.functions()[name]["Code"]["ImageUri"]) for name in IN_THE_IMAGE}
        uris["Gpu"] = json.dumps(aws.one("AWS::SageMaker::Model")["PrimaryContainer"]["Image"])
        for name, uri in uris.items():
            build = "ImageBuildsGpuImage" if name == "Gpu" else "ImageBuildsCpuImage"
            assert re.search(rf'"@sha256:", {{"Fn::GetAtt": \["{build}\w+", "Sha256"\]', uri), name

    def test_nobody_needs_docker_to_deploy(self, aws: Assembly) -> None:
        for path in aws.folder.glob("*.assets.json"):
            assert json.loads(path.read_text())["dockerImages"] == {}

    def test_the_registry_keeps_what_a_tag_meant(self, aws: Assembly) -> None:
        registry = aws.one("AWS::ECR::Repository")
        assert registry["ImageTagMutability"] == "IMMUTABLE"
        assert registry["ImageScanningConfiguration"] == {"ScanOnPush": True}
        assert registry["EncryptionConfiguration"]["EncryptionType"] == "KMS"
        (rule,) = json.loads(registry["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
        assert rule["selection"]["tagStatus"] == "untagged"  # a deployed image has a tag, however old

    def test_the_same_source_has_the_same_tag_wherever_it_is_deployed(self, aws: Assembly, aws_here: Assembly) -> None:
        tags = [
            [build["Properties"]["Tag"] for build in assembly.of_type("Custom::CleartakeImage").values()]
            for assembly in (aws, aws_here)
        ]
        assert tags[0] == tags[1]
        assert [tag.rsplit("-", 1)[0] for tag in tags[0]] == ["cpu-x86_64", "gpu-x86_64"]

    def test_what_the_recipe_copies_is_in_the_source(self, aws: Assembly) -> None:
        archive = self._source(aws)
        recipe = (archive / "gpu_container" / "Dockerfile").read_text()
        copied = [word for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", recipe) for word in line.split()[:-1]]
        assert "requirements/container-gpu.txt" in copied
        # The pattern is for model files of the operator's own, which need not be there.
        assert [path for path in copied if "[" not in path and not (archive / path).exists()] == []

    def test_locks_of_other_things_make_no_new_image(self, aws: Assembly) -> None:
        locks = {path.name for path in (self._source(aws) / "requirements").iterdir()}
        assert locks == {"container-cpu.txt", "container-gpu.txt"}

    def test_one_build_waits_for_the_other(self, aws: Assembly) -> None:
        """A new account may run one at a time."""
        builds = aws.of_type("Custom::CleartakeImage")
        (gpu,) = (build for name, build in builds.items() if "Gpu" in name)
        assert any("ImageBuildsCpuImage" in name for name in gpu["DependsOn"])

    def test_a_build_may_push_to_one_repository_and_read_one_archive(self, aws: Assembly) -> None:
        may = self._may(aws, "ImageBuildsBuildRole")
        assert may.pop("s3:GetObject").endswith('.zip"]]}')
        on_anything = {"ecr:GetAuthorizationToken", "ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"}
        assert {action for action, resource in may.items() if resource == '"*"'} == on_anything
        pushing = {action for action in may if action.startswith("ecr:")} - on_anything
        assert {may[action] for action in pushing} == {'{"Fn::GetAtt": ["ImageBuildsRepositoryC5426F27", "Arn"]}'}
        assert "ecr:PutImage" in pushing
        assert not {action for action in may if action.startswith(("iam:", "lambda:", "sagemaker:", "dynamodb:"))}

    def test_who_waits_may_start_and_watch_and_nothing_else(self, aws: Assembly) -> None:
        logs = {"logs:CreateLogStream", "logs:PutLogEvents"}
        assert set(self._may(aws, "ImageBuildsStartRole")) - logs == {"codebuild:StartBuild", "ecr:DescribeImages"}
        assert set(self._may(aws, "ImageBuildsFinishRole")) - logs == {"codebuild:BatchGetBuilds", "ecr:DescribeImages"}

    def test_the_project_is_encrypted_and_gives_up_before_cloudformation_does(self, aws: Assembly) -> None:
        project = aws.one("AWS::CodeBuild::Project")
        assert project["EncryptionKey"]
        assert project["TimeoutInMinutes"] + project["QueuedTimeoutInMinutes"] < 60
        assert project["LogsConfig"]["CloudWatchLogs"]["Status"] == "ENABLED"

    def test_without_a_gpu_only_one_image_is_built(self, without_gpu: Assembly) -> None:
        (build,) = without_gpu.of_type("Custom::CleartakeImage").values()
        assert build["Properties"]["Target"] == "cpu"

    def _source(self, aws: Assembly) -> Path:
        (archive,) = (path for path in aws.folder.glob("asset.*") if (path / "gpu_container" / "Dockerfile").exists())
        return archive

    def _may(self, aws: Assembly, role: str) -> dict[str, str]:
        (name,) = (n.split("/")[1] for n in aws.of_type("AWS::IAM::Role") if role in n)
        return {
            action: json.dumps(statement["Resource"])
            for statement in aws.statements(name)
            for action in listed(statement["Action"])
        }


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    context = {"cpuArchitecture": "arm64", "cpuMemoryMib": "3008", "modelsMirror": "s3://our-files/models/cleartake/"}
    return engine(tmp_path_factory.mktemp("arm"), **context)[0]


class TestOtherProcessorAndMirror:
    def test_each_architecture_is_built_on_its_own(self, resources: dict[str, Any]) -> None:
        kinds = {project["Environment"]["Type"] for project in of_type(resources, "AWS::CodeBuild::Project")}
        assert kinds == {"LINUX_CONTAINER", "ARM_CONTAINER"}
        images = [f for f in of_type(resources, "AWS::Lambda::Function") if f.get("PackageType") == "Image"]
        assert {tuple(function["Architectures"]) for function in images} == {("arm64",)}
        tags = {build["Tag"].rsplit("-", 1)[0] for build in of_type(resources, "Custom::CleartakeImage")}
        assert tags == {"cpu-arm64", "gpu-x86_64"}

    def test_the_metric_of_costs_knows_the_function_that_there_is(self, resources: dict[str, Any]) -> None:
        functions = {
            f["Description"].split()[-1]: f for f in of_type(resources, "AWS::Lambda::Function") if "Description" in f
        }
        function, told = functions["EnhanceCpu"], functions["JobSteps"]["Environment"]["Variables"]
        assert (function["MemorySize"], function["Architectures"]) == (3008, ["arm64"])
        assert (told["CLEARTAKE_CPU_MEMORY_MIB"], told["CLEARTAKE_CPU_ARCHITECTURE"]) == ("3008", "arm64")

    def test_the_build_reads_the_mirror_and_nothing_beside_it(self, resources: dict[str, Any]) -> None:
        for project in of_type(resources, "AWS::CodeBuild::Project"):
            variables = {v["Name"]: v["Value"] for v in project["Environment"]["EnvironmentVariables"]}
            assert variables["MODELS_MIRROR"] == "s3://our-files/models/cleartake/"
        (policy,) = (p for name, p in resources.items() if name.startswith("ImageBuildsBuildRoleDefaultPolicy"))
        text = json.dumps(policy)
        assert ':s3:::our-files/models/cleartake/*"' in text
        assert '"s3:prefix": ["models/cleartake/*"]' in text


def test_images_that_are_there_already_are_taken_by_digest(tmp_path: Path) -> None:
    resources, assets = engine(tmp_path, image=CPU, gpuImage=GPU)
    assert {resource["Type"] for resource in resources.values()} & {
        "AWS::CodeBuild::Project",
        "AWS::ECR::Repository",
    } == set()
    assert assets["dockerImages"] == {}
    for name in IN_THE_IMAGE:
        assert f"cleartake-cpu@sha256:{'c' * 64}" in json.dumps(image_of(resources, name))
    (model,) = of_type(resources, "AWS::SageMaker::Model")
    assert model["PrimaryContainer"]["Image"] == GPU


def test_docker_on_this_machine_builds_both_targets(tmp_path: Path) -> None:
    resources, assets = engine(tmp_path, image="local")
    assert of_type(resources, "AWS::CodeBuild::Project") == []
    assert {image["source"]["dockerBuildTarget"] for image in assets["dockerImages"].values()} == {"cpu", "gpu"}


@pytest.mark.parametrize(
    "context",
    [
        {"image": f"{REGISTRY}/cleartake:latest"},  # a tag may mean other bytes tomorrow
        {"image": "docker.io/library/cleartake@sha256:" + "a" * 64},
        {"image": CPU},  # and the GPU's?
        {"gpuImage": GPU},
        {"modelsMirror": "https://example.org/models/"},
        {"modelsMirror": "s3://bucket/models"},
    ],
)
def test_what_names_no_image_and_no_folder_is_refused(context: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Config.from_context(context)


def test_without_a_gpu_one_digest_is_enough() -> None:
    assert Config.from_context({"image": CPU, "gpuBackend": "none"}).image == CPU


def test_the_dockerfile_is_where_the_build_looks_for_it() -> None:
    script = (REPOSITORY / "infra" / "custom_resources" / "image_build.sh").read_text()
    (path,) = re.findall(r"--file source/(\S+)", script)
    assert (REPOSITORY / path).is_file()
