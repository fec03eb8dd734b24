"""Consumes the queue of deleted assets, and erases what they left behind."""

import json
from typing import Any

from lambdas import bootstrap
from lambdas.core.errors import DomainError
from lambdas.entrypoints.logs import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Run one pass over each asset; one that fails goes back to the queue alone."""
    failed = [record["messageId"] for record in event["Records"] if not _erase(json.loads(record["body"]))]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _erase(message: dict[str, Any]) -> bool:
    try:
        bootstrap.erase_service().erase(message["client_id"], message["asset_id"])
    except DomainError:
        logger.exception("erasing failed", extra={"asset_id": message["asset_id"]})
        return False
    return True
