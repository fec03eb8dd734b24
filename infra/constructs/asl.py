"""Renders the core's step tables to Amazon States Language. Pure: no CDK, so that a test can read the result."""

from typing import Any

from lambdas.core.workflow import END, ERROR_KEY, Machine, Retry, Step

SUCCEEDED = "Done"
CALL_AND_WAIT = "CallAndWait"
"""Stands for the callback integration: its ARN names the partition, which only the template knows."""

State = dict[str, Any]


def to_asl(machine: Machine) -> State:
    """Return the definition of ``machine``; ``${Name}`` stands for the ARN of the function ``Name``."""
    states: dict[str, State] = {}
    for step in machine.steps:
        states[step.name] = _task(step)
        if step.branches:
            states[_outcome_name(step)] = _choice(step)
    states[SUCCEEDED] = {"Type": "Succeed"}
    return {
        "Comment": f"{machine.name}, rendered from lambdas.core.workflow",
        "StartAt": machine.steps[0].name,
        "TimeoutSeconds": machine.timeout_s,
        "States": states,
    }


def _task(step: Step) -> State:
    state: State = {
        "Type": "Task",
        **(_callback(step) if step.callback else _request(step)),
        "ResultPath": f"$.{step.result_key}",
        "TimeoutSeconds": step.timeout_s,
        "Retry": [_retry(retry) for retry in step.retries],
        "Next": _outcome_name(step) if step.branches else _target(step.next),
    }
    if step.heartbeat_s is not None:
        state["HeartbeatSeconds"] = step.heartbeat_s
    if step.catch is not None:
        state["Catch"] = [{"ErrorEquals": ["States.ALL"], "ResultPath": f"$.{ERROR_KEY}", "Next": step.catch}]
    return state


def _request(step: Step) -> State:
    """Name the function itself as the resource: its bare answer is then what ``ResultPath`` keeps."""
    resource = {"Resource": f"${{{step.function.value}}}"}
    if step.payload is not None:
        return {**resource, "InputPath": step.payload}
    return {**resource, "Parameters": _call(step)}


def _callback(step: Step) -> State:
    payload = {**_call(step), "task_token.$": "$$.Task.Token"}
    return {
        "Resource": f"${{{CALL_AND_WAIT}}}",
        "Parameters": {"FunctionName": f"${{{step.function.value}}}", "Payload": payload},
    }


def _call(step: Step) -> State:
    return {"step": step.name, "state.$": "$"}


def _retry(retry: Retry) -> State:
    return {
        "ErrorEquals": list(retry.errors),
        "IntervalSeconds": retry.interval_s,
        "MaxAttempts": retry.attempts,
        "BackoffRate": retry.backoff,
        "JitterStrategy": "FULL",
    }


def _choice(step: Step) -> State:
    variable = f"$.{step.result_key}.outcome"
    return {
        "Type": "Choice",
        "Choices": [
            {
                "And": [
                    {"Variable": variable, "IsPresent": True},
                    {"Variable": variable, "StringEquals": outcome},
                ],
                "Next": _target(name),
            }
            for outcome, name in step.branches.items()
        ],
        "Default": _target(step.next),
    }


def _outcome_name(step: Step) -> str:
    return f"{step.name}Outcome"


def _target(name: str) -> str:
    return SUCCEEDED if name == END else name
