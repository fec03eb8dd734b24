"""What time makes necessary: messages that were lost, leases that nobody holds, erasing that is due."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from lambdas.core.assets import Asset
from lambdas.core.clients import Client
from lambdas.core.clock import from_text
from lambdas.core.errors import DomainError
from lambdas.core.jobs import HOLDS_SLOT, Job, Tombstone
from lambdas.core.ports import (
    AdmissionQueue,
    AssetStore,
    ClientRegistry,
    Clock,
    EraseQueue,
    IntakeStarter,
    JobRepository,
    TombstoneStore,
)
from lambdas.core.services.deletion import LATE_WRITERS, DeletionService
from lambdas.core.services.outcomes import OutcomeService
from lambdas.core.services.sweeping import rotated
from lambdas.core.services.waiting import WaitingJobs
from lambdas.core.workflow import EXECUTION_TIMEOUT_S, INTAKE_GIVEN_UP_S, Patience

logger = logging.getLogger(__name__)

T = TypeVar("T")

LEASE_LIFETIME = timedelta(seconds=EXECUTION_TIMEOUT_S) + timedelta(hours=1)
"""No execution lives as long; a lease that does belongs to nobody."""

ERASE_PAUSE_MAX = timedelta(days=1)
"""Between two attempts at an erasing that keeps failing; the queue of dead letters tells the operator of each."""

AT_MOST = 500
"""Of each kind in one run; the next minute goes on."""

WOKEN_AT_MOST = 10
"""One batch of the admission queue: its round looks at everybody who waits, whoever was woken."""


@dataclass(frozen=True)
class Woken:
    """How many clients' admissions were woken, and how long the job has waited that waits longest."""

    woken: int = 0
    oldest_queued_s: int = 0


@dataclass(frozen=True)
class Tidied:
    """What one run did."""

    told: int = 0
    freed: int = 0
    retired: int = 0
    erasing: int = 0
    taken_in: int = 0
    settled: int = 0


