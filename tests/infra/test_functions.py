"""Each function gets the environment its settings class reads, the runtime and the code it needs."""

import pytest

from infra.config import Config
from infra.constructs.functions import entrypoint, settings_environment
from lambdas.core.workflow import FunctionName
from lambdas.dialects.registry import DIALECTS
from lambdas.settings import (
    AccessSettings,
    AdmitSettings,
    ApiSettings,
    CompleteSettings,
    DeliverSettings,
    DispatchSettings,
    EraseSettings,
    FetchLostSettings,
    FetchSettings,
    IntakeSettings,
    JobStepsSettings,
    Settings,
    SweepSettings,
    TokenSettings,
    WebhookSettings,
)
from tests.infra.templates import Assembly

SETTINGS: dict[FunctionName, type[Settings]] = {
    **{dialect.function: ApiSettings for dialect in DIALECTS},
    FunctionName.TOKEN: TokenSettings,
    FunctionName.INTAKE: IntakeSettings,
    FunctionName.ADMIT: AdmitSettings,
    FunctionName.JOB_STEPS: JobStepsSettings,
    FunctionName.DISPATCH: DispatchSettings,
    FunctionName.ACCESS: AccessSettings,
    FunctionName.COMPLETE: CompleteSettings,
    FunctionName.SWEEP: SweepSettings,
    FunctionName.ERASE: EraseSettings,
    FunctionName.WEBHOOK: WebhookSettings,
    FunctionName.DELIVER: DeliverSettings,
    FunctionName.FETCH: FetchSettings,
    FunctionName.FETCH_LOST: FetchLostSettings,
}
IN_THE_IMAGE = {FunctionName.PROBE, FunctionName.ENHANCE_CPU}
WITHOUT_SETTINGS = {FunctionName.DOCS}
LOCAL_ONLY = {"CLEARTAKE_LOCAL_PYTHON"}


def _variables(assembly: Assembly, name: FunctionName) -> set[str]:
    variables = assembly.functions()[name.value]["Environment"]["Variables"]
    assert {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL"} <= set(variables)
    return {key for key in variables if key.startswith("CLEARTAKE_")}


def test_every_zip_function_has_settings() -> None:
    assert set(SETTINGS) == set(FunctionName) - IN_THE_IMAGE - WITHOUT_SETTINGS


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("variant", ["aws", "local"])
def test_environment_is_what_the_settings_read(
    request: pytest.FixtureRequest, variant: str, name: FunctionName
) -> None:
    settings = SETTINGS[name]
    given = _variables(request.getfixturevalue(variant), name) - LOCAL_ONLY
    required = {f"CLEARTAKE_{field.upper()}" for field, info in settings.model_fields.items() if info.is_required()}
    assert required <= given <= settings.variables()


def test_a_misspelt_setting_fails_the_synthesis() -> None:
    with pytest.raises(ValueError, match=r"unknown \['audio'\]"):
        settings_environment(CompleteSettings, Config(), table="t", work_bucket="b", audio="x")


def test_probe_knows_nothing_of_the_orchestration(aws: Assembly) -> None:
    assert _variables(aws, FunctionName.PROBE) == {"CLEARTAKE_ACCESS_FUNCTION", "CLEARTAKE_PROBE_LIMIT_S"}


def test_a_probe_has_nearly_all_the_time_that_its_function_has(aws: Assembly) -> None:
    """A deadline of its own lets it say that it took too long; a short one condemns long recordings."""
    probe = aws.functions()["Probe"]
    limit_s = float(probe["Environment"]["Variables"]["CLEARTAKE_PROBE_LIMIT_S"])
    assert 0.9 * probe["Timeout"] <= limit_s <= probe["Timeout"] - 30
    probe = aws.functions()["Probe"]
    assert probe["PackageType"] == "Image"
    assert probe["ImageConfig"]["Command"] == ["gpu_container.serving.lambda_handler.probe"]
    assert probe["EphemeralStorage"] == {"Size": 10_240}
    assert (probe["MemorySize"], probe["Timeout"]) == (2048, 900)


def test_zip_functions_run_the_one_runtime(aws: Assembly) -> None:
    for name, function in aws.functions().items():
        if FunctionName(name) not in IN_THE_IMAGE:
            assert function["Runtime"] == "python3.13"
            assert function["Architectures"] == ["arm64"]
            assert function["Handler"] == entrypoint(FunctionName(name))


def test_functions_are_traced_and_log_json(aws: Assembly) -> None:
    for function in aws.functions().values():
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert function["LoggingConfig"]["LogFormat"] == "JSON"
        assert "LogGroup" in function["LoggingConfig"]


def test_log_groups_expire(aws: Assembly) -> None:
    for name, group in aws.of_type("AWS::Logs::LogGroup").items():
        assert group["Properties"]["RetentionInDays"] == 30, name
