"""The stores as dictionaries: for unit tests, held to the same contract as DynamoDB's (``tests/ports``)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from gpu_container.contract import ProgressKey
from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.clients import Client
from lambdas.core.clock import to_text
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.jobs import HOLDS_SLOT, MAY_BE_ASKED_AGAIN, Job, JobStatus
from lambdas.core.ports import Attempt, SlotsTaken


class MemoryAssetStore:
    """Assets by client and id."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], Asset] = {}

    def add(self, asset: Asset) -> None:
        """Store a new asset."""
        key = (asset.client_id, asset.id)
        if key in self._items:
            raise VersionConflictError
        self._items[key] = asset

    def get(self, client_id: str, asset_id: str) -> Asset | None:
        """Return the client's asset, or None."""
        return self._items.get((client_id, asset_id))

    def save(self, asset: Asset) -> Asset:
        """Write a changed asset."""
        self._check(asset)
        saved = replace(asset, version=asset.version + 1)
        self._items[asset.client_id, asset.id] = saved
        return saved

    def waiting(self, *, since: datetime, before: datetime) -> Sequence[Asset]:
        """Return the assets that wait for their bytes."""
        return [asset for asset in self._items.values() if asset.is_waiting and since <= asset.created_at < before]

    def deleted_before(self, moment: datetime) -> Sequence[Asset]:
        """Return the deleted assets that are not erased yet."""
        return [asset for asset in self._items.values() if asset.is_deleted and asset.updated_at < moment]

    def remove(self, asset: Asset) -> None:
        """Forget an erased asset."""
        self._check(asset)
        del self._items[asset.client_id, asset.id]

    def _check(self, asset: Asset) -> None:
        stored = self._items.get((asset.client_id, asset.id))
        if stored is None or stored.version != asset.version:
            raise VersionConflictError


class MemoryClientRegistry:
    """Clients by id."""

    def __init__(self) -> None:
        self._items: dict[str, Client] = {}

    def add(self, client: Client) -> None:
        """Store a new client."""
        if client.id in self._items:
            raise VersionConflictError
        self._items[client.id] = client

    def get(self, client_id: str) -> Client | None:
        """Return it, or None."""
        return self._items.get(client_id)

    def save(self, client: Client) -> Client:
        """Write everything but what changes with the jobs."""
        stored = self._items.get(client.id)
        if stored is None or stored.version != client.version:
            raise VersionConflictError
        self._items[client.id] = replace(
            client,
            version=client.version + 1,
            leases=stored.leases,
            queued=stored.queued,
            last_admitted_at=stored.last_admitted_at,
        )
        return self._items[client.id]

    def all(self) -> Sequence[Client]:
        """Return every client, by creation."""
        return sorted(self._items.values(), key=lambda client: client.created_at)

    def change(self, client_id: str, **changes: object) -> None:
        """Write what changes with the jobs."""
        self._items[client_id] = replace(self._items[client_id], **changes)  # type: ignore[arg-type]


