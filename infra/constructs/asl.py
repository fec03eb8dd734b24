"""Renders the core's step tables to Amazon States Language. Pure: no CDK, so that a test can read the result."""

from typing import Any

from lambdas.core.workflow import END, ERROR_KEY, WHOLE_STATE, Each, Machine, Retry, Step

SUCCEEDED = "Done"
CALL_AND_WAIT = "CallAndWait"
"""Stands for the callback integration: its ARN names the partition, which only the template knows."""

State = dict[str, Any]


def to_asl(machine: Machine, *, items_at_once: int = 1) -> State:
    """Return the definition of ``machine``; ``${Name}`` stands for the ARN of the function ``Name``.

    A step for each item of a list has ``items_at_once`` of them in hand at a time.
    """
    states: dict[str, State] = {}
    for step in machine.steps:
        states[step.name] = _map(step, step.each, items_at_once) if step.each else _task(step)
        if step.branches:
            states[_outcome_name(step)] = _choice(step)
    states[SUCCEEDED] = {"Type": "Succeed"}
    return {
        "Comment": f"{machine.name}, rendered from lambdas.core.workflow",
        "StartAt": machine.steps[0].name,
        "TimeoutSeconds": machine.timeout_s,
        "States": states,
    }


def _map(step: Step, each: Each, items_at_once: int) -> State:
    """Run each item in an execution of its own: it has a history of its own, and the first that fails ends them all."""
    call = {
        "Type": "Task",
        "Resource": f"${{{step.function.value}}}",
        "TimeoutSeconds": step.timeout_s,
        "Retry": [_retry(retry) for retry in step.retries],
        "End": True,
    }
    return {
        "Type": "Map",
        "Label": step.name,
        "ItemsPath": each.items,
        "ItemSelector": {f"{name}.$": path for name, path in each.payload.items()},
        "ItemProcessor": {
            # Express executions end after five minutes.
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": _item_name(step),
            "States": {_item_name(step): call},
        },
        "MaxConcurrency": items_at_once,
        "ToleratedFailurePercentage": 0,
        **_continuation(step),
    }


def _task(step: Step) -> State:
    state: State = {
        "Type": "Task",
        **(_callback(step) if step.callback else _request(step)),
        "TimeoutSeconds": step.timeout_s,
        "Retry": [_retry(retry) for retry in step.retries],
        **_continuation(step),
    }
    if step.heartbeat_s is not None:
        state["HeartbeatSeconds"] = step.heartbeat_s
    return state


def _continuation(step: Step) -> State:
    """Return what becomes of the answer, and of its absence."""
    state: State = {
        "ResultPath": f"$.{step.result_key}" if step.result_key not in {None, WHOLE_STATE} else step.result_key,
        "Next": _outcome_name(step) if step.branches else _target(step.next),
    }
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
    rendered: State = {
        "ErrorEquals": list(retry.errors),
        "IntervalSeconds": retry.interval_s,
        "MaxAttempts": retry.attempts,
        "BackoffRate": retry.backoff,
        "JitterStrategy": "FULL",
    }
    if retry.max_delay_s is not None:
        rendered["MaxDelaySeconds"] = retry.max_delay_s
    return rendered


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


def _item_name(step: Step) -> str:
    """Name an item's state: no two of a machine may share a name, wherever they stand."""
    return f"{step.name}Item"


def _target(name: str) -> str:
    return SUCCEEDED if name == END else name
