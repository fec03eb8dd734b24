"""The CPU lane: the image as a function, whose ends Lambda itself tells, and the machine that shares a file out."""

import json

import pytest
from pydantic import ValidationError

from infra.config import Config
from infra.constructs.asl import to_asl
from lambdas.core.workflow import FAN_OUT
from lambdas.settings import DispatchSettings
from tests.infra.templates import Assembly, listed


def test_one_file_gets_the_largest_function_and_no_scratch_space(aws: Assembly) -> None:
    function = aws.functions()["EnhanceCpu"]
    assert function["ImageConfig"]["Command"] == ["gpu_container.serving.lambda_handler.enhance"]
    assert (function["MemorySize"], function["Timeout"]) == (10_240, 900)
    assert function["EphemeralStorage"] == {"Size": 512}
    assert "ReservedConcurrentExecutions" not in function


def test_a_crash_is_told_like_a_result_and_lambda_repeats_nothing(aws: Assembly) -> None:
    ends = aws.one("AWS::Lambda::EventInvokeConfig", "EnhanceCpu")
    assert ends["MaximumRetryAttempts"] == 0
    told = ends["DestinationConfig"]
    assert "NoticesSuccess" in json.dumps(told["OnSuccess"])
    assert "NoticesError" in json.dumps(told["OnFailure"])


def test_its_ends_are_set_only_once_its_role_may_tell_them(aws: Assembly) -> None:
    """Lambda refuses a destination that the role cannot publish to."""
    (ends,) = (r for name, r in aws.of_type("AWS::Lambda::EventInvokeConfig").items() if "EnhanceCpu" in name)
    assert any("EnhanceCpuRoleDefaultPolicy" in name for name in ends["DependsOn"])


def test_dispatch_names_the_function_that_there_is(aws: Assembly) -> None:
    variables = aws.functions()["Dispatch"]["Environment"]["Variables"]
    assert variables["CLEARTAKE_CPU_FUNCTION"] == aws.functions()["EnhanceCpu"]["FunctionName"]
    statements = aws.statements(aws.role_of(aws.functions()["Dispatch"]))
    (invoke,) = (s for s in statements if "lambda:InvokeFunction" in listed(s["Action"]))
    assert json.dumps(invoke["Resource"]).count("cleartake-dev-enhance-cpu") == 1


@pytest.mark.parametrize(
    ("variant", "lanes"), [("aws", {"cpu", "cpu-fan-out", "gpu"}), ("without_gpu", {"cpu", "cpu-fan-out"})]
)
def test_dispatch_knows_the_lanes_that_are_deployed(
    request: pytest.FixtureRequest, variant: str, lanes: set[str]
) -> None:
    variables = request.getfixturevalue(variant).functions()["Dispatch"]["Environment"]["Variables"]
    read = {name: value if isinstance(value, str) else "x" for name, value in variables.items()}
    assert set(DispatchSettings.read(read).speeds) == lanes


@pytest.mark.parametrize("variant", ["aws", "without_gpu", "local"])
def test_dispatch_may_start_the_fan_out_that_there_is(request: pytest.FixtureRequest, variant: str) -> None:
    assembly: Assembly = request.getfixturevalue(variant)
    name = assembly.one("AWS::StepFunctions::StateMachine", "FanOut")["StateMachineName"]
    assert name == "cleartake-dev-fan-out"
    dispatch = assembly.functions()["Dispatch"]
    started = dispatch["Environment"]["Variables"]["CLEARTAKE_FAN_OUT_MACHINE_ARN"]
    statements = assembly.statements(assembly.role_of(dispatch))
    (start,) = (s for s in statements if "states:StartExecution" in listed(s["Action"]))
    assert listed(start["Resource"]) == [started]
    assert f":stateMachine:{name}" in json.dumps(started)


def test_the_fan_out_may_invoke_one_function_and_watch_itself(aws: Assembly) -> None:
    (role,) = (name.split("/")[1] for name in aws.of_type("AWS::IAM::Role") if "FanOut" in name)
    may = {action: json.dumps(s["Resource"]) for s in aws.statements(role) for action in listed(s["Action"])}
    ours = {action: resource for action, resource in may.items() if resource != '"*"'}
    assert set(ours) == {
        "lambda:InvokeFunction",
        "states:StartExecution",
        "states:DescribeExecution",
        "states:StopExecution",
    }
    assert "EnhanceCpuFunction" in ours["lambda:InvokeFunction"]
    assert ":stateMachine:cleartake-dev-fan-out" in ours["states:StartExecution"]
    for action in ("states:DescribeExecution", "states:StopExecution"):
        assert ours[action].count(":execution:cleartake-dev-fan-out") == len(listed(json.loads(ours[action]))) == 2


def test_every_end_of_a_fan_out_is_told(aws: Assembly) -> None:
    rule = aws.one("AWS::Events::Rule", "FanOut")
    detail = rule["EventPattern"]["detail"]
    assert "FanOut" in json.dumps(detail["stateMachineArn"])
    assert set(detail["status"]) == {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}
    (target,) = rule["Targets"]
    assert "CompleteFunction" in json.dumps(target["Arn"])
    assert "NoticesDeadLetters" in json.dumps(target["DeadLetterConfig"])


def test_parts_at_once_are_configured() -> None:
    assert (
        to_asl(FAN_OUT, items_at_once=Config(parts_at_once=7).parts_at_once)["States"]["Parts"]["MaxConcurrency"] == 7
    )
    with pytest.raises(ValidationError):
        Config(parts_at_once=0)


def test_nothing_of_sagemaker_is_left_without_a_gpu(without_gpu: Assembly) -> None:
    kinds = {resource["Type"] for resource in without_gpu.all().values()}
    assert not {kind for kind in kinds if "SageMaker" in kind or "ApplicationAutoScaling" in kind}
    assert "sagemaker" not in without_gpu.text().lower()
    assert "EndpointName" not in without_gpu.outputs()


def test_speeds_and_room_are_configured() -> None:
    speed = {"mono": {"dfn3": 1}, "stereo": {"dfn3": 2}, "dereverb": 0, "report": 0, "codecs": 0, "limit_s": 60}
    config = Config.from_context({"laneSpeeds": json.dumps({"cpu": speed}), "gpuBackend": "none"})
    assert json.loads(config.speeds_json)["cpu"]["limit_s"] == 60
    with pytest.raises(ValidationError):
        Config.from_context({"laneSpeeds": json.dumps({"tpu": speed})})
    assert Config(gpu_backend="none", cpu_concurrency=30).active_total == 30
    assert Config(gpu_backend="none").active_total == 8
