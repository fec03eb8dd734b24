"""What a person is told about an account before deploying to it."""

import subprocess
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from gpu_container.model_files import entries
from infra.config import Config
from scripts import preflight
from scripts.cli.preflight import line
from scripts.preflight import BOOTSTRAP_PARAMETER, Finding, Level, inspect, is_ready

REGION = "eu-central-1"
CONFIG = Config()

MODELS = entries().values()
REGISTRY = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
IMAGE = f"{REGISTRY}/cleartake@sha256:{'c' * 64}"

Clients = Callable[..., Callable[[str], Any]]


def quota(name: str, value: float) -> dict[str, Any]:
    return {"QuotaName": name, "QuotaCode": "L-1", "Value": value}


def concurrent(functions: int) -> dict[str, Any]:
    return {"AccountLimit": {"ConcurrentExecutions": functions}}


BUILDS = quota("Concurrently running builds for Linux/Medium environment", 1.0)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Clients:
    """Return a maker of accounts: healthy but for what is changed. A value that is text is an AWS error code."""
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("DEFAULT_REGION", REGION)):
        monkeypatch.setenv(f"AWS_{name}", value)
    docker(monkeypatch)

    def make(**changes: Any) -> Callable[[str], Any]:
        answers = {
            "identity": {"Account": "123456789012", "Arn": "arn:aws:sts::123456789012:assumed-role/deployer/me"},
            "bootstrap": {"Parameter": {"Name": BOOTSTRAP_PARAMETER, "Value": "27"}},
            "quotas": {"Quotas": [quota("other", 1.0), quota("ml.g4dn.xlarge for endpoint usage", 2.0), BUILDS]},
            "lambda": concurrent(1000),
            "functions": {"Functions": []},
            "mirror": {"Contents": [{"Key": f"models/{entry['file']}"} for entry in MODELS if "file" in entry]},
            "images": {"imageDetails": []},
        } | changes
        calls = {
            "sts": ("get_caller_identity", answers["identity"]),
            "ssm": ("get_parameter", answers["bootstrap"]),
            "service-quotas": ("list_service_quotas", answers["quotas"]),
            "lambda": ("get_account_settings", answers["lambda"]),
            "lambda, then": ("list_functions", answers["functions"]),
            "s3": ("list_objects_v2", answers["mirror"]),
            "ecr": ("describe_images", answers["images"]),
        }

        def client_of(service: str) -> Any:
            client: Any = boto3.client(service)  # type: ignore[call-overload]
            stubber, asked = Stubber(client), calls[service]
            for method, answer in (asked, calls.get(f"{service}, then", asked)):  # two images are two questions
                if isinstance(answer, str):
                    stubber.add_client_error(method, answer, f"{answer}, says AWS")
                else:
                    stubber.add_response(method, answer)
            stubber.activate()
            return client

        return client_of

    return make


