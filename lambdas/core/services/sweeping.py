"""What nobody else will notice: lost messages, lost workers, lost executions.

Runs every minute; all of it is idempotent.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from lambdas.core.errors import DomainError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.ports import AdmissionQueue, AttemptStore, Clock, JobRepository, TaskTokens, WorkflowStarter
from lambdas.core.services.execution import JobRef, after_failure, current_job
from lambdas.core.services.failures import EXECUTION_LOST, EXECUTION_STOPPED, NO_CAPACITY, WORKER_LOST, classify
from lambdas.core.workflow import GPU_START_LIMIT_S, HEARTBEAT_TIMEOUT_S, SWEEP_INTERVAL_S

logger = logging.getLogger(__name__)

RUNNING, ABORTED = "RUNNING", "ABORTED"
ENDED_BADLY = frozenset({"FAILED", "TIMED_OUT", ABORTED})
GRACE = timedelta(seconds=SWEEP_INTERVAL_S)


@dataclass(frozen=True)
class Swept:
    """What one sweep did."""

    active: int = 0
    beaten: int = 0
    failed: int = 0
    recovered: int = 0
    waiting_clients: int = 0


@dataclass(frozen=True)
class SweepService:
    """Keeps every job moving until it ends."""

    jobs: JobRepository
    attempts: AttemptStore
    workflow: WorkflowStarter
    tasks: TaskTokens
    queue: AdmissionQueue
    clock: Clock

    def sweep(self) -> Swept:
        """Look at every job that holds a slot, and wake the admission of every client that waits."""
        waiting = self.jobs.clients_waiting()
        for client_id in waiting:
            self.queue.tick(client_id)
        active, now = self.jobs.active(), self.clock.now()
        # With a worker alive the lane is busy, not absent: whoever waits for it goes on waiting.
        lane_alive = any(job.status is JobStatus.RUNNING and not _is_silent(job, now) for job in active)
        outcomes = [self._look_safely(job, now, lane_alive=lane_alive) for job in active]
        return Swept(
            active=len(active),
            beaten=outcomes.count("beaten"),
            failed=outcomes.count("failed"),
            recovered=outcomes.count("recovered"),
            waiting_clients=len(waiting),
        )

    def recover(self, ref: JobRef, status: str | None) -> bool:
        """Free the slot of an attempt whose execution has ended without settling it; False where it is settled.

        An execution that an operator has stopped is not started again.
        """
        job = current_job(self.jobs, ref)
        if job is None:
            return False
        error = EXECUTION_STOPPED if status == ABORTED else EXECUTION_LOST
        failure = classify(error, f"execution {status or 'missing'}")
        self.jobs.release(after_failure(job, failure, now=self.clock.now()))
        self.queue.tick(ref.client_id)
        logger.warning("recovered a lost execution", extra={"job_id": job.id, "attempt": job.attempt})
        return True

    def _look_safely(self, job: Job, now: datetime, *, lane_alive: bool) -> str:
        """One job that cannot be looked at must not keep the others from it."""
        try:
            return self._look(job, now, lane_alive=lane_alive)
        except DomainError:
            logger.exception("sweep of one job failed", extra={"job_id": job.id})
            return "error"

    def _look(self, job: Job, now: datetime, *, lane_alive: bool) -> str:
        if job.status is JobStatus.RUNNING and not _is_silent(job, now):
            return "fine"
        if now - (job.admitted_at or job.updated_at) > GRACE:
            status = self.workflow.status(job)
            if status is None and job.status is JobStatus.ADMITTED:
                return self._unadmit(job)
            if status != RUNNING:
                recovered = self.recover(JobRef(job.client_id, job.id, job.attempt), status)
                return "recovered" if recovered else "settled"
        if job.status is JobStatus.DISPATCHED:
            return self._wait_for_worker(job, now, lane_alive=lane_alive)
        if job.status is JobStatus.RUNNING:
            return self._fail(job, WORKER_LOST, "the worker has gone silent")
        return "fine"

    def _unadmit(self, job: Job) -> str:
        """Put a job whose execution was never started back into the queue: only admission starts executions."""
        stored = current_job(self.jobs, JobRef(job.client_id, job.id, job.attempt))
        if stored is None or stored.status is not JobStatus.ADMITTED:
            return "settled"
        self.jobs.release(stored.unadmitted(self.clock.now()))
        self.queue.tick(job.client_id)
        return "recovered"

    def _wait_for_worker(self, job: Job, now: datetime, *, lane_alive: bool) -> str:
        """Beat in the worker's place: a GPU that starts from zero is silent for minutes. Up to a limit."""
        if not lane_alive and (now - job.updated_at).total_seconds() > GPU_START_LIMIT_S:
            return self._fail(job, NO_CAPACITY, "no worker has started in time")
        attempt = self.attempts.get(job.execution_name)
        if attempt is None:
            return "fine"
        self.tasks.heartbeat(attempt.task_token)
        return "beaten"

    def _fail(self, job: Job, error: str, cause: str) -> str:
        attempt = self.attempts.get(job.execution_name)
        if attempt is None:
            return "fine"
        self.tasks.fail(attempt.task_token, error, cause)
        return "failed"


def _is_silent(job: Job, now: datetime) -> bool:
    return (now - (job.heartbeat_at or job.updated_at)).total_seconds() > HEARTBEAT_TIMEOUT_S
