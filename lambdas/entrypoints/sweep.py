"""The minute's sweep, and the rule on executions that ended badly."""

import dataclasses
import json
from datetime import timedelta
from typing import Any

from lambdas import bootstrap
from lambdas.core.services.housekeeping import HousekeepingService, Tidied
from lambdas.core.services.sweeping import ENDED_BADLY, SweepService
from lambdas.core.telemetry import Patrol
from lambdas.entrypoints.logs import logger
from lambdas.entrypoints.steps import EXECUTION_EVENT, job_ref

TIME_LIMIT = timedelta(seconds=45)
"""Of all of it: the function is cut off soon afterwards."""


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
    return _sweep(service, bootstrap.housekeeping_service())


def _sweep(service: SweepService, housekeeping: HousekeepingService) -> dict[str, Any]:
    """Wake whoever waits, look at the jobs, and do of the rest what there is time for; what was seen is told anyhow."""
    until = bootstrap.CLOCK.now() + TIME_LIMIT
    woken, found, tidied = housekeeping.wake(), service.sweep(), Tidied()
    try:
        tidied = housekeeping.tidy(until=until)
    finally:
        swept = {name: count for one in (woken, found, tidied) for name, count in dataclasses.asdict(one).items()}
        logger.info("swept", extra=swept)
        recovered = found.completed + found.failed + found.recovered
        bootstrap.sweep_telemetry().patrolled(
            Patrol(
                active=found.active,
                oldest_queued_s=woken.oldest_queued_s,
                recovered=recovered,
                leaked=tidied.freed,
            )
        )
    return swept
