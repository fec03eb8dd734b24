"""What nobody else will notice of jobs in flight: lost messages, lost workers, lost executions.

Runs every minute; all of it is idempotent.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from lambdas.core.errors import DomainError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.ports import (
    AdmissionQueue,
    AttemptStore,
    Clock,
    JobRepository,
    LaneLog,
    TaskTokens,
    WorkflowStarter,
)
from lambdas.core.routing import Lane
from lambdas.core.services.completion import CompletionService
from lambdas.core.services.execution import JobRef, after_failure, current_job
from lambdas.core.services.failures import EXECUTION_LOST, EXECUTION_STOPPED, NO_CAPACITY, WORKER_LOST, classify
from lambdas.core.services.outcomes import OutcomeService
from lambdas.core.workflow import SWEEP_INTERVAL_S, Patience

logger = logging.getLogger(__name__)

T = TypeVar("T")

RUNNING, ABORTED = "RUNNING", "ABORTED"
ENDED_BADLY = frozenset({"FAILED", "TIMED_OUT", ABORTED})

TIME_LIMIT = timedelta(seconds=30)
"""No job is looked at later than this after the start of a sweep; the next one begins elsewhere."""


class Finding(StrEnum):
    """What became of one job that was looked at."""

    FINE = "fine"
    BEATEN = "beaten"
    COMPLETED = "completed"
    FAILED = "failed"
    RECOVERED = "recovered"
    ERROR = "error"
    LEFT = "left"


@dataclass(frozen=True)
class Swept:
    """What one sweep did: how many jobs were in flight, and how many of them in which way needed help."""

    active: int = 0
    beaten: int = 0
    completed: int = 0
    failed: int = 0
    recovered: int = 0
    errors: int = 0
    left: int = 0


@dataclass(frozen=True)
class SweepService:
    """Keeps every job moving until it ends.

    Attributes
    ----------
    workers
        How many jobs are looked at side by side: each costs a few calls over the network and no computing.
    """

    jobs: JobRepository
    attempts: AttemptStore
    workflow: WorkflowStarter
    tasks: TaskTokens
    completion: CompletionService
    queue: AdmissionQueue
    outcomes: OutcomeService
    lane_log: LaneLog
    clock: Clock
    workers: int = 1
    patience: Patience = field(default_factory=Patience)

    def sweep(self) -> Swept:
        """Look at every job that holds a slot."""
        now = self.clock.now()
        active = rotated(self.jobs.active(), now)
        beats = self._note_beats(active)
        with ThreadPoolExecutor(self.workers) as pool:
            found = Counter(pool.map(lambda job: self._look_safely(job, now, _no_worker_since(job, beats)), active))
        return Swept(
            active=len(active),
            beaten=found[Finding.BEATEN],
            completed=found[Finding.COMPLETED],
            failed=found[Finding.FAILED],
            recovered=found[Finding.RECOVERED],
            errors=found[Finding.ERROR],
            left=found[Finding.LEFT],
        )

    def recover(self, ref: JobRef, status: str | None) -> bool:
        """Free the slot of an attempt whose execution has ended without settling it; False where it is settled.

        An execution that an operator has stopped is not started again.
        """
        job = current_job(self.jobs, ref)
        if job is None:
            # It may have ended before it could tell so: nobody else is left to do it.
            self.outcomes.tell_safely(ref.client_id, ref.job_id)
            return False
        error = EXECUTION_STOPPED if status == ABORTED else EXECUTION_LOST
        failure = classify(error, f"execution {status or 'missing'}")
        self.jobs.release(after_failure(job, failure, now=self.clock.now()))
        self.outcomes.tell_safely(ref.client_id, ref.job_id)
        self.queue.tick(ref.client_id)
        logger.warning("recovered a lost execution", extra={"job_id": job.id, "attempt": job.attempt})
        return True

    def _note_beats(self, active: Sequence[Job]) -> Mapping[Lane, datetime]:
        """Return when each lane last beat. It is written down: jobs end, and their heartbeats with them."""
        noted = self.lane_log.last_beats()
        newest: dict[Lane, datetime] = {}
        for job in active:
            if job.lane is not None and job.heartbeat_at is not None:
                newest[job.lane] = max(job.heartbeat_at, newest.get(job.lane, job.heartbeat_at))
        newer = {lane: moment for lane, moment in newest.items() if lane not in noted or moment > noted[lane]}
        for lane, moment in newer.items():
            self.lane_log.beat(lane, moment)
        return {**noted, **newer}

    def _look_safely(self, job: Job, began_at: datetime, no_worker_since: datetime) -> Finding:
        """One job that cannot be looked at must not keep the others from it."""
        if self.clock.now() - began_at > TIME_LIMIT:
            return Finding.LEFT
        try:
            return self._look(job, began_at, no_worker_since)
        except DomainError:
            logger.exception("sweep of one job failed", extra={"job_id": job.id})
            return Finding.ERROR

    def _look(self, job: Job, now: datetime, no_worker_since: datetime) -> Finding:
        silent = self._is_silent(job, now)
        if job.status is JobStatus.RUNNING and not silent:
            return Finding.FINE
        attempt = self.attempts.get(job.execution_name) if job.status is not JobStatus.ADMITTED else None
        if attempt is None:
            return self._look_at_execution(job, now)
        if silent and self.completion.find(attempt):
            return Finding.COMPLETED
        # A fan-out whose parts all wait for room is silent, but its execution knows of each and will end.
        if not self.completion.is_watched(attempt):
            if job.status is JobStatus.RUNNING:
                return self._fail(job, now, attempt.task_token, WORKER_LOST, "the worker has gone silent")
            if (now - no_worker_since).total_seconds() > self.patience.start_s:
                return self._fail(job, now, attempt.task_token, NO_CAPACITY, "no worker has started in time")
        # Beat in the worker's place: a GPU that starts from zero is silent for minutes. Up to a limit.
        waits = self.tasks.heartbeat(attempt.task_token)
        return Finding.BEATEN if waits else self._look_at_execution(job, now)

    def _fail(self, job: Job, now: datetime, token: str, error: str, cause: str) -> Finding:
        waited = self.tasks.fail(token, error, cause)
        return Finding.FAILED if waited else self._look_at_execution(job, now)

    def _look_at_execution(self, job: Job, now: datetime) -> Finding:
        """Ask for the execution only where nothing waits on its task: Step Functions answers few such questions."""
        if (now - (job.admitted_at or job.updated_at)).total_seconds() <= self.patience.execution_s:
            return Finding.FINE
        status = self.workflow.status(job)
        if status == RUNNING:
            return Finding.FINE
        if status is None and job.status is JobStatus.ADMITTED:
            return self._unadmit(job)
        recovered = self.recover(JobRef(job.client_id, job.id, job.attempt), status)
        return Finding.RECOVERED if recovered else Finding.FINE

    def _unadmit(self, job: Job) -> Finding:
        """Put a job whose execution was never started back into the queue: only admission starts executions."""
        stored = current_job(self.jobs, JobRef(job.client_id, job.id, job.attempt))
        if stored is None or stored.status is not JobStatus.ADMITTED:
            return Finding.FINE
        self.jobs.release(stored.unadmitted(self.clock.now()))
        self.queue.tick(job.client_id)
        return Finding.RECOVERED

    def _is_silent(self, job: Job, now: datetime) -> bool:
        return (now - (job.heartbeat_at or job.updated_at)).total_seconds() > self.patience.silence_s


def _no_worker_since(job: Job, beats: Mapping[Lane, datetime]) -> datetime:
    """Return since when the job has waited for its lane to show any life; behind a lane that works it waits on."""
    last_beat = beats.get(job.lane) if job.lane else None
    return max(job.updated_at, last_beat or job.updated_at)


def rotated(things: Sequence[T], now: datetime) -> Sequence[T]:
    """Begin somewhere else each minute, so that what one sweep leaves is early in another."""
    minute = int(now.timestamp()) // SWEEP_INTERVAL_S
    start = minute * 7919 % len(things) if things else 0
    return [*things[start:], *things[:start]]
