"""Consumes the queue of deliveries: one attempt each, side by side, so that no receiver keeps another waiting.

A message stays in the queue from one attempt to the next, invisible for as long as the schedule says.
"""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lambdas import bootstrap
from lambdas.adapters.aws.messaging import SqsDelivery
from lambdas.core.errors import DomainError
from lambdas.core.services.deliveries import DeliveryService
from lambdas.core.webhook_ports import DeliveryRef
from lambdas.entrypoints.logs import logger

MAX_POSTPONED_S = 43_000
"""SQS hides a message for twelve hours at most, counted from when it was received; what waits longer comes twice."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Attempt every delivery of the batch; what is not settled stays in the queue."""
    records = event["Records"]
    # Wired before the threads begin: making AWS clients is nothing to do side by side.
    service, queue = bootstrap.delivery_service(), bootstrap.waiting_deliveries()
    with ThreadPoolExecutor(len(records)) as pool:
        settled = list(pool.map(lambda record: _deliver(service, queue, record), records))
    waiting = [record["messageId"] for record, is_settled in zip(records, settled, strict=True) if not is_settled]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in waiting]}


def _deliver(service: DeliveryService, queue: SqsDelivery, record: dict[str, Any]) -> bool:
    ref = DeliveryRef(**json.loads(record["body"]))
    try:
        wait_s = service.deliver(ref)
        if wait_s is not None:
            queue.postpone(record["receiptHandle"], seconds_of(wait_s))
    except DomainError:
        logger.exception("a delivery failed by our own fault", extra={"message_id": ref.message_id})
        return False
    return wait_s is None


def seconds_of(wait_s: float) -> int:
    """Return for how long the queue is to hide a message: never shorter than the wait, never longer than it may."""
    return min(max(math.ceil(wait_s), 1), MAX_POSTPONED_S)
