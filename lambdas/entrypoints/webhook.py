"""Consumes the queue of outcomes: each end of a job becomes one delivery for each webhook of its client."""

from typing import Any

from pydantic import TypeAdapter

from lambdas import bootstrap
from lambdas.core.errors import DomainError
from lambdas.core.ports import JobOutcome
from lambdas.entrypoints.logs import logger

OUTCOME: TypeAdapter[JobOutcome] = TypeAdapter(JobOutcome)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Announce each outcome; one that cannot be goes back to the queue alone."""
    failed = [
        record["messageId"] for record in event["Records"] if not _announce(OUTCOME.validate_json(record["body"]))
    ]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _announce(outcome: JobOutcome) -> bool:
    try:
        told = bootstrap.announce_service().announce(outcome)
    except DomainError:
        logger.exception("an outcome could not be announced", extra={"job_id": outcome.job_id})
        return False
    if told:
        logger.info("announced", extra={"job_id": outcome.job_id, "endpoints": told})
    return True
