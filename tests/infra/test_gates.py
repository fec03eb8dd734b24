"""The gates themselves: cdk-nag bites, cfn-lint is clean, and what the app imports needs no environment."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_sqs as sqs
from pydantic import ValidationError

from infra.config import REPOSITORY, STACK_PARTS, Config
from infra.nag import gate
from lambdas.dialects.registry import DIALECTS
from scripts.preflight import MIN_BOOTSTRAP_VERSION
from tests.infra.templates import Assembly

_CFN_LINT = "import sys; from cfnlint.runner import main; sys.exit(main())"


def test_nag_fails_a_synthesis_with_a_finding(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path), analytics_reporting=False)
    sqs.Queue(Stack(app, "Bad"), "WithoutTlsOrDeadLetters")
    gate(app)
    with pytest.raises(RuntimeError, match="AwsSolutions-SQS4"):
        app.synth()


def test_production_with_everything_on_passes_the_gate(tmp_path: Path) -> None:
    config = Config(
        stage="prod",
        bundle=False,
        account="111122223333",
        region="eu-central-1",
        domain_name="speech.example.org",
        certificate_arn="arn:aws:acm:eu-central-1:111122223333:certificate/0",
        alarm_email="ops@example.org",
        monthly_budget_usd=100,
        cors_origins=("https://app.example.org",),
    )
    production = Assembly.make(config, tmp_path)
    (budget,) = production.of_type("AWS::Budgets::Budget").values()
    (counted,) = budget["Properties"]["Budget"]["CostFilters"]["TagKeyValue"]
    artifacts = json.loads((tmp_path / "manifest.json").read_text())["artifacts"]
    for part in STACK_PARTS:
        tags = artifacts[f"cleartake-prod-{part}"]["properties"]["tags"]
        assert counted in {f"user:{key}${value}" for key, value in tags.items()}
        assert counted.endswith("prod"), "a budget counts its own stage, not its neighbours in the account"
    assert production.one("AWS::ApiGateway::DomainName")["SecurityPolicy"] == "TLS_1_2"
    assert production.one("AWS::ApiGateway::RestApi")["DisableExecuteApiEndpoint"] is True
    assert _browsers(production) == ([["https://app.example.org"]], ['["https://app.example.org"]'] * len(DIALECTS))


def _browsers(assembly: Assembly) -> tuple[list[list[str]], list[str]]:
    """Return the origins that buckets and functions know."""
    buckets = [one["Properties"].get("CorsConfiguration") for one in assembly.of_type("AWS::S3::Bucket").values()]
    rules = [rule for one in buckets if one for rule in one["CorsRules"]]
    assert all(set(rule["AllowedMethods"]) == {"PUT", "GET"} for rule in rules)
    variables = [one.get("Environment", {}).get("Variables", {}) for one in assembly.functions().values()]
    told = [one["CLEARTAKE_CORS_ORIGINS"] for one in variables if "CLEARTAKE_CORS_ORIGINS" in one]
    return [rule["AllowedOrigins"] for rule in rules], told


def test_no_page_may_call_unless_it_is_named(aws: Assembly) -> None:
    assert _browsers(aws) == ([], [])


@pytest.mark.parametrize(
    "origin", ["*", "http://app.example.org", "https://*.example.org", "https://a.example/", "null"]
)
def test_what_is_no_origin_of_a_page_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match="is not an origin"):
        Config(cors_origins=(origin,))


def test_pages_of_this_machine_may_call_on_this_machine_only() -> None:
    page = "http://localhost:3000"
    assert Config(local=True, cors_origins=(page,)).cors_origins == (page,)
    with pytest.raises(ValidationError, match="is not an origin"):
        Config(cors_origins=(page,))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["stage", "prod"])
@pytest.mark.parametrize("gpu_backend", ["sagemaker", "none"])
def test_every_stage_passes_the_gate_with_and_without_a_gpu(
    tmp_path: Path, stage: Literal["stage", "prod"], gpu_backend: Literal["sagemaker", "none"]
) -> None:
    assembly = Assembly.make(Config(stage=stage, gpu_backend=gpu_backend, bundle=False), tmp_path)
    assert bool(assembly.of_type("AWS::SageMaker::Endpoint")) == (gpu_backend == "sagemaker")
    command = [sys.executable, "-c", _CFN_LINT, *map(str, assembly.paths())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("variant", ["aws", "without_gpu", "local"])
def test_templates_pass_cfn_lint(request: pytest.FixtureRequest, variant: str) -> None:
    assembly: Assembly = request.getfixturevalue(variant)
    command = [sys.executable, "-c", _CFN_LINT, *map(str, assembly.paths())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_tables_import_with_an_empty_environment() -> None:
    code = "import lambdas.core.workflow, lambdas.settings, infra.routes as r; r.api_routes()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_context_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="stge"):
        Config.from_context({"stge": "prod", "aws:cdk:bundling-stacks": ["*"], "@aws-cdk/core:x": True})


def test_context_values_from_the_command_line_are_text() -> None:
    config = Config.from_context(
        {"local": "1", "retentionDays": "7", "corsOrigins": "https://a.example, https://b.example"}
    )
    assert (config.local, config.retention_days) == (True, 7)
    assert config.cors_origins == ("https://a.example", "https://b.example")


def test_a_domain_needs_its_certificate() -> None:
    with pytest.raises(ValidationError, match="certificateArn"):
        Config(domain_name="speech.example.org")


def test_preflight_asks_for_the_bootstrap_that_the_templates_need(aws: Assembly) -> None:
    refused = json.dumps(aws.templates["data"]["Rules"]["CheckBootstrapVersion"])
    assert f'"{MIN_BOOTSTRAP_VERSION - 1}"' in refused
    assert f'"{MIN_BOOTSTRAP_VERSION}"' not in refused


def test_only_a_drill_on_one_machine_shortens_the_timers(aws: Assembly) -> None:
    assert "CLEARTAKE_TIMER_SCALE" not in aws.text()
    assert Config(local=True, timer_scale=0.25).timer_scale == 0.25
    with pytest.raises(ValidationError, match="one machine"):
        Config(timer_scale=0.25)
