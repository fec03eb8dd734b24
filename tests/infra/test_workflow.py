"""The state machines' definitions are the core's tables, complete and with the right timers."""

import json
from typing import Any

import pytest

from infra.config import Config
from infra.constructs.asl import CALL_AND_WAIT, to_asl
from lambdas.core.workflow import (
    ASSET_INTAKE,
    ENHANCEMENT,
    FAN_OUT,
    GPU_START_LIMIT_S,
    HEARTBEAT_TIMEOUT_S,
    INVOCATION_TIMEOUT_S,
    MACHINES,
    SWEEP_INTERVAL_S,
    TASK_HEARTBEAT_S,
    WHOLE_STATE,
    Machine,
)
from tests.infra.templates import Assembly

every_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)


def _targets(state: dict[str, Any]) -> list[str]:
    chosen = [choice["Next"] for choice in state.get("Choices", [])]
    caught = [catch["Next"] for catch in state.get("Catch", [])]
    return [*chosen, *caught, *(state[key] for key in ("Next", "Default") if key in state)]


@every_machine
def test_every_target_exists_and_every_state_is_reached(machine: Machine) -> None:
    states = to_asl(machine)["States"]
    reached, waiting = set(), [to_asl(machine)["StartAt"]]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += _targets(states[name])
    assert reached == set(states)


@every_machine
def test_every_step_has_a_timeout_and_keeps_its_answer(machine: Machine) -> None:
    for step in machine.steps:
        state = to_asl(machine)["States"][step.name]
        kept = {None: None, WHOLE_STATE: WHOLE_STATE}
        assert state["ResultPath"] == kept.get(step.result_key, f"$.{step.result_key}")
        if step.each:
            (state,) = state["ItemProcessor"]["States"].values()
        assert state["TimeoutSeconds"] == step.timeout_s
        assert [retry["ErrorEquals"] for retry in state["Retry"]] == [list(retry.errors) for retry in step.retries]


