"""Step Functions for one process: walks the core's own table, one step at a time, as badly as a test wants it."""

from dataclasses import dataclass, field
from typing import Any

from gpu_container.contract import ErrorCode, WorkFailure, WorkOrder, WorkResult
from lambdas.core.errors import DomainError, VersionConflictError
from lambdas.core.services.completion import Notice
from lambdas.core.services.execution import JobRef
from lambdas.core.services.failures import classify
from lambdas.core.workflow import END, ENHANCEMENT
from tests.unit.world import World


@dataclass
class Execution:
    """One attempt's execution: at which step it is, and what it has kept."""

    world: World
    name: str
    ref: JobRef
    step: str = ENHANCEMENT.steps[0].name
    token: str | None = None
    tokens: int = 0
    result: Any = None
    error: tuple[str, str] = ("", "")

    @property
    def is_running(self) -> bool:
        return self.world.workflow.executions[self.name] == "RUNNING"

    def advance(self, *, answer_is_lost: bool = False) -> None:
        """Run the present step; one whose answer is lost will run again."""
        if self.is_running and self.token is not None:
            self._hear()
        elif self.is_running:
            self._advance(answer_is_lost=answer_is_lost)

    def _advance(self, *, answer_is_lost: bool) -> None:
        table = ENHANCEMENT.step(self.step)
        try:
            outcome = self._run()
        except VersionConflictError:
            return  # retried
        except DomainError as error:
            assert table.catch is not None, f"{self.step} failed and nothing catches it"
            self.error = (type(error).__name__, str(error))
            self._go(table.catch)
            return
        if not answer_is_lost and self.token is None:
            self._go(table.branches.get(outcome, table.next))

    def time_out(self) -> None:
        """Let the task's heartbeat timer run out."""
        if self.is_running and self.token is not None:
            self.world.tasks.fail(self.token, "States.HeartbeatTimeout", "")

    def abort(self) -> None:
        """Stop it as an operator does: no step of it runs any more, and no task of it waits."""
        if self.is_running:
            if self.token is not None:
                self.world.tasks.fail(self.token, "aborted", "")
            self.world.workflow.executions[self.name] = "ABORTED"

    def _run(self) -> str:
        steps = self.world.execution
        match self.step:
            case "Claim":
                return "go" if steps.claim(self.ref) else "stop"
            case "Dispatch":
                self.tokens += 1
                token = f"{self.name}/{self.tokens}"
                self.world.dispatch.dispatch(self.ref, token)
                self.token = token
            case "Verify":
                steps.verify(self.ref, self.result)
            case "Succeed":
                steps.succeed(self.ref, self.result)
            case "Fail":
                status = steps.fail(self.ref, classify(*self.error))
                return status.value if status else "settled"
            case "Notify":
                steps.notify(self.ref)
        return "done"

    def _hear(self) -> None:
        """See whether the task has been answered."""
        answer = self.world.tasks.answers.get(self.token or "")
        if answer is None:
            return
        self.token, table = None, ENHANCEMENT.step("Dispatch")
        if isinstance(answer, WorkResult):
            self.result = answer
            self._go(table.next)
        else:
            self.error = answer
            self._go(str(table.catch))

    def _go(self, step: str) -> None:
        self.step = step
        if step == END:
            self.world.workflow.executions[self.name] = "SUCCEEDED"


@dataclass
class Lane:
    """The endpoint and its workers: takes every order, answers when it is told to."""

    world: World
    notices: list[Notice] = field(default_factory=list)

    def orders(self) -> list[tuple[str, WorkOrder]]:
        backend = self.world.backend
        return list(zip(backend.inference_ids, backend.orders, strict=True))

    def beat(self, order: WorkOrder, percent: float = 50) -> bool:
        """Report progress; False means that nobody wants the work any more, and the worker stops."""
        if order.task_token in self.world.tasks.answers:
            return False
        client_id = order.output.key.split("/")[1]
        now = self.world.clock.now()
        return self.world.jobs.beat(client_id, order.job_id, attempt=order.attempt, percent=percent, now=now)

    def answer(self, inference_id: str, order: WorkOrder, *, error: ErrorCode | None = None) -> Notice:
        """Leave the worker's answer behind and return the endpoint's notice of it."""
        answer = self._failure(order, error) if error else self._result(order)
        place = "failed" if error else "out"
        location = f"s3://work/async/{place}/{inference_id}.out"
        self.world.answers.documents[location] = answer.model_dump_json().encode()
        notice = Notice(inference_id, error is None, None if error else location, "")
        self.notices.append(notice)
        return notice

    def _result(self, order: WorkOrder) -> WorkResult:
        return self.world.result_at(order.job_id, order.attempt, order.output.key, order.model)

    def _failure(self, order: WorkOrder, error: ErrorCode) -> WorkFailure:
        return WorkFailure(
            job_id=order.job_id, attempt=order.attempt, error_code=error, message="", retryable=not error.is_input_fault
        )


@dataclass
class Executions:
    """Every execution that admission has started."""

    world: World
    known: dict[str, Execution] = field(default_factory=dict)

    def all(self) -> list[Execution]:
        for name, job in self.world.workflow.started.items():
            ref = JobRef(job.client_id, job.id, job.attempt)
            self.known.setdefault(name, Execution(self.world, name, ref))
        return list(self.known.values())
