"""What the core needs from the world. ``tests/ports`` holds every implementation to the same behaviour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gpu_container.contract import ProgressKey, WorkOrder, WorkResult
from lambdas.core.assets import Asset
from lambdas.core.clients import Client
from lambdas.core.jobs import Job


@dataclass(frozen=True)
class StoredObject:
    """What a HEAD tells of an object."""

    size_bytes: int
    content_type: str
    version_id: str | None


@dataclass(frozen=True)
class Attempt:
    """One dispatched attempt: which task to end, and where its answer will be."""

    inference_id: str
    client_id: str
    job_id: str
    attempt: int
    task_token: str
    output_location: str | None = None
    failure_location: str | None = None


@dataclass(frozen=True)
class Dispatched:
    """What a lane says when it has taken an order."""

    output_location: str | None
    failure_location: str | None


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the time, aware, UTC, to the millisecond."""
        ...


class IdFactory(Protocol):
    """Makes identifiers."""

    def new_id(self) -> str:
        """Return a UUIDv4 as text."""
        ...


class AssetStore(Protocol):
    """Assets, compare-and-set."""

    def add(self, asset: Asset) -> None:
        """Store a new asset; raises `VersionConflictError` if the id is taken."""
        ...

    def get(self, client_id: str, asset_id: str) -> Asset | None:
        """Return the client's asset, or None; another client's asset is None."""
        ...

    def save(self, asset: Asset) -> Asset:
        """Write a changed asset; raises `VersionConflictError` if it was written since it was read."""
        ...


class JobRepository(Protocol):
    """Jobs, compare-and-set on their version, and the slots and uniqueness that change with them."""

    def add(self, job: Job) -> None:
        """Store a new job; `DomainError` ENHANCEMENT_EXISTS if one like it exists that has not failed."""
        ...

    def get(self, client_id: str, job_id: str) -> Job | None:
        """Return the client's job, or None."""
        ...

    def save(self, job: Job) -> Job:
        """Write a changed job that neither takes nor gives back a slot."""
        ...

    def admit(self, job: Job) -> Job | None:
        """Write an admitted job and take a slot of its client, both or neither; None if no slot is free."""
        ...

    def release(self, job: Job) -> Job:
        """Write a job that holds its slot no longer (requeued or terminal) and give the slot back, both or neither.

        A failed job also gives back its place in the uniqueness of (asset, model, strength).
        """
        ...

    def oldest_queued(self, client_id: str) -> Job | None:
        """Return the client's oldest queued job, or None."""
        ...

    def active(self) -> Sequence[Job]:
        """Return every job that holds a slot, of all clients."""
        ...

    def progress_key(self, job: Job) -> ProgressKey | None:
        """Return the row whose progress attributes the job's worker may write; None where there is no table."""
        ...

    def clients_waiting(self) -> Sequence[str]:
        """Return the ids of the clients that have a queued job."""
        ...


class AttemptStore(Protocol):
    """Dispatched attempts by inference id."""

    def put(self, attempt: Attempt) -> None:
        """Store or replace."""
        ...

    def get(self, inference_id: str) -> Attempt | None:
        """Return it, or None."""
        ...


class ClientRegistry(Protocol):
    """Clients, compare-and-set."""

    def add(self, client: Client) -> None:
        """Store a new client; raises `VersionConflictError` if the id is taken."""
        ...

    def get(self, client_id: str) -> Client | None:
        """Return it, or None."""
        ...

    def save(self, client: Client) -> Client:
        """Write name, secrets, limits and flags (never the leases)."""
        ...

    def all(self) -> Sequence[Client]:
        """Return every client, by creation."""
        ...


class AudioLinks(Protocol):
    """Presigned links to uploads and results: all that the API may do with audio."""

    def upload_url(self, asset: Asset) -> str:
        """Return a fresh presigned PUT that signs length, type and, where declared, MD5."""
        ...

    def download_url(self, key: str, version_id: str | None, *, filename: str, content_type: str) -> str:
        """Return a presigned GET that names the file and its type."""
        ...


class AudioObjects(Protocol):
    """What lies in the bucket of uploads and results: all that the workflow's steps may know of audio."""

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        ...

    def head(self, key: str, version_id: str | None = None) -> StoredObject | None:
        """Return what is stored there, or None."""
        ...


class TokenSigner(Protocol):
    """Signs access tokens."""

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return a compact RS256 JWT."""
        ...


class TokenVerifier(Protocol):
    """Checks access tokens."""

    def verify(self, token: str, *, now: datetime) -> Mapping[str, object] | None:
        """Return the claims of a token that we signed and that has not expired, else None."""
        ...


class AdmissionQueue(Protocol):
    """Wakes the admission of one client."""

    def tick(self, client_id: str) -> None:
        """Say that this client's queue is worth a look."""
        ...


class WorkflowStarter(Protocol):
    """Starts and watches executions."""

    def start(self, job: Job) -> None:
        """Start the attempt's execution; one that exists already counts as started."""
        ...

    def status(self, job: Job) -> str | None:
        """Return RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED of the attempt's execution, None if there is none."""
        ...


class TaskTokens(Protocol):
    """Ends and keeps alive callback tasks. A token that is no longer wanted is not an error."""

    def succeed(self, token: str, result: WorkResult) -> None:
        """End the task well."""
        ...

    def fail(self, token: str, error: str, cause: str) -> None:
        """End the task badly."""
        ...

    def heartbeat(self, token: str) -> None:
        """Keep the task alive."""
        ...


class ComputeBackend(Protocol):
    """A lane that runs work orders."""

    def dispatch(self, order: WorkOrder, *, inference_id: str) -> Dispatched:
        """Hand over an order; it ends through ``complete``, never here."""
        ...


class AnswerReader(Protocol):
    """Reads what a worker left behind."""

    def read(self, location: str) -> bytes | None:
        """Return the document at an ``s3://`` location, or None."""
        ...
