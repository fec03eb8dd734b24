"""Shapes of SageMaker's asynchronous inference: the request's headers, the container's answer, the SNS messages.

After botocore's ``sagemaker-runtime`` service model and the developer guide's page on checking prediction results.
"""

import base64
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict

HEADER: Final = "X-Amzn-SageMaker-"
DEFAULT_TTL_S: Final = 21_600
MAX_TIMEOUT_S: Final = 3600
MAX_INCLUDED_BYTES: Final = 128 * 1024
"""Answers up to this size are included in messages, if the endpoint is set so."""

_S3_URI: Final = re.compile(r"s3://([^/]+)/(.+)")


class RequestError(ValueError):
    """The caller's request is not valid; SageMaker's ValidationError."""


class InvocationRequest(BaseModel):
    """The parameters of one InvokeEndpointAsync call."""

    model_config = ConfigDict(frozen=True)

    inference_id: str
    input_location: str
    content_type: str | None
    accept: str | None
    custom_attributes: str | None
    ttl_s: int
    timeout_s: int | None

    @classmethod
    def parse(cls, headers: Mapping[str, str], body: bytes) -> Self:
        """Read the call's headers.

        Raises
        ------
        RequestError
            If a parameter is missing or out of range.
        """
        if body:
            raise RequestError("This simulator takes InputLocation only, no inline Body.")
        location = headers.get(f"{HEADER}InputLocation", "")
        if not _S3_URI.fullmatch(location):
            raise RequestError("InputLocation must be s3://bucket/key.")
        return cls(
            inference_id=headers.get(f"{HEADER}Inference-Id") or str(uuid.uuid4()),
            input_location=location,
            content_type=headers.get(f"{HEADER}Content-Type"),
            accept=headers.get(f"{HEADER}Accept"),
            custom_attributes=headers.get(f"{HEADER}Custom-Attributes"),
            ttl_s=_number(headers, "RequestTTLSeconds", 60, DEFAULT_TTL_S) or DEFAULT_TTL_S,
            timeout_s=_number(headers, "InvocationTimeoutSeconds", 1, MAX_TIMEOUT_S),
        )


class Invocation(BaseModel):
    """An accepted call, as it lies in the queue; ``message`` is set once only its publishing is left."""

    model_config = ConfigDict(frozen=True)

    id: str
    request: InvocationRequest
    received_time: str
    received_s: float
    output_location: str
    failure_location: str
    ok: bool = False
    message: str | None = None


@dataclass(frozen=True)
class Answer:
    """How an invocation ended; ``body`` is None where the container did not answer."""

    ok: bool
    content_type: str = "application/octet-stream"
    body: bytes | None = None
    failure_reason: str | None = None

    @classmethod
    def failed(cls, reason: str) -> Self:
        """Make the answer of an invocation that got none from the container."""
        return cls(ok=False, failure_reason=reason)

    @classmethod
    def from_container(cls, status: int, content_type: str | None, body: bytes) -> Self:
        """Judge the container's answer by its status, as SageMaker does."""
        kind = content_type or cls.content_type
        if 200 <= status < 300:
            return cls(ok=True, content_type=kind, body=body)
        side = "client" if status < 500 else "server"
        reason = (
            f"ClientError: Received {side} error ({status}) from model. "
            "See the SageMaker Endpoint logs in your account for more information."
        )
        return cls(ok=False, content_type=kind, body=body, failure_reason=reason)


def container_headers(request: InvocationRequest) -> dict[str, str]:
    """Headers that SageMaker sends to the container's /invocations."""
    headers = {
        "Content-Type": request.content_type,
        "Accept": request.accept,
        f"{HEADER}Inference-Id": request.inference_id,
        f"{HEADER}Custom-Attributes": request.custom_attributes,
    }
    return {name: value for name, value in headers.items() if value is not None}


def notification(
    invocation: Invocation, answer: Answer, *, endpoint_name: str, region: str, include_response: bool
) -> str:
    """Write the message for the success or error topic.

    A failure's message does not say where the failure was filed: only the InvokeEndpointAsync answer does.
    """
    asked = invocation.request
    parameters = {
        "accept": asked.accept,
        "contentType": asked.content_type,
        "customAttributes": asked.custom_attributes,
        "endpointName": endpoint_name,
        "inputLocation": asked.input_location,
    }
    message: dict[str, Any] = {
        "awsRegion": region,
        "eventTime": now_text(),
        "receivedTime": invocation.received_time,
        "invocationStatus": "Completed" if answer.ok else "Failed",
        "requestParameters": {name: value for name, value in parameters.items() if value is not None},
    }
    if answer.ok:
        message["responseParameters"] = {
            "contentType": answer.content_type,
            "outputLocation": invocation.output_location,
        }
    else:
        message["failureReason"] = answer.failure_reason
    if include_response and answer.body is not None and len(answer.body) <= MAX_INCLUDED_BYTES:
        message["responseBody"] = {
            "content": base64.b64encode(answer.body).decode("ascii"),
            "message": "Check S3 path location(if configured) or Cloudwatch for additional details.",
            "encoding": "BASE64",
        }
    return json.dumps(
        message
        | {
            "inferenceId": asked.inference_id,
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        }
    )


def split_s3_uri(location: str) -> tuple[str, str]:
    """Split ``s3://bucket/key`` into bucket and key."""
    match = _S3_URI.fullmatch(location)
    if not match:
        raise RequestError(f"not an S3 URI: {location}")
    return match[1], match[2]


def now_text() -> str:
    """Return the time as SageMaker writes it: UTC, milliseconds, ``Z``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _number(headers: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = headers.get(HEADER + name)
    if text is None:
        return None
    if not text.isdecimal() or not low <= int(text) <= high:
        raise RequestError(f"{name} must be a whole number from {low} to {high}.")
    return int(text)
