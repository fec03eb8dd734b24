"""Consumes the queue of recordings to fetch, one at a time; a message waits in it from one attempt to the next."""

import math
from typing import Any, Final

from pydantic import TypeAdapter

from lambdas import bootstrap
from lambdas.core.errors import DomainError
from lambdas.core.sources import FetchRequest
from lambdas.entrypoints.logs import logger

REQUEST: Final = TypeAdapter(FetchRequest)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Fetch; what is not settled stays in the queue."""
    waiting = [record["messageId"] for record in event["Records"] if not _fetch(record)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in waiting]}


def _fetch(record: dict[str, Any]) -> bool:
    request = REQUEST.validate_json(record["body"])
    tries = int(record["attributes"]["ApproximateReceiveCount"])
    try:
        wait_s = bootstrap.fetch_service().fetch(request, tries=tries)
        if wait_s is not None:
            bootstrap.waiting_fetches().postpone(record["receiptHandle"], math.ceil(wait_s))
    except DomainError:
        logger.exception("fetching failed by our own fault", extra={"asset_id": request.asset_id})
        return False
    return wait_s is None
