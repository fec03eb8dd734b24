"""What must be true of an AWS account before ``make deploy``. Each check answers one question and names the remedy."""

import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.config import Config

MIN_BOOTSTRAP_VERSION = 6
"""Which the templates ask for; a test holds them to it."""
BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
MIN_CONCURRENCY = 100
"""Functions at once: an account begins with 10, and a busy minute of this service runs dozens."""
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


def inspect(client_of: ClientOf, config: Config, *, region: str | None) -> list[Finding]:
    """Run every check that makes sense: without credentials and a region the account cannot be asked."""
    first = [_region(config, region), _credentials(client_of, config)]
    later = [] if _has_failed(first) else [check(client_of, config) for check in _ACCOUNT_CHECKS]
    return [*first, *later, _docker()]


def is_ready(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing keeps one from deploying."""
    return not _has_failed(findings)


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
    remedy = ".venv/bin/npx aws-cdk@2.1148.1 bootstrap"
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
        return Finding("gpu quota", Level.FAIL, message, "choose another type: -c gpuInstanceType=ml.g5.xlarge, say")
    value = int(found["Value"])
    remedy = (
        f"aws service-quotas request-service-quota-increase --service-code sagemaker "
        f"--quota-code {found['QuotaCode']} --desired-value {wanted}; it may take days"
    )
    if value == 0:
        return Finding("gpu quota", Level.FAIL, f"this account may run no {name}: the endpoint cannot start", remedy)
    if value < wanted:
        return Finding("gpu quota", Level.WARN, f"{value} {name}, {wanted} are configured", remedy)
    return Finding("gpu quota", Level.OK, f"{value} {name}")


def _concurrency(client_of: ClientOf, _config: Config) -> Finding:
    try:
        value = int(client_of("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"])
    except (BotoCoreError, ClientError) as error:
        return _unknown("lambda", error)
    if value < MIN_CONCURRENCY:
        remedy = "ask for 1,000 (quota L-B99A9384), and for functions of 10,240 MB if the account is new"
        return Finding("lambda", Level.WARN, f"{value} functions at once: clients will be throttled", remedy)
    return Finding("lambda", Level.OK, f"{value} functions at once")


def _docker() -> Finding:
    """Both container images are built on the machine that deploys."""
    remedy = "start Docker here, or deploy from a machine or a CodeBuild project that has it"
    if shutil.which("docker") is None:
        return Finding("docker", Level.FAIL, "not installed; deploying builds two container images", remedy)
    try:
        subprocess.run(["docker", "info"], check=True, capture_output=True, timeout=DOCKER_WAIT_S)
    except (subprocess.SubprocessError, OSError):
        return Finding("docker", Level.FAIL, "installed, but its engine does not answer", remedy)
    return Finding("docker", Level.OK, "its engine answers")


_ACCOUNT_CHECKS = (_bootstrap, _gpu_quota, _concurrency)


def _unknown(name: str, error: BotoCoreError | ClientError) -> Finding:
    """Report a question that could not be asked: deploying may work all the same."""
    return Finding(name, Level.WARN, f"cannot be told: {_words(error)}", "check it by hand, or with more permissions")


def _code(error: BotoCoreError | ClientError) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""


def _words(error: BotoCoreError | ClientError) -> str:
    return str(error.response["Error"].get("Message", error)) if isinstance(error, ClientError) else str(error)
