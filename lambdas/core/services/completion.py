"""The end of a task: the endpoint's notice is read, the worker's answer fetched, the task token answered."""

import logging
from dataclasses import dataclass

from pydantic import ValidationError

from gpu_container.contract import ErrorCode, WorkFailure, WorkResult
from lambdas.core.errors import TransientError
from lambdas.core.ports import AnswerReader, Attempt, AttemptStore, TaskTokens

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Notice:
    """What the endpoint says when an inference has ended, well or badly."""

    inference_id: str
    completed: bool
    output_location: str | None
    failure_reason: str


@dataclass(frozen=True)
class CompletionService:
    """Ends GPU tasks; nothing else does. A notice that comes twice finds its token answered and changes nothing."""

    attempts: AttemptStore
    answers: AnswerReader
    tasks: TaskTokens

    def complete(self, notice: Notice) -> None:
        """Answer the task of the notice.

        Raises
        ------
        TransientError
            Where the worker's answer cannot be read yet; the notice is delivered again.
        """
        attempt = self.attempts.get(notice.inference_id)
        if attempt is None:
            logger.info("notice of an unknown or finished attempt", extra={"inference_id": notice.inference_id})
            return
        if notice.completed:
            self._succeed(attempt, notice)
        else:
            self._fail(attempt, notice)

    def _succeed(self, attempt: Attempt, notice: Notice) -> None:
        location = notice.output_location or attempt.output_location
        body = self.answers.read(location) if location else None
        if body is None:
            msg = "the worker's result is not there yet"
            raise TransientError(msg)
        try:
            result = WorkResult.model_validate_json(body)
        except ValidationError:
            self.tasks.fail(attempt.task_token, ErrorCode.ENGINE_FAILED.value, "the worker's result is malformed")
            return
        self.tasks.succeed(attempt.task_token, result)

    def _fail(self, attempt: Attempt, notice: Notice) -> None:
        if attempt.failure_location is None:
            # Dispatch has not yet written down where the answer will be: it is milliseconds behind.
            msg = "the failure's location is not known yet"
            raise TransientError(msg)
        body = self.answers.read(attempt.failure_location)
        failure = _failure(body)
        if failure is None:
            # No answer of ours: the container died, ran out of memory or out of time.
            self.tasks.fail(attempt.task_token, ErrorCode.ENGINE_FAILED.value, notice.failure_reason)
            return
        self.tasks.fail(attempt.task_token, failure.error_code.value, failure.message)


def _failure(body: bytes | None) -> WorkFailure | None:
    try:
        return WorkFailure.model_validate_json(body) if body else None
    except ValidationError:
        return None
