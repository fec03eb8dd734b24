"""The stores as dictionaries: for unit tests, held to the same contract as DynamoDB's (``tests/ports``)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from types import MappingProxyType

from gpu_container.contract import ProgressKey
from lambdas.adapters.memory.webhooks import MemoryWebhookStore
from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.batches import Batch
from lambdas.core.clients import Client
from lambdas.core.clock import to_text
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.jobs import HOLDS_SLOT, MAY_BE_ASKED_AGAIN, Job, JobStatus, Tombstone
from lambdas.core.paging import order_of
from lambdas.core.ports import Attempt, SlotsTaken
from lambdas.core.rates import RateClass, bucket_of, oldest_counted
from lambdas.core.routing import Lane
from lambdas.core.usage import COUNTED, UsageDay, audio_ms_of, day_of
from lambdas.core.webhooks import WebhookEndpoint


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

    def erasing_due(self, moment: datetime) -> Sequence[Asset]:
        """Return the deleted assets whose next erasing was due before ``moment``."""
        return [one for one in self._items.values() if one.erase_again_at is not None and one.erase_again_at < moment]

    def retained_until(self, moment: datetime) -> Sequence[Asset]:
        """Return the assets that were to be kept until ``moment`` at the latest."""
        living = [asset for asset in self._items.values() if not asset.is_deleted and not asset.is_waiting]
        return [asset for asset in living if asset.retain_until is not None and asset.retain_until < moment]

    def newest(self, client_id: str, *, limit: int, before: str | None = None) -> Sequence[Asset]:
        """Return the client's newest assets, newest first."""
        own = [asset for asset in self._items.values() if asset.client_id == client_id and not asset.is_deleted]
        places = {order_of(asset.created_at, asset.id): asset for asset in own}
        return [places[place] for place in sorted(places, reverse=True) if before is None or place < before][:limit]

    def waiting(self, *, since: datetime, before: datetime) -> Sequence[Asset]:
        """Return the assets that wait for their bytes."""
        return [asset for asset in self._items.values() if asset.is_waiting and since <= asset.created_at < before]

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


