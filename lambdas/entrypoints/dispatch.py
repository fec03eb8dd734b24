"""The step of ``Enhancement`` that hands a job to a lane; the task ends through ``complete``."""

from typing import Any

from lambdas import bootstrap
from lambdas.entrypoints.logs import logger
from lambdas.entrypoints.steps import job_ref


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Dispatch one attempt."""
    bootstrap.dispatch_service().dispatch(job_ref(event["state"]), event["task_token"])
    return {"outcome": "dispatched"}