def docker(monkeypatch: pytest.MonkeyPatch, *, path: str | None = "/usr/bin/docker", answers: bool = True) -> None:
    monkeypatch.setattr(preflight.shutil, "which", lambda _: path)

    def run(command: list[str], **_: Any) -> Any:
        if not answers:
            raise subprocess.CalledProcessError(1, command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(preflight.subprocess, "run", run)


def found(findings: list[Finding], name: str) -> Finding:
    (one,) = (finding for finding in findings if finding.name == name)
    return one


def test_a_healthy_account_is_ready(account: Clients) -> None:
    findings = inspect(account(), CONFIG, region=REGION)
    assert is_ready(findings)
    assert {finding.level for finding in findings} == {Level.OK}
    assert found(findings, "credentials").message == "account 123456789012, as assumed-role/deployer/me"


def test_without_credentials_only_that_is_asked_and_the_remedy_is_named(account: Clients) -> None:
    findings = inspect(account(identity="ExpiredToken"), CONFIG, region=REGION)
    assert not is_ready(findings)
    assert "aws sso login" in found(findings, "credentials").remedy
    assert {finding.name for finding in findings} == {"region", "credentials"}


def test_no_region(account: Clients) -> None:
    assert "AWS_REGION" in found(inspect(account(), CONFIG, region=None), "region").remedy


@pytest.mark.parametrize("config", [Config(account="999999999999"), Config(region="us-east-1")])
def test_another_account_or_region_than_configured_is_refused(account: Clients, config: Config) -> None:
    assert not is_ready(inspect(account(), config, region=REGION))


def test_the_root_user_is_warned(account: Clients) -> None:
    identity = {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:root"}
    findings = inspect(account(identity=identity), CONFIG, region=REGION)
    assert found(findings, "credentials").level is Level.WARN
    assert is_ready(findings)


@pytest.mark.parametrize("answer", ["ParameterNotFound", {"Parameter": {"Value": "5"}}])
def test_a_missing_or_old_bootstrap_names_the_command(account: Clients, answer: Any) -> None:
    finding = found(inspect(account(bootstrap=answer), CONFIG, region=REGION), "bootstrap")
    assert finding.level is Level.FAIL
    assert finding.remedy.endswith("bootstrap")


@pytest.mark.parametrize(("value", "level"), [(0.0, Level.FAIL), (1.0, Level.WARN), (2.0, Level.OK)])
def test_gpu_quota(account: Clients, value: float, level: Level) -> None:
    quotas = {"Quotas": [quota("ml.g4dn.xlarge for endpoint usage", value)]}
    finding = found(inspect(account(quotas=quotas), CONFIG, region=REGION), "gpu quota")
    assert finding.level is level
    assert level is Level.OK or "--quota-code L-1 --desired-value 2" in finding.remedy


def test_an_instance_type_that_the_region_has_not(account: Clients) -> None:
    finding = found(inspect(account(quotas={"Quotas": []}), CONFIG, region=REGION), "gpu quota")
    assert finding.level is Level.FAIL
    assert "gpuInstanceType" in finding.remedy


def test_what_one_may_not_ask_is_a_warning_and_not_a_crash(account: Clients) -> None:
    denied = dict.fromkeys(("bootstrap", "quotas", "lambda"), "AccessDeniedException")
    findings = inspect(account(**denied), CONFIG, region=REGION)
    assert is_ready(findings)
    for name in ("bootstrap", "gpu quota", "lambda"):
        assert found(findings, name).level is Level.WARN
        assert "says AWS" in found(findings, name).message


def test_a_new_accounts_ten_functions_at_once_are_too_few(account: Clients) -> None:
    """The CPU lane alone would take them all, and then wait for the function that lends it its keys."""
    config = Config(gpu_backend="none")
    assert config.cpu_functions == 32
    finding = found(inspect(account(**{"lambda": concurrent(10)}), config, region=REGION), "lambda")
    assert finding.level is Level.FAIL
    assert "--quota-code L-B99A9384" in finding.remedy

    told = dict(word.split("=") for word in finding.remedy.split() if "=" in word)
    smaller = Config.from_context({"gpuBackend": "none", **told})
    finding = found(inspect(account(**{"lambda": concurrent(10)}), smaller, region=REGION), "lambda")
    assert (smaller.cpu_functions, finding.level) == (4, Level.WARN)


@pytest.mark.parametrize(("functions", "level"), [(36, Level.FAIL), (37, Level.WARN), (100, Level.OK)])
def test_calls_and_steps_get_room_beside_the_cpu_lane(account: Clients, functions: int, level: Level) -> None:
    few = account(**{"lambda": concurrent(functions)})
    assert found(inspect(few, Config(gpu_backend="none"), region=REGION), "lambda").level is level


def test_a_lane_with_functions_of_its_own_takes_no_more_than_those() -> None:
    assert Config(gpu_backend="none", cpu_concurrency=6).cpu_functions == 6


@pytest.mark.parametrize(
    ("functions", "has_large", "level"), [(10, False, Level.WARN), (10, True, Level.OK), (11, False, Level.OK)]
)
def test_a_new_account_may_be_refused_large_functions(
    account: Clients, functions: int, has_large: bool, level: Level
) -> None:
    there = {"Functions": [{"MemorySize": 10_240}] if has_large else [{"MemorySize": 3008}]}
    new = account(**{"lambda": concurrent(functions), "functions": there})
    config = Config(gpu_backend="none", max_active_total=1)
    finding = found(inspect(new, config, region=REGION), "memory")
    assert finding.level is level
    assert level is Level.OK or finding.remedy.startswith("-c cpuMemoryMib=3008")


def test_who_asks_for_small_functions_is_not_warned_of_large_ones(account: Clients) -> None:
    config = Config(gpu_backend="none", max_active_total=1, cpu_memory_mib=3008)
    findings = inspect(account(**{"lambda": concurrent(10)}), config, region=REGION)
    assert "memory" not in {finding.name for finding in findings}


@pytest.mark.parametrize("state", [{"path": None}, {"answers": False}])
def test_docker_is_needed_only_where_it_builds_and_must_answer_there(
    account: Clients, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any]
) -> None:
    clients = account()
    docker(monkeypatch, **state)
    assert is_ready(inspect(clients, CONFIG, region=REGION))
    findings = inspect(clients, Config(image="local"), region=REGION)
    assert found(findings, "docker").level is Level.FAIL
    assert not is_ready(findings)


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        (CONFIG, {"gpu quota", "codebuild"}),
        (Config(gpu_backend="none"), {"codebuild"}),
        (Config(gpu_backend="none", models_mirror="s3://ours/models/"), {"codebuild", "mirror"}),
        (Config(gpu_backend="none", image="local"), {"docker"}),
        (Config(gpu_backend="none", image=IMAGE), {"images"}),
        (Config(image=IMAGE, gpu_image=IMAGE), {"gpu quota", "images"}),
    ],
)
def test_only_what_will_be_used_is_asked_for(account: Clients, config: Config, asked: set[str]) -> None:
    findings = inspect(account(), config, region=REGION)
    assert {finding.name for finding in findings} == {"region", "credentials", "bootstrap", "lambda", "memory"} | asked
    assert {finding.level for finding in findings} == {Level.OK}