class MemoryJobRepository:
    """Jobs by client and id; slots live with the clients."""

    def __init__(self, clients: MemoryClientRegistry, assets: MemoryAssetStore) -> None:
        self._clients = clients
        self._assets = assets
        self._items: dict[tuple[str, str], Job] = {}
        self._unique: dict[tuple[str, str, str, float], str] = {}

    def add(self, job: Job) -> None:
        """Store a new job and queue it."""
        client, asset = self._clients.get(job.client_id), self._assets.get(job.client_id, job.asset_id)
        if client is None or asset is None or asset.status is not AssetStatus.READY:
            raise DomainError(DomainErrorCode.NOT_FOUND)
        if (job.client_id, job.id) in self._items or _identity(job) in self._unique:
            raise DomainError(DomainErrorCode.ENHANCEMENT_EXISTS)
        if client.queued >= client.max_queued:
            raise DomainError(DomainErrorCode.QUEUE_FULL, retryable=True)
        self._items[job.client_id, job.id] = job
        self._unique[_identity(job)] = job.id
        self._count(job, queued=1)

    def get(self, client_id: str, job_id: str) -> Job | None:
        """Return the client's job, or None."""
        return self._items.get((client_id, job_id))

    def save(self, job: Job) -> Job:
        """Write a changed job."""
        self._check(job)
        saved = replace(job, version=job.version + 1)
        self._items[job.client_id, job.id] = saved
        return saved

    def admit(self, job: Job, *, max_active_total: int) -> Job | SlotsTaken:
        """Write the job, take it off the queue and take both slots, or nothing."""
        self._check(job)
        client = self._clients.get(job.client_id)
        if client is None or not client.has_free_slot:
            return SlotsTaken.BY_CLIENT
        if sum(len(one.leases) for one in self._clients.all()) >= max_active_total:
            return SlotsTaken.BY_ALL
        leases = MappingProxyType({**client.leases, job.id: to_text(job.updated_at)})
        self._clients.change(job.client_id, leases=leases, last_admitted_at=job.updated_at)
        self._count(job, queued=-1)
        return self.save(job)

    def release(self, job: Job) -> Job:
        """Write the job and give its slots back, all or nothing."""
        saved = self.save(job)
        self.drop_lease(job.client_id, job.id)
        if job.status is JobStatus.QUEUED:
            self._count(job, queued=1)
        self._give_back_uniqueness(job)
        return saved

    def withdraw(self, job: Job) -> Job:
        """Write the job and take it off the queue, both or neither."""
        saved = self.save(job)
        self._count(job, queued=-1)
        self._give_back_uniqueness(job)
        return saved

    def oldest_queued(self, client_id: str) -> Job | None:
        """Return the client's oldest queued job, or None."""
        return next(iter(self._queued(client_id)), None)

    def queue_position(self, job: Job) -> int | None:
        """Return a queued job's place in its client's queue."""
        ids = [queued.id for queued in self._queued(job.client_id)]
        return ids.index(job.id) + 1 if job.id in ids else None

    def active(self) -> Sequence[Job]:
        """Return every job that holds a slot."""
        return [job for job in self._items.values() if job.status in HOLDS_SLOT]

    def unnoticed(self, before: datetime) -> Sequence[Job]:
        """Return every job that ended before ``before`` and whose end nobody was told."""
        ended = [job for job in self._items.values() if job.is_terminal and job.notified_at is None]
        return [job for job in ended if job.finished_at is not None and job.finished_at < before]

    def of_asset(self, client_id: str, asset_id: str) -> Sequence[Job]:
        """Return every job of an asset, oldest first."""
        return [job for job in self._of_client(client_id) if job.asset_id == asset_id]

    def newest(self, client_id: str, status: JobStatus, *, limit: int) -> Sequence[Job]:
        """Return the client's newest jobs in a status."""
        return [job for job in self._of_client(client_id) if job.status is status][: -limit - 1 : -1]

    def remove(self, job: Job) -> None:
        """Forget a terminal job."""
        self._check(job)
        del self._items[job.client_id, job.id]
        if self._unique.get(_identity(job)) == job.id:
            del self._unique[_identity(job)]

    def drop_lease(self, client_id: str, job_id: str) -> None:
        """Give back the slots of a job."""
        client = self._clients.get(client_id)
        if client is not None:
            leases = {key: since for key, since in client.leases.items() if key != job_id}
            self._clients.change(client_id, leases=MappingProxyType(leases))

    def beat(self, client_id: str, job_id: str, *, attempt: int, percent: float, now: datetime) -> bool:
        """Write progress as a worker does: past the version, fenced by attempt and status. False: not wanted."""
        job = self.get(client_id, job_id)
        if job is None or job.attempt != attempt or job.status not in {JobStatus.DISPATCHED, JobStatus.RUNNING}:
            return False
        beaten = replace(job, status=JobStatus.RUNNING, progress=percent, heartbeat_at=now)
        self._items[client_id, job_id] = beaten
        return True

    def progress_key(self, job: Job) -> ProgressKey | None:
        """There is no table to write to."""
        del job
        return None

    def _of_client(self, client_id: str) -> list[Job]:
        return sorted((job for job in self._items.values() if job.client_id == client_id), key=_order)

    def _queued(self, client_id: str) -> list[Job]:
        return [job for job in self._of_client(client_id) if job.status is JobStatus.QUEUED]

    def _count(self, job: Job, *, queued: int) -> None:
        client = self._clients.get(job.client_id)
        if client is not None:
            self._clients.change(job.client_id, queued=client.queued + queued)

    def _give_back_uniqueness(self, job: Job) -> None:
        if job.status in MAY_BE_ASKED_AGAIN and self._unique.get(_identity(job)) == job.id:
            del self._unique[_identity(job)]

    def _check(self, job: Job) -> None:
        stored = self._items.get((job.client_id, job.id))
        if stored is None or stored.version != job.version:
            raise VersionConflictError


class MemoryAttemptStore:
    """Attempts by inference id."""

    def __init__(self) -> None:
        self._items: dict[str, Attempt] = {}

    def put(self, attempt: Attempt) -> None:
        """Store or replace."""
        self._items[attempt.inference_id] = attempt

    def get(self, inference_id: str) -> Attempt | None:
        """Return it, or None."""
        return self._items.get(inference_id)


def _identity(job: Job) -> tuple[str, str, str, float]:
    return job.client_id, job.asset_id, job.model, job.strength


def _order(job: Job) -> tuple[datetime, str]:
    return job.requested_at, job.id
