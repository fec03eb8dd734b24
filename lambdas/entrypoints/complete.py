"""Hears the endpoint's notices (SNS) and the requests to stop a cancelled job (SQS), and ends tasks."""

import json
from typing import Any

from lambdas import bootstrap
from lambdas.core.services.completion import Notice
from lambdas.entrypoints.logs import logger
from lambdas.entrypoints.steps import job_ref


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> None:
    """Handle the records of one event; one that fails is delivered again by its source."""
    service = bootstrap.completion_service()
    for record in event["Records"]:
        if "Sns" in record:
            service.complete(notice_of(json.loads(record["Sns"]["Message"])))
        else:
            ref = job_ref(json.loads(record["body"]))
            service.stop(ref.client_id, ref.job_id, ref.attempt)


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
