"""The minute's sweep, and the rule on executions that ended badly."""

import dataclasses
import json
from typing import Any

from lambdas import bootstrap
from lambdas.core.services.sweeping import ENDED_BADLY
from lambdas.core.telemetry import Patrol
from lambdas.entrypoints.logs import logger
from lambdas.entrypoints.steps import EXECUTION_EVENT, job_ref


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Sweep everything, or recover the one job whose execution has ended badly."""
    service = bootstrap.sweep_service()
    detail = event.get("detail") or {}
    if event.get("detail-type") == EXECUTION_EVENT and detail.get("input"):
        if detail.get("status") not in ENDED_BADLY:
            return {"recovered": False}
        ref = job_ref(json.loads(detail["input"]))
        return {"recovered": service.recover(ref, detail["status"])}
    found, tidied = service.sweep(), bootstrap.housekeeping_service().tidy()
    swept = dataclasses.asdict(found) | dataclasses.asdict(tidied)
    logger.info("swept", extra=swept)
    recovered = found.completed + found.failed + found.recovered
    bootstrap.sweep_telemetry().patrolled(
        Patrol(
            active=found.active,
            oldest_queued_s=tidied.oldest_queued_s,
            recovered=recovered,
            leaked=tidied.freed,
        )
    )
    return swept
