"""Consumes the queue of what was deleted, and erases what it left behind."""

import json
from typing import Any

from lambdas import bootstrap
from lambdas.core.errors import DomainError
from lambdas.entrypoints.logs import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Run one pass over each asset or enhancement; one that fails goes back to the queue alone."""
    failed = [record["messageId"] for record in event["Records"] if not _erase(json.loads(record["body"]))]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _erase(message: dict[str, Any]) -> bool:
    service = bootstrap.erase_service()
    try:
        if "job_id" in message:
            service.erase_job(message["client_id"], message["job_id"])
        else:
            service.erase(message["client_id"], message["asset_id"])
    except DomainError:
        logger.exception("erasing failed", extra={name: message.get(name) for name in ("asset_id", "job_id")})
        return False
    return True
