"""The variant for one machine differs from AWS in a closed list of things; anything else fails here."""

from infra.config import PLACEHOLDERS
from infra.outputs import Output, function_output
from infra.variants import OTHERWISE, aws_only, differing_properties, surplus
from lambdas.core.workflow import FunctionName
from tests.infra.templates import Assembly


def test_resource_types_that_exist_only_in_aws(aws: Assembly, local: Assembly) -> None:
    assert surplus(aws.all(), local.all()) == aws_only()
    assert surplus(local.all(), aws.all()) == {}


def test_properties_that_differ(aws_here: Assembly, local: Assembly) -> None:
    assert differing_properties(local.all(), aws_here.all()) == set(OTHERWISE)


def test_local_functions_run_under_the_real_runtime_client(local: Assembly) -> None:
    for name, function in local.functions().items():
        assert function["Runtime"] == "provided.al2023", name
        assert function["Environment"]["Variables"]["CLEARTAKE_LOCAL_PYTHON"] == "@@PYTHON@@"
        assert function["Environment"]["Variables"]["CLEARTAKE_S3_ADDRESSING"] == "path"
    for asset in local.folder.glob("asset.*"):
        assert (asset / "bootstrap").stat().st_mode & 0o111
        assert (asset / "gpu_container" / "contract").is_dir()


def test_placeholders_stand_in_local_templates_only(aws: Assembly, local: Assembly) -> None:
    assert "@@" not in aws.text()
    assert all(placeholder in local.text() for placeholder in PLACEHOLDERS)


def test_outputs_are_published_once_under_stable_names(aws: Assembly, local: Assembly) -> None:
    by_configuration = {Output.DOMAIN_TARGET, Output.MODELS_MIRROR}
    expected = set(Output) - by_configuration | {function_output(name.value) for name in FunctionName}
    for assembly in (aws, local):
        assert {key for key in assembly.outputs() if not key.startswith("RestApiEndpoint")} == expected
