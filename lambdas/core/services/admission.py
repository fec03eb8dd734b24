"""Which queued job may run next. The only place that starts executions."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType

from lambdas.core.clients import Client
from lambdas.core.clock import to_text
from lambdas.core.errors import DomainError, VersionConflictError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.ports import AdmissionQueue, ClientRegistry, Clock, JobRepository, SlotsTaken, WorkflowStarter
from lambdas.core.telemetry import NoTelemetry, Telemetry

logger = logging.getLogger(__name__)

MAX_STARTS = 100
"""In one round, so that it ends well within its function's time; the next round goes on."""

TRIES = 20
"""Jobs that others may take away while they are looked at; whoever is as unlucky leaves the rest to the next tick."""

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class AdmissionService:
    """Fills free slots: oldest first within a client, and max-min fair between clients.

    The next slot goes to the waiting client that has the fewest, among equals to the one whose last admission is the
    longest ago. So a client that queues hundreds of jobs delays another's first one by one job, not by hundreds.
    """

    jobs: JobRepository
    clients: ClientRegistry
    workflow: WorkflowStarter
    queue: AdmissionQueue
    clock: Clock
    max_active_total: int
    telemetry: Telemetry = field(default_factory=NoTelemetry)

    def admit(self, woken: Iterable[str]) -> int:
        """Start queued jobs while slots are free; returns how many.

        Parameters
        ----------
        woken
            Clients that are certain to be looked at as they are now; the list of all clients may be a moment old.
        """
        started, waiting = 0, self._waiting(woken)
        while waiting and started < MAX_STARTS:
            client = min(waiting.values(), key=_precedence)
            admitted = self._admit_oldest(client.id)
            if admitted is SlotsTaken.BY_ALL:
                return started
            if isinstance(admitted, Job):
                started += 1
                waiting[client.id] = _with_slot(client, admitted)
            else:
                del waiting[client.id]
        if waiting:
            self.queue.tick(next(iter(waiting)))
        return started

    def _waiting(self, woken: Iterable[str]) -> dict[str, Client]:
        """Return the clients worth a transaction: those whose limit is reached have none to win, whoever woke them."""
        known = {client.id: client for client in self.clients.all()}
        fresh = (self.clients.get(client_id) for client_id in set(woken))
        known |= {client.id: client for client in fresh if client is not None}
        return {client.id: client for client in known.values() if client.queued > 0 and client.has_free_slot}

    def _admit_oldest(self, client_id: str) -> Job | SlotsTaken | None:
        """Admit the client's oldest job; None if none waits."""
        for _ in range(TRIES):
            job = self.jobs.oldest_queued(client_id)
            if job is None:
                return None
            if job.status is not JobStatus.QUEUED:
                continue  # it left the queue between the two reads that found it: look again
            try:
                admitted = self.jobs.admit(job.admitted(self.clock.now()), max_active_total=self.max_active_total)
            except VersionConflictError:
                continue  # somebody else moved it: look again
            if isinstance(admitted, Job):
                self._start(admitted)
                # The row was last written when the job began to wait: when it was asked for, or queued again.
                self.telemetry.waited((admitted.updated_at - job.updated_at).total_seconds())
            return admitted
        return None

    def _start(self, job: Job) -> None:
        try:
            self.workflow.start(job)
        except DomainError:
            # The slot must not be held by a job that does not run; the queue's redelivery tries again.
            self.jobs.release(job.unadmitted(self.clock.now()))
            raise
        logger.info("admitted", extra={"job_id": job.id, "attempt": job.attempt})


def _precedence(client: Client) -> tuple[int, datetime, str]:
    return len(client.leases), client.last_admitted_at or _NEVER, client.id


def _with_slot(client: Client, job: Job) -> Client:
    leases = MappingProxyType({**client.leases, job.id: to_text(job.updated_at)})
    return replace(client, leases=leases, last_admitted_at=job.updated_at)
