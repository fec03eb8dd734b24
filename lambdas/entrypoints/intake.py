"""The steps of ``AssetIntake``, and the queue of what could not be fetched."""

from typing import Any

from pydantic import TypeAdapter

from gpu_container.contract import ProbeFailure, ProbeResult
from lambdas import bootstrap
from lambdas.core.errors import DomainError, TransientError
from lambdas.core.services.intake import PROBE_CRASHED, PROBE_TIMED_OUT, IntakeService, Located
from lambdas.core.sources import FetchFailure
from lambdas.core.workflow import DEATHS, OUT_OF_TIME
from lambdas.entrypoints.logs import logger
from lambdas.entrypoints.steps import caught

LOCATED: TypeAdapter[Located] = TypeAdapter(Located)
FAILURE: TypeAdapter[FetchFailure] = TypeAdapter(FetchFailure)

Answer = dict[str, Any]


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> Answer:
    """Run one step, or give up the assets that a batch of messages names."""
    if "Records" in event:
        return _unfetched(event["Records"])
    return STEPS[event["step"]](bootstrap.intake_service(), event["state"])


def _unfetched(records: list[dict[str, Any]]) -> Answer:
    failed = [record["messageId"] for record in records if not _give_up(FAILURE.validate_json(record["body"]))]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _give_up(failure: FetchFailure) -> bool:
    try:
        bootstrap.intake_service().mark_unfetched(failure)
        bootstrap.intake_service().refuse(failure.client_id, failure.asset_id)
    except DomainError:
        logger.exception("an asset could not be given up", extra={"asset_id": failure.asset_id})
        return False
    return True


def _locate(service: IntakeService, state: dict[str, Any]) -> Answer:
    located = service.locate(state["detail"]["object"]["key"])
    if located is None:
        return {"outcome": "ignore"}
    return {"outcome": "probe", **LOCATED.dump_python(located, mode="json")}


def _mark_ready(service: IntakeService, state: dict[str, Any]) -> Answer:
    asset = service.mark_ready(_located(state), ProbeResult.model_validate(state["probed"]))
    wanted = asset is not None and asset.waiting_job_id is not None
    return {"outcome": "enqueue" if wanted else "done"}


def _mark_invalid(service: IntakeService, state: dict[str, Any]) -> Answer:
    located = _located(state)
    service.mark_invalid(located, _probe_failure(state))
    return {"outcome": "done", "job_id": service.refuse(located.client_id, located.asset_id)}


def _enqueue(service: IntakeService, state: dict[str, Any]) -> Answer:
    return {"outcome": "done", "job_id": service.enqueue(_located(state))}


def _located(state: dict[str, Any]) -> Located:
    return LOCATED.validate_python({name: value for name, value in state["located"].items() if name != "outcome"})


def _probe_failure(state: dict[str, Any]) -> ProbeFailure:
    """Return what the probe said; a probe that died of the file, or ran out of time, said nothing.

    Raises
    ------
    TransientError
        If the probe failed for a reason that is not the file's: the asset stays as it is and can be PUT again.
    """
    error, cause = caught(state)
    if not error:
        return ProbeFailure.model_validate(state["probed"])
    if error in OUT_OF_TIME:
        return PROBE_TIMED_OUT
    if error in DEATHS:
        return PROBE_CRASHED
    raise TransientError(f"the probe failed: {error}: {cause[:200]}")


STEPS = {"Locate": _locate, "MarkReady": _mark_ready, "MarkInvalid": _mark_invalid, "Enqueue": _enqueue}
