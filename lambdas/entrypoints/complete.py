"""Hears the lanes' notices (SNS, EventBridge) and the requests to stop a cancelled job (SQS), and ends tasks."""

import json
from typing import Any

from lambdas import bootstrap
from lambdas.core.services.completion import Answer, Notice
from lambdas.core.services.failures import EXECUTION_STOPPED, LANE_DIED, NO_CAPACITY
from lambdas.entrypoints.logs import logger
from lambdas.entrypoints.steps import EXECUTION_EVENT, job_ref


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> None:
    """Handle one event, or the records of one; what fails is delivered again by its source."""
    service = bootstrap.completion_service()
    if event.get("detail-type") == EXECUTION_EVENT:
        end = end_of(event["detail"])
        if isinstance(end, Notice):
            service.complete(end)
        else:
            service.settle(end)
        return
    for record in event["Records"]:
        if "Sns" in record:
            message = json.loads(record["Sns"]["Message"])
            if "requestPayload" in message:
                service.settle(answer_of(message))
            else:
                service.complete(notice_of(message))
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


def answer_of(record: dict[str, Any]) -> Answer:
    """Read Lambda's record of an asynchronous invocation.

    Its form: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    inference_id = record["requestPayload"]["inference_id"]
    condition = record["requestContext"]["condition"]
    if condition == "Success":
        return Answer(inference_id, json.dumps(record["responsePayload"]).encode())
    if condition == "EventAgeExceeded":
        return Answer(inference_id, None, NO_CAPACITY, "the function had no room for the order in time")
    told = record.get("responsePayload") or {}
    return Answer(inference_id, None, LANE_DIED, str(told.get("errorMessage", "the function died")))


def end_of(detail: dict[str, Any]) -> Answer | Notice:
    """Read what EventBridge tells of an execution of the fan-out, which is named after its inference.

    An output that is too long for the event is left out of it, and read from the execution itself.

    Its form: https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """
    name, status = detail["name"], detail["status"]
    if status != "SUCCEEDED":
        error = EXECUTION_STOPPED if status == "ABORTED" else LANE_DIED
        told = ": ".join(filter(None, (status, detail.get("error"), detail.get("cause"))))
        return Answer(name, None, error, told)
    if detail.get("output") is None:
        return Notice(name, completed=True, output_location=None, failure_reason="")
    return Answer(name, detail["output"].encode())
