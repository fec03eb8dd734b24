"""Consumes ``admit.fifo``: wakes admission, once for all the clients of a batch."""

import json
from typing import Any

from lambdas import bootstrap
from lambdas.core.errors import DomainError
from lambdas.entrypoints.logs import logger

FIRST_DELAY_S, MAX_DELAY_S = 5, 120
"""Between the deliveries of a batch that fails: the queue's own timeout would hold the clients up for minutes."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Admit what may be admitted; a batch that fails goes back to the queue and comes again soon."""
    records = event["Records"]
    try:
        bootstrap.admission_service().admit([str(json.loads(record["body"])["client_id"]) for record in records])
    except DomainError:
        logger.exception("admission failed")
        for record in records:
            _postpone(record)
        return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in records]}
    return {"batchItemFailures": []}


def _postpone(record: dict[str, Any]) -> None:
    received = int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
    try:
        bootstrap.admit_delivery().postpone(record["receiptHandle"], delay_s(received))
    except DomainError:
        logger.exception("a wake-up will come late")


def delay_s(received: int) -> int:
    """Return after how many seconds a message comes again that was received ``received`` times."""
    return int(min(FIRST_DELAY_S * 2 ** (received - 1), MAX_DELAY_S))
