"""Consumes the queue of deliveries: one attempt each, side by side, so that no receiver keeps another waiting.

Between attempts a delivery waits as a delayed message, of which a queue takes any number. A message that was received
and is hidden counts as in flight, and of those it takes 120,000, of all clients together.
"""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lambdas import bootstrap
from lambdas.core.services.deliveries import DeliveryService
from lambdas.core.webhook_ports import DeliveryQueue, DeliveryRef
from lambdas.entrypoints.logs import logger

MAX_DELAY_S = 900
"""SQS delays a message by a quarter of an hour at most; what waits longer is looked at and sent on."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Attempt every delivery of the batch; what is to be attempted again is sent anew."""
    records = event["Records"]
    # Wired before the threads begin: making AWS clients is nothing to do side by side.
    service, queue = bootstrap.delivery_service(), bootstrap.deliveries()
    with ThreadPoolExecutor(len(records)) as pool:
        done = list(pool.map(lambda record: _deliver(service, queue, record), records))
    failed = [record["messageId"] for record, is_done in zip(records, done, strict=True) if not is_done]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _deliver(service: DeliveryService, queue: DeliveryQueue, record: dict[str, Any]) -> bool:
    """Make one attempt; False where it failed by our own fault, whatever that is: the others are other clients'."""
    try:
        ref = DeliveryRef(**json.loads(record["body"]))
        wait_s = service.deliver(ref)
        if wait_s is not None:
            queue.send(ref, delay_s=seconds_of(wait_s))
    except Exception:  # noqa: BLE001 - whatever it is, it belongs to one client
        logger.exception("a delivery failed by our own fault", extra={"sqs_message_id": record["messageId"]})
        return False
    return True


def seconds_of(wait_s: float) -> int:
    """Return by how much the queue is to delay a message: never shorter than the wait, never longer than it may."""
    return min(max(math.ceil(wait_s), 1), MAX_DELAY_S)
