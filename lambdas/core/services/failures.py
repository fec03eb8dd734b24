"""Why an attempt failed and whether another can help: the one table that says so."""

import json
from dataclasses import dataclass

from gpu_container.contract import ErrorCode
from lambdas.core.routing import TooLongError
from lambdas.core.workflow import TRANSIENT

INTERNAL = "internal"
WORKER_LOST = "Worker.Lost"
NO_CAPACITY = "Lane.NoCapacity"
LANE_DIED = "Lane.Died"
"""A function that crashed, or ran out of memory or of time: another lane may have more of both."""
EXECUTION_LOST = "Execution.Lost"
EXECUTION_STOPPED = "Execution.Stopped"
JOB_CANCELLED = "Job.Cancelled"
"""Ends the task of a job that has been cancelled already: the row says so, the error only wakes the execution."""

MAX_MESSAGE_LENGTH = 500

RETRYABLE: dict[str, bool] = {
    **{code.value: not code.is_input_fault for code in ErrorCode},
    # A worker that thinks itself unwanted. Where the job was cancelled, its row says so and nothing is tried again.
    ErrorCode.CANCELLED.value: True,
    "States.HeartbeatTimeout": True,
    "States.Timeout": True,
    WORKER_LOST: True,
    NO_CAPACITY: True,
    LANE_DIED: True,
    EXECUTION_LOST: True,
    EXECUTION_STOPPED: False,
    JOB_CANCELLED: False,
    "VerificationError": True,
    **dict.fromkeys(TRANSIENT.errors, True),
    # A missing permission or setting: the same attempt would fail again, and an operator has to act.
    "MisconfiguredError": False,
    TooLongError.__name__: False,
}
"""Error name, as Step Functions reports it → whether another attempt can help. What is not listed is a defect."""

CODES: dict[str, str] = {
    **{code.value: code.value for code in ErrorCode},
    "States.HeartbeatTimeout": "worker_lost",
    "States.Timeout": "timed_out",
    WORKER_LOST: "worker_lost",
    NO_CAPACITY: "no_capacity",
    LANE_DIED: ErrorCode.ENGINE_FAILED.value,
    TooLongError.__name__: ErrorCode.INPUT_TOO_LONG.value,
    "VerificationError": ErrorCode.ENGINE_FAILED.value,
}
"""Error name → the code that is stored with the job; everything else is `INTERNAL`."""

ELSEWHERE = frozenset({NO_CAPACITY, LANE_DIED})
"""Failures of a lane, not of the job: the next attempt should take another one."""


@dataclass(frozen=True)
class Failure:
    """A classified failure of one attempt."""

    code: str
    message: str
    retryable: bool
    elsewhere: bool = False


def classify(error: str, cause: str) -> Failure:
    """Classify what Step Functions caught: ``Error`` and ``Cause`` of a failed state."""
    return Failure(
        code=CODES.get(error, INTERNAL),
        message=f"{error}: {_message(cause)}"[:MAX_MESSAGE_LENGTH],
        retryable=RETRYABLE.get(error, False),
        elsewhere=error in ELSEWHERE,
    )


def _message(cause: str) -> str:
    """Return the message inside a Lambda function's error document, or the cause as it is."""
    try:
        document = json.loads(cause)
    except ValueError:
        return cause
    return str(document.get("errorMessage", cause)) if isinstance(document, dict) else cause