def test_callback_step_hands_over_its_token() -> None:
    state = to_asl(ENHANCEMENT)["States"]["Dispatch"]
    assert state["Resource"] == f"${{{CALL_AND_WAIT}}}"
    assert state["Parameters"] == {
        "FunctionName": "${Dispatch}",
        "Payload": {"step": "Dispatch", "state.$": "$", "task_token.$": "$$.Task.Token"},
    }
    assert state["HeartbeatSeconds"] == TASK_HEARTBEAT_S
    assert state["Catch"] == [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Fail"}]


def test_probe_gets_its_order_bare() -> None:
    state = to_asl(ASSET_INTAKE)["States"]["Probe"]
    assert state["InputPath"] == "$.located.probe_order"
    assert "Parameters" not in state


def test_a_part_is_an_execution_of_its_own_and_all_must_end_well() -> None:
    parts = to_asl(FAN_OUT, items_at_once=4)["States"]["Parts"]
    assert (parts["Type"], parts["MaxConcurrency"], parts["ToleratedFailurePercentage"]) == ("Map", 4, 0)
    assert parts["ItemsPath"] == "$.order.parts"
    assert parts["ItemSelector"] == {"order.$": "$.order", "part.$": "$$.Map.Item.Value"}
    processor = parts["ItemProcessor"]
    assert processor["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    part = processor["States"][processor["StartAt"]]
    assert part["Resource"] == "${EnhanceCpu}"
    assert part["End"] is True
    assert {"PartFailedError", "Lambda.TooManyRequestsException"} <= {
        name for retry in part["Retry"] for name in retry["ErrorEquals"]
    }


def test_an_assembly_gets_its_order_bare_with_what_its_parts_answered_and_answers_alone() -> None:
    assert to_asl(FAN_OUT)["States"]["Parts"]["ResultPath"] == "$.order.part_results"
    assemble = to_asl(FAN_OUT)["States"]["Assemble"]
    assert (assemble["InputPath"], assemble["ResultPath"]) == ("$.order", "$")


@every_machine
def test_no_two_states_of_a_machine_share_a_name(machine: Machine) -> None:
    """Not even one inside a map and one outside: Step Functions refuses the machine."""
    states = to_asl(machine)["States"]
    inner = [name for state in states.values() for name in state.get("ItemProcessor", {}).get("States", {})]
    assert len({*states, *inner}) == len(states) + len(inner)


def test_a_fan_out_ends_before_the_task_that_waits_for_it() -> None:
    assert FAN_OUT.timeout_s < ENHANCEMENT.step("Dispatch").timeout_s


def test_outcome_picks_the_branch_only_where_there_is_one() -> None:
    assert to_asl(ASSET_INTAKE)["States"]["ProbeOutcome"] == {
        "Type": "Choice",
        "Choices": [
            {
                "And": [
                    {"Variable": "$.probed.outcome", "IsPresent": True},
                    {"Variable": "$.probed.outcome", "StringEquals": "failed"},
                ],
                "Next": "MarkInvalid",
            }
        ],
        "Default": "MarkReady",
    }


def test_the_sweeper_beats_often_enough_and_gives_up_late_enough() -> None:
    assert SWEEP_INTERVAL_S < HEARTBEAT_TIMEOUT_S < GPU_START_LIMIT_S
    # A schedule's minute may come late, and sweeps may fail: that must not end what only waits.
    assert 3 * SWEEP_INTERVAL_S < TASK_HEARTBEAT_S < GPU_START_LIMIT_S


def test_a_job_may_wait_behind_a_busy_lane_for_hours() -> None:
    dispatch, waits_s = ENHANCEMENT.step("Dispatch"), 2 * INVOCATION_TIMEOUT_S * Config().max_gpu_instances
    assert waits_s + INVOCATION_TIMEOUT_S < dispatch.timeout_s < ENHANCEMENT.timeout_s


def test_templates_carry_the_rendered_tables(aws: Assembly) -> None:
    at_once = aws.config.parts_at_once
    rendered = [json.loads(properties["DefinitionString"]) for properties in aws.machines()]
    assert rendered == [to_asl(machine, items_at_once=at_once) for machine in MACHINES]


def test_machines_are_standard_traced_and_log_no_data(aws: Assembly) -> None:
    for properties in aws.machines():
        assert properties["StateMachineType"] == "STANDARD"
        assert properties["TracingConfiguration"] == {"Enabled": True}
        assert properties["LoggingConfiguration"]["IncludeExecutionData"] is False
        assert properties["LoggingConfiguration"]["Level"] == "ALL"
        used = set(properties["DefinitionSubstitutions"])
        assert all(f"${{{name}}}" in properties["DefinitionString"] or name == CALL_AND_WAIT for name in used)


def test_admission_is_fifo_with_room_for_retries(aws: Assembly) -> None:
    queue = aws.one("AWS::SQS::Queue", "AdmitQueue")
    admit = aws.functions()["Admit"]
    assert queue["FifoQueue"] is True
    assert queue["ContentBasedDeduplication"] is False
    assert queue["VisibilityTimeout"] >= 6 * admit["Timeout"]
    source = aws.one("AWS::Lambda::EventSourceMapping", "Admit")
    assert source["BatchSize"] == 10
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # Every round looks at every client: more of them side by side only get in one another's way.
    assert source["ScalingConfig"] == {"MaximumConcurrency": 2}


@pytest.mark.parametrize(("queue", "consumer"), [("Stop", "Complete"), ("Erase", "Erase"), ("Outcome", None)])
def test_queues_of_jobs_outlast_their_consumers_trouble(aws: Assembly, queue: str, consumer: str | None) -> None:
    properties = aws.one("AWS::SQS::Queue", f"Queues{queue}Queue")
    assert "RedrivePolicy" in properties
    assert properties["MessageRetentionPeriod"] == 14 * 86_400
    if consumer:
        assert properties["VisibilityTimeout"] >= 6 * aws.functions()[consumer]["Timeout"]


def test_every_end_of_an_execution_is_told_but_a_retry() -> None:
    states = to_asl(ENHANCEMENT)["States"]
    assert states["Succeed"]["Next"] == "Notify"
    assert states["ClaimOutcome"]["Choices"][0]["Next"] == "Notify"
    assert (states["FailOutcome"]["Choices"][0]["Next"], states["FailOutcome"]["Default"]) == ("Done", "Notify")


def test_the_lane_is_fed_and_no_client_can_fill_its_backlog() -> None:
    assert Config(max_gpu_instances=3, gpu_concurrency=4).active_total == 24
    assert Config(max_active_total=5).active_total == 5


def test_triggers_have_dead_letter_queues(aws: Assembly) -> None:
    rules = [rule["Properties"] for rule in aws.of_type("AWS::Events::Rule").values()]
    assert len(rules) == 4
    for rule in rules:
        for target in rule["Targets"]:
            assert "DeadLetterConfig" in target
            assert "RetryPolicy" in target
    for subscription in aws.of_type("AWS::SNS::Subscription").values():
        assert "RedrivePolicy" in subscription["Properties"]
