"""How a step function of a state machine is called: ``{"step": name, "state": document[, "task_token"]}``."""

from collections.abc import Mapping
from typing import Any

from gpu_container.contract import WorkResult
from lambdas.core.services.execution import JobRef
from lambdas.core.workflow import ERROR_KEY

EXECUTION_EVENT = "Step Functions Execution Status Change"
"""What EventBridge calls the news of an execution."""


def job_ref(state: Mapping[str, Any]) -> JobRef:
    """Return the attempt that an ``Enhancement`` execution is about."""
    return JobRef(client_id=state["client_id"], job_id=state["job_id"], attempt=int(state["attempt"]))


def work_result(state: Mapping[str, Any]) -> WorkResult:
    """Return what the worker answered."""
    return WorkResult.model_validate(state["result"])


def caught(state: Mapping[str, Any]) -> tuple[str, str]:
    """Return error name and cause of the step that failed."""
    error = state.get(ERROR_KEY) or {}
    return str(error.get("Error", "")), str(error.get("Cause", ""))
