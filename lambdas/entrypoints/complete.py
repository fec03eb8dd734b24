"""Hears the endpoint's notices (SNS) and ends tasks."""

import json
from typing import Any

from lambdas import bootstrap
from lambdas.core.services.completion import Notice
from lambdas.entrypoints.logs import logger


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> None:
    """Handle the notices of one SNS event; one that fails is delivered again by SNS."""
    for record in event["Records"]:
        bootstrap.completion_service().complete(notice_of(json.loads(record["Sns"]["Message"])))


def notice_of(message: dict[str, Any]) -> Notice:
    """Read SageMaker's asynchronous inference notification.

    Its form: https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-check-predictions.html
    """
    return Notice(
        inference_id=message["inferenceId"],
        completed=message["invocationStatus"] == "Completed",
        output_location=(message.get("responseParameters") or {}).get("outputLocation"),
        failure_reason=str(message.get("failureReason", "")),
    )
