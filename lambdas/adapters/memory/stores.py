"""The stores as dictionaries: for unit tests, held to the same contract as DynamoDB's (``tests/ports``)."""

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from gpu_container.contract import ProgressKey
from lambdas.core.assets import Asset
from lambdas.core.clients import Client
from lambdas.core.clock import to_text
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.jobs import HOLDS_SLOT, Job, JobStatus
from lambdas.core.ports import Attempt


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
        key = (asset.client_id, asset.id)
        stored = self._items.get(key)
        if stored is None or stored.version != asset.version:
            raise VersionConflictError
        self._items[key] = replace(asset, version=asset.version + 1)
        return self._items[key]


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
        """Write everything but the leases."""
        stored = self._items.get(client.id)
        if stored is None or stored.version != client.version:
            raise VersionConflictError
        self._items[client.id] = replace(client, version=client.version + 1, leases=stored.leases)
        return self._items[client.id]

    def all(self) -> Sequence[Client]:
        """Return every client, by creation."""
        return sorted(self._items.values(), key=lambda client: client.created_at)

    def take_slot(self, job: Job) -> bool:
        """Lease a slot to ``job``; False if none is free."""
        client = self._items.get(job.client_id)
        if client is None or len(client.leases) >= client.max_active:
            return False
        leases = {**client.leases, job.id: to_text(job.updated_at)}
        self._items[client.id] = replace(client, leases=MappingProxyType(leases))
        return True

    def give_back_slot(self, job: Job) -> None:
        """End the lease of ``job``."""
        client = self._items.get(job.client_id)
        if client is None:
            return
        leases = {job_id: since for job_id, since in client.leases.items() if job_id != job.id}
        self._items[client.id] = replace(client, leases=MappingProxyType(leases))


class MemoryJobRepository:
    """Jobs by client and id; slots live with the clients."""

    def __init__(self, clients: MemoryClientRegistry) -> None:
        self._clients = clients
        self._items: dict[tuple[str, str], Job] = {}
        self._unique: dict[tuple[str, str, str, float], str] = {}

    def add(self, job: Job) -> None:
        """Store a new job."""
        if (job.client_id, job.id) in self._items or _identity(job) in self._unique:
            raise DomainError(DomainErrorCode.ENHANCEMENT_EXISTS)
        self._items[job.client_id, job.id] = job
        self._unique[_identity(job)] = job.id

    def get(self, client_id: str, job_id: str) -> Job | None:
        """Return the client's job, or None."""
        return self._items.get((client_id, job_id))

    def save(self, job: Job) -> Job:
        """Write a changed job."""
        self._check(job)
        saved = replace(job, version=job.version + 1)
        self._items[job.client_id, job.id] = saved
        return saved

    def admit(self, job: Job) -> Job | None:
        """Write the job and take a slot, both or neither."""
        self._check(job)
        return self.save(job) if self._clients.take_slot(job) else None

    def release(self, job: Job) -> Job:
        """Write the job and give its slot back, both or neither."""
        saved = self.save(job)
        self._clients.give_back_slot(job)
        if job.status is JobStatus.FAILED and self._unique.get(_identity(job)) == job.id:
            del self._unique[_identity(job)]
        return saved

    def oldest_queued(self, client_id: str) -> Job | None:
        """Return the client's oldest queued job, or None."""
        queued = [job for job in self._queued() if job.client_id == client_id]
        return min(queued, key=lambda job: (job.requested_at, job.id), default=None)

    def active(self) -> Sequence[Job]:
        """Return every job that holds a slot."""
        return [job for job in self._items.values() if job.status in HOLDS_SLOT]

    def progress_key(self, job: Job) -> ProgressKey | None:
        """There is no table to write to."""
        del job
        return None

    def clients_waiting(self) -> Sequence[str]:
        """Return the ids of the clients that have a queued job."""
        return sorted({job.client_id for job in self._queued()})

    def _queued(self) -> list[Job]:
        return [job for job in self._items.values() if job.status is JobStatus.QUEUED]

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
