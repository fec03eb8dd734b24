"""What must be true of an AWS account before ``make deploy``. Each check answers one question and names the remedy."""

import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from gpu_container.model_files import entries
from infra.config import IMAGE_BUILT_HERE, IMAGE_BUILT_THERE, Architecture, Config

MIN_BOOTSTRAP_VERSION = 6
"""Which the templates ask for; a test holds them to it."""
BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
MIN_CONCURRENCY = 100
"""Functions at once: an account begins with 10, and a busy minute of this service runs dozens."""
MIN_ROOM = 5
"""Functions that the CPU lane must leave to calls and to the steps of jobs: a lane that has them all waits for itself,
since its workers ask another function for their keys."""
NEW_ACCOUNT_CONCURRENCY = 10
NEW_ACCOUNT_MEMORY_MIB = 3008
"""What a function may have at most in some accounts that nobody has used yet; Lambda has no quota that says so."""
DOCKER_WAIT_S = 20

ClientOf = Callable[[str], Any]
"""Service name → boto3 client."""


class Level(StrEnum):
    """How a check ended; only `FAIL` keeps one from deploying."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """The answer to one check; ``remedy`` where there is something to do."""

    name: str
    level: Level
    message: str
    remedy: str = ""


Check = Callable[[ClientOf, Config], Finding]


def inspect(client_of: ClientOf, config: Config, *, region: str | None) -> list[Finding]:
    """Run every check that makes sense: without credentials and a region the account cannot be asked."""
    first = [_region(config, region), _credentials(client_of, config)]
    later = [] if _has_failed(first) else [check(client_of, config) for check in _account_checks(config)]
    return [*first, *later, *([_docker()] if config.image == IMAGE_BUILT_HERE else [])]


def is_ready(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing keeps one from deploying."""
    return not _has_failed(findings)


def _account_checks(config: Config) -> list[Check]:
    """Return the checks of what this configuration will use."""
    wanted = {
        _bootstrap: True,
        _gpu_quota: config.has_gpu,
        _concurrency: True,
        _memory: config.cpu_memory_mib > NEW_ACCOUNT_MEMORY_MIB,
        _build_quota: config.image == IMAGE_BUILT_THERE,
        _mirror: config.image == IMAGE_BUILT_THERE and config.models_mirror is not None,
        _images: config.image_is_named,
    }
    return [check for check, is_wanted in wanted.items() if is_wanted]


def _has_failed(findings: Iterable[Finding]) -> bool:
    return any(finding.level is Level.FAIL for finding in findings)


def _region(config: Config, region: str | None) -> Finding:
    if region is None:
        return Finding("region", Level.FAIL, "no region is set", "export AWS_REGION=eu-central-1, or the one you want")
    if config.region not in {None, region}:
        message = f"your credentials are for {region}, the configuration says {config.region}"
        return Finding("region", Level.FAIL, message, f"export AWS_REGION={config.region}")
    return Finding("region", Level.OK, region)


