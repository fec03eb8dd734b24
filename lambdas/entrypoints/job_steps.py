"""The steps of ``Enhancement`` that claim, verify, finish and tell of a job."""

from typing import Any

from lambdas import bootstrap
from lambdas.core.services.execution import ExecutionService
from lambdas.core.services.failures import classify
from lambdas.entrypoints.logs import logger
from lambdas.entrypoints.steps import caught, job_ref, work_result

Answer = dict[str, Any]


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> Answer:
    """Run one step."""
    return STEPS[event["step"]](bootstrap.execution_service(), event["state"])


def _claim(service: ExecutionService, state: dict[str, Any]) -> Answer:
    return {"outcome": "go" if service.claim(job_ref(state)) else "stop"}


def _verify(service: ExecutionService, state: dict[str, Any]) -> Answer:
    service.verify(job_ref(state), work_result(state))
    return {"outcome": "done"}


def _succeed(service: ExecutionService, state: dict[str, Any]) -> Answer:
    service.succeed(job_ref(state), work_result(state))
    return {"outcome": "done"}


def _fail(service: ExecutionService, state: dict[str, Any]) -> Answer:
    status = service.fail(job_ref(state), classify(*caught(state)))
    return {"outcome": status.value if status else "settled"}


def _notify(service: ExecutionService, state: dict[str, Any]) -> Answer:
    return {"outcome": "told" if service.notify(job_ref(state)) else "known"}


STEPS = {"Claim": _claim, "Verify": _verify, "Succeed": _succeed, "Fail": _fail, "Notify": _notify}
