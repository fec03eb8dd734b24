"""The end of a task: the lane's notice is read, the worker's answer fetched, the task token answered."""

import logging
from dataclasses import dataclass

from pydantic import ValidationError

from gpu_container.contract import ErrorCode, WorkFailure, WorkResult
from lambdas.core.errors import TransientError
from lambdas.core.jobs import JobStatus
from lambdas.core.ports import AnswerReader, Attempt, AttemptStore, JobRepository, TaskTokens
from lambdas.core.services.failures import JOB_CANCELLED

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Notice:
    """What the endpoint says when an inference has ended, well or badly."""

    inference_id: str
    completed: bool
    output_location: str | None
    failure_reason: str


@dataclass(frozen=True)
class Answer:
    """How the CPU lane's function or a fan-out's execution ended; ``body`` is None where it died unanswered."""

    inference_id: str
    body: bytes | None
    error: str = ""
    reason: str = ""


@dataclass(frozen=True)
class CompletionService:
    """Ends tasks. A notice that comes twice, or late, finds its token answered and changes nothing."""

    jobs: JobRepository
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

    def settle(self, answer: Answer) -> None:
        """Answer the task of an order whose notice carries the worker's answer along."""
        attempt = self.attempts.get(answer.inference_id)
        if attempt is None:
            logger.info("answer to an unknown or finished attempt", extra={"inference_id": answer.inference_id})
        elif answer.body is None:
            self.tasks.fail(attempt.task_token, answer.error, answer.reason)
        else:
            self._answer(attempt, answer.body)

    def find(self, attempt: Attempt) -> bool:
        """Answer a task whose notice never came, if the worker's answer lies where it belongs.

        Returns
        -------
        bool
            False where there is no answer, or the task waits for none any more.
        """
        if (body := self._read(attempt.output_location)) is not None:
            return self._answer(attempt, body)
        if (body := self._read(attempt.failure_location)) is not None:
            return self._answer_badly(attempt, body, "the endpoint's notice was lost")
        return False

    def is_watched(self, attempt: Attempt) -> bool:
        """Tell whether the attempt's end will be told whatever becomes of its workers."""
        return attempt.output_location is not None and self.answers.is_watched(attempt.output_location)

    def stop(self, client_id: str, job_id: str, attempt: int) -> bool:
        """Wake the execution of a cancelled attempt; False where it waits for nothing.

        A job that is not cancelled is left alone: only its row, never a message, says that it is.
        """
        job = self.jobs.get(client_id, job_id)
        dispatched = self.attempts.get(f"{job_id}-{attempt}")
        if dispatched is None or (job is not None and job.status is not JobStatus.CANCELLED):
            return False
        return self.tasks.fail(dispatched.task_token, JOB_CANCELLED, "the client has cancelled the job")

    def _succeed(self, attempt: Attempt, notice: Notice) -> None:
        body = self._read(notice.output_location or attempt.output_location)
        if body is None:
            msg = "the worker's result is not there yet"
            raise TransientError(msg)
        self._answer(attempt, body)

    def _fail(self, attempt: Attempt, notice: Notice) -> None:
        if attempt.failure_location is None:
            # Dispatch has not yet written down where the answer will be: it is milliseconds behind.
            msg = "the failure's location is not known yet"
            raise TransientError(msg)
        self._answer_badly(attempt, self._read(attempt.failure_location), notice.failure_reason)

    def _answer(self, attempt: Attempt, body: bytes) -> bool:
        if _failure(body):
            return self._answer_badly(attempt, body, "")
        try:
            result = WorkResult.model_validate_json(body)
        except ValidationError:
            code, cause = ErrorCode.ENGINE_FAILED.value, "the worker's result is malformed"
            return self.tasks.fail(attempt.task_token, code, cause)
        return self.tasks.succeed(attempt.task_token, result)

    def _answer_badly(self, attempt: Attempt, body: bytes | None, reason: str) -> bool:
        failure = _failure(body)
        if failure is None:
            # No answer of ours: the container died, ran out of memory or out of time.
            return self.tasks.fail(attempt.task_token, ErrorCode.ENGINE_FAILED.value, reason)
        return self.tasks.fail(attempt.task_token, failure.error_code.value, failure.message)

    def _read(self, location: str | None) -> bytes | None:
        return self.answers.read(location) if location else None


def _failure(body: bytes | None) -> WorkFailure | None:
    try:
        return WorkFailure.model_validate_json(body) if body else None
    except ValidationError:
        return None
