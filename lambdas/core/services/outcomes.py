"""Telling how a job ended: at least once, whoever ended it and whatever dies on the way."""

import logging
from dataclasses import dataclass, field

from lambdas.core.errors import DomainError, VersionConflictError
from lambdas.core.jobs import Job
from lambdas.core.ports import Clock, JobOutcome, JobRepository, OutcomeQueue
from lambdas.core.telemetry import NoTelemetry, Telemetry

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OutcomeService:
    """Sends first and takes note afterwards: what dies in between is sent again, never lost."""

    jobs: JobRepository
    outcomes: OutcomeQueue
    clock: Clock
    telemetry: Telemetry = field(default_factory=NoTelemetry)

    def tell(self, client_id: str, job_id: str) -> bool:
        """Tell the job's end unless it is told already, or there is none; returns whether it was told now."""
        job = self.jobs.get(client_id, job_id)
        if job is None or not job.is_terminal or job.notified_at is not None:
            return False
        self.outcomes.tell(outcome_of(job))
        try:
            self.jobs.save(job.noticed(self.clock.now()))
        except VersionConflictError:
            logger.info("the outcome was told twice", extra={"job_id": job.id})
        else:
            self.telemetry.ended(job)  # whoever wrote the note counts, so that each end counts once
        return True

    def tell_safely(self, client_id: str, job_id: str) -> bool:
        """Tell it now if that works: the sweeper makes a failure good within minutes."""
        try:
            return self.tell(client_id, job_id)
        except DomainError:
            logger.exception("an outcome could not be told", extra={"job_id": job_id})
            return False


def outcome_of(job: Job) -> JobOutcome:
    """Describe the end of a terminal job."""
    return JobOutcome(
        client_id=job.client_id,
        job_id=job.id,
        asset_id=job.asset_id,
        status=job.status.value,
        finished_at=job.finished_at or job.updated_at,
        error_code=job.error_code,
    )
