"""Consumes the dead letters of fetching: what killed the function is told, so that nothing waits for it."""

from typing import Any

from lambdas import bootstrap
from lambdas.core.errors import DomainError
from lambdas.core.services.sources import give_up
from lambdas.entrypoints.fetch import REQUEST
from lambdas.entrypoints.logs import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Give up what each message asks for; one that cannot be told of stays, and an alarm watches it."""
    lost = [record["messageId"] for record in event["Records"] if not _give_up(record)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in lost]}


def _give_up(record: dict[str, Any]) -> bool:
    request = REQUEST.validate_json(record["body"])
    logger.error("what fetches has died of a source", extra={"asset_id": request.asset_id})
    try:
        give_up(bootstrap.fetch_failures(), request)
    except DomainError:
        logger.exception("a source could not be given up", extra={"asset_id": request.asset_id})
        return False
    return True