@pytest.mark.parametrize(("value", "level"), [(0.0, Level.FAIL), (1.0, Level.OK)])
def test_one_build_at_a_time_is_enough(account: Clients, value: float, level: Level) -> None:
    quotas = {"Quotas": [{**BUILDS, "Value": value}]}
    config = Config(gpu_backend="none")
    assert found(inspect(account(quotas=quotas), config, region=REGION), "codebuild").level is level


def test_a_mirror_that_lacks_files_is_named_and_one_that_cannot_be_read_keeps_one_from_deploying(
    account: Clients,
) -> None:
    config = Config(gpu_backend="none", models_mirror="s3://ours/models/")
    lacking = found(inspect(account(mirror={}), config, region=REGION), "mirror")
    assert (lacking.level, lacking.remedy) == (Level.WARN, "make models-mirror TO=s3://ours/models/")
    assert found(inspect(account(mirror="AccessDenied"), config, region=REGION), "mirror").level is Level.FAIL


@pytest.mark.parametrize(
    ("image", "answer"), [(IMAGE, "ImageNotFoundException"), (IMAGE.replace(REGION, "us-east-1"), {"imageDetails": []})]
)
def test_a_named_image_must_be_there_and_in_this_region(account: Clients, image: str, answer: Any) -> None:
    config = Config(gpu_backend="none", image=image)
    assert found(inspect(account(images=answer), config, region=REGION), "images").level is Level.FAIL


def test_a_remedy_stands_below_its_finding() -> None:
    shown = line(Finding("gpu quota", Level.FAIL, "none", "ask for one"))
    assert shown.splitlines()[0] == "FAIL  gpu quota    none"
    assert shown.splitlines()[1].strip() == "→ ask for one"