def _credentials(client_of: ClientOf, config: Config) -> Finding:
    try:
        who = client_of("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        remedy = "sign in: aws sso login, or export AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return Finding("credentials", Level.FAIL, f"AWS does not know you: {_words(error)}", remedy)
    account, arn = str(who["Account"]), str(who["Arn"])
    if config.account not in {None, account}:
        message = f"your credentials are for account {account}, the configuration says {config.account}"
        return Finding("credentials", Level.FAIL, message, "sign in to the other account, or drop -c account")
    if arn.endswith(":root"):
        remedy = "use a role that may deploy; the root user should have no access keys"
        return Finding("credentials", Level.WARN, f"account {account}, as its root user", remedy)
    return Finding("credentials", Level.OK, f"account {account}, as {arn.rsplit(':', 1)[1]}")


def _bootstrap(client_of: ClientOf, _config: Config) -> Finding:
    remedy = "make bootstrap"
    try:
        answer = client_of("ssm").get_parameter(Name=BOOTSTRAP_PARAMETER)
    except (BotoCoreError, ClientError) as error:
        if _code(error) == "ParameterNotFound":
            return Finding("bootstrap", Level.FAIL, "the CDK has never been used in this account and region", remedy)
        return _unknown("bootstrap", error)
    version = int(answer["Parameter"]["Value"])
    if version < MIN_BOOTSTRAP_VERSION:
        message = f"the CDK's own stack is of version {version}, {MIN_BOOTSTRAP_VERSION} is needed"
        return Finding("bootstrap", Level.FAIL, message, remedy)
    return Finding("bootstrap", Level.OK, f"version {version}")


def _gpu_quota(client_of: ClientOf, config: Config) -> Finding:
    wanted = config.max_gpu_instances
    name = f"{config.gpu_instance_type} for endpoint usage"
    try:
        pages = client_of("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
        found = next((quota for page in pages for quota in page["Quotas"] if quota["QuotaName"] == name), None)
    except (BotoCoreError, ClientError) as error:
        return _unknown("gpu quota", error)
    if found is None:
        message = f"this region has no quota called '{name}'"
        return Finding(
            "gpu quota",
            Level.FAIL,
            message,
            "choose another type: -c gpuInstanceType=ml.g5.xlarge, or -c gpuBackend=none",
        )
    value = int(found["Value"])
    remedy = (
        f"aws service-quotas request-service-quota-increase --service-code sagemaker "
        f"--quota-code {found['QuotaCode']} --desired-value {wanted}; it may take days. Until then: -c gpuBackend=none"
    )
    if value == 0:
        return Finding("gpu quota", Level.FAIL, f"this account may run no {name}: the endpoint cannot start", remedy)
    if value < wanted:
        return Finding("gpu quota", Level.WARN, f"{value} {name}, {wanted} are configured", remedy)
    return Finding("gpu quota", Level.OK, f"{value} {name}")


def _concurrency(client_of: ClientOf, config: Config) -> Finding:
    try:
        value = _functions_at_once(client_of("lambda"))
    except (BotoCoreError, ClientError) as error:
        return _unknown("lambda", error)
    raised = (
        "aws service-quotas request-service-quota-increase --service-code lambda "
        "--quota-code L-B99A9384 --desired-value 1000"
    )
    room = value - MIN_ROOM
    if config.cpu_functions > room:
        message = f"{value} functions at once, and the CPU lane may take {config.cpu_functions} of them"
        return Finding("lambda", Level.FAIL, message, f"{raised}. Until then: {_smaller_lane(config, room)}")
    if value < MIN_CONCURRENCY:
        return Finding("lambda", Level.WARN, f"{value} functions at once: clients will be throttled", raised)
    return Finding("lambda", Level.OK, f"{value} functions at once")


def _smaller_lane(config: Config, room: int) -> str:
    """Return what makes the CPU lane fit: fewer jobs in hand, of which long ones still get two functions each."""
    parts = min(config.parts_at_once, 2) if room > 1 else 1
    return f"-c partsAtOnce={parts} -c maxActiveTotal={max(1, room // parts)}"


def _memory(client_of: ClientOf, config: Config) -> Finding:
    """Guess at a limit that Lambda tells nobody, before two images have been built for a function that it refuses."""
    wanted = f"functions of {config.cpu_memory_mib:,} MB"
    try:
        client = client_of("lambda")
        if _functions_at_once(client) > NEW_ACCOUNT_CONCURRENCY or _has_large_function(client):
            return Finding("memory", Level.OK, wanted)
    except (BotoCoreError, ClientError) as error:
        return _unknown("memory", error)
    message = f"{wanted} are configured; accounts as new as this one may be held to {NEW_ACCOUNT_MEMORY_MIB:,} MB"
    remedy = f"-c cpuMemoryMib={NEW_ACCOUNT_MEMORY_MIB}, until AWS support has lifted the limit"
    return Finding("memory", Level.WARN, message, remedy)


def _functions_at_once(client: Any) -> int:
    return int(client.get_account_settings()["AccountLimit"]["ConcurrentExecutions"])


def _has_large_function(client: Any) -> bool:
    """Tell whether the account has a function already that the limit would have refused."""
    pages = client.get_paginator("list_functions").paginate()
    return any(one["MemorySize"] > NEW_ACCOUNT_MEMORY_MIB for page in pages for one in page["Functions"])


def _build_quota(client_of: ClientOf, config: Config) -> Finding:
    """Ask for one build at a time, which is enough: they run one after the other. Some new accounts may run none."""
    kinds = {"Linux/Medium"} | ({"ARM/Medium"} if config.cpu_architecture is Architecture.ARM64 else set())
    try:
        pages = client_of("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="codebuild")
        quotas = {quota["QuotaName"]: quota for page in pages for quota in page["Quotas"]}
    except (BotoCoreError, ClientError) as error:
        return _unknown("codebuild", error)
    found = [
        quota for name, quota in quotas.items() if "running builds" in name and any(kind in name for kind in kinds)
    ]
    if not found:
        message = f"this region has no quota of builds on {', '.join(sorted(kinds))}"
        return Finding("codebuild", Level.WARN, message, "if the build cannot start: -c image=local, with Docker here")
    least = min(found, key=lambda quota: float(quota["Value"]))
    if least["Value"] < 1:
        remedy = (
            f"aws service-quotas request-service-quota-increase --service-code codebuild "
            f"--quota-code {least['QuotaCode']} --desired-value 1; or build here: -c image=local"
        )
        return Finding("codebuild", Level.FAIL, f"this account may run no build: {least['QuotaName']}", remedy)
    return Finding("codebuild", Level.OK, f"{int(least['Value'])} builds at once")


def _mirror(client_of: ClientOf, config: Config) -> Finding:
    mirror = str(config.models_mirror)
    bucket, _, prefix = mirror.removeprefix("s3://").partition("/")
    try:
        pages = client_of("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        there = {found["Key"].removeprefix(prefix) for page in pages for found in page.get("Contents", ())}
    except (BotoCoreError, ClientError) as error:
        return Finding("mirror", Level.FAIL, f"{mirror} cannot be read: {_words(error)}", "or leave modelsMirror out")
    missing = {entry["file"] for entry in entries().values() if "file" in entry} - there
    if missing:
        message = f"{mirror} has not {', '.join(sorted(missing))}: the build asks the package index"
        return Finding("mirror", Level.WARN, message, f"make models-mirror TO={mirror}")
    return Finding("mirror", Level.OK, f"every model file is in {mirror}")


def _images(client_of: ClientOf, config: Config) -> Finding:
    """Ask the registry for every image that is named; functions take one from their own region only."""
    ecr = client_of("ecr")
    named = [config.image, *([config.gpu_image] if config.gpu_image and config.has_gpu else [])]
    for uri in named:
        registry, _, rest = uri.partition("/")
        account, _, _, region, *_ = registry.split(".")
        repository, _, digest = rest.partition("@")
        if region != ecr.meta.region_name:
            message = f"{uri} lies in {region}: functions take images from their own region, {ecr.meta.region_name}"
            return Finding("images", Level.FAIL, message, "copy it there, or leave image out and have it built")
        try:
            ecr.describe_images(registryId=account, repositoryName=repository, imageIds=[{"imageDigest": digest}])
        except (BotoCoreError, ClientError) as error:
            if _code(error) in {"ImageNotFoundException", "RepositoryNotFoundException"}:
                return Finding(
                    "images", Level.FAIL, f"there is no {uri}", "push it, or leave image out to have it built"
                )
            return _unknown("images", error)
    return Finding("images", Level.OK, f"{len(named)} found by digest")


def _docker() -> Finding:
    """Both container images are built on the machine that deploys."""
    remedy = "start Docker here, or leave out -c image=local: CodeBuild builds in your account"
    if shutil.which("docker") is None:
        return Finding("docker", Level.FAIL, "not installed; deploying builds two container images", remedy)
    try:
        subprocess.run(["docker", "info"], check=True, capture_output=True, timeout=DOCKER_WAIT_S)
    except (subprocess.SubprocessError, OSError):
        return Finding("docker", Level.FAIL, "installed, but its engine does not answer", remedy)
    return Finding("docker", Level.OK, "its engine answers")


def _unknown(name: str, error: BotoCoreError | ClientError) -> Finding:
    """Report a question that could not be asked: deploying may work all the same."""
    return Finding(name, Level.WARN, f"cannot be told: {_words(error)}", "check it by hand, or with more permissions")


def _code(error: BotoCoreError | ClientError) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""


def _words(error: BotoCoreError | ClientError) -> str:
    return str(error.response["Error"].get("Message", error)) if isinstance(error, ClientError) else str(error)