@dataclass(frozen=True)
class HousekeepingService:
    """Runs every minute; all of it is idempotent."""

    clients: ClientRegistry
    assets: AssetStore
    jobs: JobRepository
    tombstones: TombstoneStore
    queue: AdmissionQueue
    erasing: EraseQueue
    outcomes: OutcomeService
    waiting: WaitingJobs
    deletion: DeletionService
    intakes: IntakeStarter
    clock: Clock
    patience: Patience = field(default_factory=Patience)

    def wake(self) -> Woken:
        """Wake admission for clients that wait; apart from the rest, which may take its time."""
        now = self.clock.now()
        waiting = [client for client in self.clients.all() if client.queued > 0]
        return Woken(
            woken=self._each(waiting[:WOKEN_AT_MOST], lambda client: self.queue.tick(client.id)),
            oldest_queued_s=max((self._waits_s(client, now) for client in waiting), default=0),
        )

    def tidy(self, *, until: datetime | None = None) -> Tidied:
        """Do everything that is due, until it is too late for more; each minute begins with another kind."""
        now, clients = self.clock.now(), self.clients.all()
        kinds: list[tuple[str, Callable[[], int]]] = [
            ("freed", lambda: self._each(_leases(clients, now), lambda lease: self._free(*lease), until)),
            (
                "told",
                lambda: self._each(self._untold(now), lambda job: self.outcomes.tell(job.client_id, job.id), until),
            ),
            ("retired", lambda: self._each(self.assets.retained_until(now), self._retire, until)),
            ("erasing", lambda: self._each(self.assets.erasing_due(now), self._erase_again, until)),
            ("erasing", lambda: self._each(self.tombstones.due(now), self._erase_job_again, until)),
            ("taken_in", lambda: self._each(self._unsettled(now), lambda pair: self.intakes.start(*pair), until)),
            ("settled", lambda: self._each(self._left_waiting(now), self.waiting.settle, until)),
            ("settled", lambda: self._each(self._overdue(now), self._give_up, until)),
            ("settled", lambda: self._each(self._with_room(clients), self.waiting.settle, until)),
        ]
        done: Counter[str] = Counter()
        for name, act in rotated(kinds, now):
            done[name] += act()
        return Tidied(**done)

    def _each(self, things: Iterable[T], act: Callable[[T], bool | None], until: datetime | None = None) -> int:
        """Act on each; one that fails must not keep the others from it. Returns how many went well."""
        done = 0
        for thing in islice(things, AT_MOST):
            if until is not None and self.clock.now() > until:
                logger.warning("housekeeping is left to the next minutes")
                break
            try:
                done += act(thing) is not False
            except DomainError:
                logger.exception("housekeeping of one thing failed")
        return done

    def _untold(self, now: datetime) -> Sequence[Job]:
        return self.jobs.unnoticed(now - timedelta(seconds=self.patience.outcome_s))

    def _retire(self, asset: Asset) -> None:
        self.deletion.delete(asset.client_id, asset.id)

    def _give_up(self, job: Job) -> bool:
        return self.waiting.settle(job, is_overdue=True)

    def _unsettled(self, now: datetime) -> list[tuple[Asset, int]]:
        """Return the uploads whose intake is to be started again, because its event or the intake itself was lost.

        Nobody else would notice: their clients have done all they have to do. Whether the bytes are there, the
        intake's first step sees.
        """
        return [
            (asset, again)
            for again, (since, before) in enumerate(self._turns(now))
            for asset in self.assets.waiting(since=since, before=before)
        ]

    def _left_waiting(self, now: datetime) -> Sequence[Job]:
        """Return the jobs whose asset is to be looked at, because its intake may have died before it came to them.

        Once an asset is settled no event brings its intake back.
        """
        turns = self._turns(now)
        return rotated([job for turn in turns for job in self.jobs.expecting(since=turn[0], before=turn[1])], now)

    def _overdue(self, now: datetime) -> Sequence[Job]:
        """Return the jobs whose bytes nobody sends."""
        return self.jobs.expecting(before=now - timedelta(seconds=INTAKE_GIVEN_UP_S))

    def _with_room(self, clients: Sequence[Client]) -> Iterator[Job]:
        """Yield the jobs that were held and that their client's queue has room for now, oldest first."""
        room = {client.id: client.max_queued - client.queued for client in clients}
        for job in self.jobs.held():
            if room.get(job.client_id, 0) > 0:
                room[job.client_id] -= 1
                yield job

    def _turns(self, now: datetime) -> list[tuple[datetime, datetime]]:
        """Return when that was made which is looked at now: each thing after the grace, then after twice that time.

        A sweep that is late or lost must not cost a turn, so that each thing is looked at by two.
        """
        patience = self.patience
        turns = math.floor(math.log2(INTAKE_GIVEN_UP_S / patience.intake_s)) + 1
        ages_s = [patience.intake_s * 2**again for again in range(turns)]
        return [
            (now - timedelta(seconds=age_s + 2 * patience.interval_s), now - timedelta(seconds=age_s))
            for age_s in ages_s
        ]

    def _waits_s(self, client: Client, now: datetime) -> int:
        """Return how long the client's next job has waited since it was last put into the queue."""
        try:
            job = self.jobs.oldest_queued(client.id)
        except DomainError:
            logger.exception("a client's queue could not be read")
            return 0
        return int((now - job.updated_at).total_seconds()) if job else 0

    def _erase_again(self, asset: Asset) -> None:
        """Ask again, and then after as long as the deletion is ago: what keeps failing must not crowd out the rest."""
        now = self.clock.now()
        self.assets.save(replace(asset, erase_again_at=now + _pause(now - asset.updated_at)))
        self.erasing.ask(asset.client_id, asset.id)

    def _erase_job_again(self, buried: Tombstone) -> None:
        """Ask again for a deleted enhancement's results, as for an asset's."""
        now = self.clock.now()
        self.tombstones.save(replace(buried, erase_again_at=now + _pause(now - buried.deleted_at)))
        self.erasing.ask_for_job(buried.client_id, buried.job_id)

    def _free(self, client_id: str, job_id: str) -> bool:
        """Take the lease from a job that is gone or has ended; one that still runs is the sweep's to end."""
        job = self.jobs.get(client_id, job_id)
        if job is not None and job.status in HOLDS_SLOT:
            return False
        self.jobs.drop_lease(client_id, job_id)
        logger.error("a slot had leaked", extra={"client_id": client_id, "job_id": job_id})
        return True


def _pause(since_deletion: timedelta) -> timedelta:
    return min(max(since_deletion, LATE_WRITERS), ERASE_PAUSE_MAX)


def _leases(clients: Sequence[Client], now: datetime) -> list[tuple[str, str]]:
    """Return the leases, by client and job, that are older than any execution."""
    held = ((client.id, job_id, since) for client in clients for job_id, since in client.leases.items())
    return [(client_id, job_id) for client_id, job_id, since in held if now - from_text(since) > LEASE_LIFETIME]
