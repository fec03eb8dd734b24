"""Consumes ``admit.fifo``: wakes the admission of each client that is named."""

import json
from typing import Any

from lambdas import bootstrap
from lambdas.core.errors import DomainError
from lambdas.entrypoints.logs import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Admit each named client once per batch; what fails goes back to the queue, with all of its client's ticks."""
    by_client: dict[str, list[str]] = {}
    for record in event["Records"]:
        client_id = str(json.loads(record["body"])["client_id"])
        by_client.setdefault(client_id, []).append(record["messageId"])
    failed = [
        message_id
        for client_id, message_ids in by_client.items()
        if not _admit(client_id)
        for message_id in message_ids
    ]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _admit(client_id: str) -> bool:
    try:
        bootstrap.admission_service().admit_client(client_id)
    except DomainError:
        logger.exception("admission failed", extra={"client_id": client_id})
        return False
    return True