class MemoryTombstoneStore:
    """Tombstones by client and job."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], Tombstone] = {}

    def get(self, client_id: str, job_id: str) -> Tombstone | None:
        """Return the tombstone, or None."""
        return self._items.get((client_id, job_id))

    def due(self, moment: datetime) -> Sequence[Tombstone]:
        """Return the tombstones whose next erasing was due before ``moment``."""
        return [one for one in self._items.values() if one.erase_again_at is not None and one.erase_again_at < moment]

    def put(self, tombstone: Tombstone) -> None:
        """Write it, whether or not there was one."""
        self._items[tombstone.client_id, tombstone.job_id] = tombstone

    def save(self, tombstone: Tombstone) -> None:
        """Write a changed tombstone that is still there."""
        if (tombstone.client_id, tombstone.job_id) in self._items:
            self.put(tombstone)

    def remove(self, tombstone: Tombstone) -> None:
        """Forget it."""
        self._items.pop((tombstone.client_id, tombstone.job_id), None)


class MemoryJobRepository:
    """Jobs by client and id, what is left of them and where their ends are told; slots live with the clients."""

    def __init__(self, clients: MemoryClientRegistry, assets: MemoryAssetStore) -> None:
        self._clients = clients
        self._assets = assets
        self.tombstones = MemoryTombstoneStore()
        self.webhooks = MemoryWebhookStore()
        self._items: dict[tuple[str, str], Job] = {}
        self._unique: dict[tuple[str, str, str, float], str] = {}
        self._usage: dict[tuple[str, date], UsageDay] = {}

    def add(self, job: Job, webhook: WebhookEndpoint | None = None) -> None:
        """Store a new job and its webhook, and queue it unless it waits for its upload."""
        queued = job.status is JobStatus.QUEUED
        if queued:
            self._keep_asset(job)
        is_taken = (job.client_id, job.id) in self._items or self._is_buried(job)
        if is_taken or (job.is_unique and _identity(job) in self._unique):
            raise DomainError(DomainErrorCode.ENHANCEMENT_EXISTS)
        if queued:
            self._count_in(job)
        self._items[job.client_id, job.id] = job
        if webhook:
            self.webhooks.put(webhook)
        if job.is_unique:
            self._unique[_identity(job)] = job.id

    def enqueue(self, job: Job) -> Job:
        """Write a job whose upload has come and queue it."""
        self._check(job)
        self._keep_asset(job)
        self._count_in(job)
        return self.save(job)

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
        self._settle(job)
        return saved

    def withdraw(self, job: Job, *, was: JobStatus) -> Job:
        """Write the job and take it off the queue, both or neither."""
        saved = self.save(job)
        if was is JobStatus.QUEUED:
            self._count(job, queued=-1)
        self._settle(job)
        return saved

    def many(self, client_id: str, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """Return the client's jobs of those ids, by id."""
        found = (self.get(client_id, job_id) for job_id in job_ids)
        return {job.id: job for job in found if job is not None}

    def days(self, client_id: str, first: date, last: date) -> Sequence[UsageDay]:
        """Return the days on which jobs ended."""
        own = [usage for (owner, _), usage in self._usage.items() if owner == client_id]
        return sorted((usage for usage in own if first <= usage.day <= last), key=lambda usage: usage.day)

    def oldest_queued(self, client_id: str) -> Job | None:
        """Return the client's oldest queued job, or None."""
        return next(iter(self._queued(client_id)), None)

    def queue_position(self, job: Job) -> int | None:
        """Return a queued job's place in its client's queue."""
        ids = [queued.id for queued in self._queued(job.client_id)]
        return ids.index(job.id) + 1 if job.id in ids else None

    def queue(self, client_id: str) -> Sequence[str]:
        """Return the ids of the client's queued jobs, the next one first."""
        return [job.id for job in self._queued(client_id)]

    def active(self) -> Sequence[Job]:
        """Return every job that holds a slot."""
        return [job for job in self._items.values() if job.status in HOLDS_SLOT]

    def unnoticed(self, before: datetime) -> Sequence[Job]:
        """Return every job that ended before ``before`` and whose end nobody was told."""
        ended = [job for job in self._items.values() if job.is_terminal and job.notified_at is None]
        return [job for job in ended if job.finished_at is not None and job.finished_at < before]

    def expecting(self, *, before: datetime, since: datetime | None = None) -> Sequence[Job]:
        """Return the jobs that wait for their upload and were asked for in between."""
        waiting = [job for job in self._waiting() if not job.is_held]
        return [job for job in waiting if (since is None or since <= job.requested_at) and job.requested_at < before]

    def held(self) -> Sequence[Job]:
        """Return the jobs that wait for room in a queue, oldest first."""
        return sorted((job for job in self._waiting() if job.is_held), key=_order)

    def of_asset(self, client_id: str, asset_id: str) -> Sequence[Job]:
        """Return every job of an asset, oldest first."""
        return [job for job in self._of_client(client_id) if job.asset_id == asset_id]

    def newest(self, client_id: str, status: JobStatus, *, limit: int, before: str | None = None) -> Sequence[Job]:
        """Return the client's newest jobs in a status."""
        found = [job for job in self._of_client(client_id) if job.status is status]
        earlier = [job for job in found if before is None or order_of(job.requested_at, job.id) < before]
        return earlier[: -limit - 1 : -1]

    def remove(self, job: Job) -> None:
        """Forget a terminal job."""
        self._check(job)
        del self._items[job.client_id, job.id]
        if self._unique.get(_identity(job)) == job.id:
            del self._unique[_identity(job)]

    def bury(self, job: Job, tombstone: Tombstone) -> None:
        """Forget a terminal job and leave its tombstone."""
        self.remove(job)
        self.tombstones.put(tombstone)

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
        started_at = job.started_at or now
        beaten = replace(job, status=JobStatus.RUNNING, progress=percent, started_at=started_at, heartbeat_at=now)
        self._items[client_id, job_id] = beaten
        return True

    def progress_key(self, job: Job) -> ProgressKey | None:
        """There is no table to write to."""
        del job
        return None

    def _is_buried(self, job: Job) -> bool:
        return job.request_sha256 is not None and self.tombstones.get(job.client_id, job.id) is not None

    def _of_client(self, client_id: str) -> list[Job]:
        return sorted((job for job in self._items.values() if job.client_id == client_id), key=_order)

    def _waiting(self) -> list[Job]:
        return [job for job in self._items.values() if job.status is JobStatus.WAITING_FOR_UPLOAD]

    def _queued(self, client_id: str) -> list[Job]:
        return [job for job in self._of_client(client_id) if job.status is JobStatus.QUEUED]

    def _count(self, job: Job, *, queued: int) -> None:
        client = self._clients.get(job.client_id)
        if client is not None:
            self._clients.change(job.client_id, queued=client.queued + queued)

    def _keep_asset(self, job: Job) -> None:
        asset = self._assets.get(job.client_id, job.asset_id)
        if self._clients.get(job.client_id) is None or asset is None or asset.status is not AssetStatus.READY:
            raise DomainError(DomainErrorCode.NOT_FOUND)

    def _count_in(self, job: Job) -> None:
        client = self._clients.get(job.client_id)
        if client is not None and client.queued >= client.max_queued:
            raise DomainError(DomainErrorCode.QUEUE_FULL, retryable=True)
        self._count(job, queued=1)

    def _settle(self, job: Job) -> None:
        """Give back uniqueness where nothing came of the job, and count it."""
        if job.is_terminal:
            key = (job.client_id, day_of(job))
            usage = self._usage.get(key, UsageDay(key[1]))
            counter = COUNTED[job.status]
            counted = {counter: getattr(usage, counter) + 1, "audio_s": usage.audio_s + audio_ms_of(job) / 1000}
            self._usage[key] = replace(usage, **counted)
        if job.status in MAY_BE_ASKED_AGAIN and self._unique.get(_identity(job)) == job.id:
            del self._unique[_identity(job)]

    def _check(self, job: Job) -> None:
        stored = self._items.get((job.client_id, job.id))
        if stored is None or stored.version != job.version:
            raise VersionConflictError


class MemoryBatchStore:
    """Batches by client and id."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], Batch] = {}

    def add(self, batch: Batch) -> None:
        """Store a new batch."""
        key = (batch.client_id, batch.id)
        if key in self._items:
            raise VersionConflictError
        self._items[key] = batch

    def get(self, client_id: str, batch_id: str) -> Batch | None:
        """Return the client's batch, or None."""
        return self._items.get((client_id, batch_id))


class MemoryRateCounter:
    """Calls by client, class and bucket."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, RateClass, int]] = Counter()

    def count(self, client_id: str, rate_class: RateClass, now: datetime) -> Mapping[int, int]:
        """Count one call."""
        newest = bucket_of(now)
        self._counts[client_id, rate_class, newest] += 1
        return {
            bucket: calls
            for (owner, kind, bucket), calls in self._counts.items()
            if (owner, kind) == (client_id, rate_class) and bucket >= oldest_counted(newest)
        }

    def discount(self, client_id: str, rate_class: RateClass, now: datetime) -> None:
        """Take back a call."""
        self._counts[client_id, rate_class, bucket_of(now)] -= 1


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


class MemoryLaneLog:
    """The last sign of life by lane."""

    def __init__(self) -> None:
        self._beats: dict[Lane, datetime] = {}

    def beat(self, lane: Lane, moment: datetime) -> None:
        """Note; an earlier moment changes nothing."""
        self._beats[lane] = max(moment, self._beats.get(lane, moment))

    def last_beats(self) -> Mapping[Lane, datetime]:
        """Return the last moment of each lane."""
        return dict(self._beats)


def _identity(job: Job) -> tuple[str, str, str, float]:
    return job.client_id, job.asset_id, job.model, job.strength


def _order(job: Job) -> tuple[datetime, str]:
    return job.requested_at, job.id
