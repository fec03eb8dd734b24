"""What the core needs from the world. ``tests/ports`` holds every implementation to the same behaviour."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from gpu_container.contract import AccessGrant, ProgressKey, WorkOrder, WorkResult
from lambdas.core.access import Tags
from lambdas.core.assets import Asset
from lambdas.core.batches import Batch
from lambdas.core.clients import Client
from lambdas.core.jobs import Job, JobStatus, Tombstone
from lambdas.core.rates import RateClass
from lambdas.core.routing import Lane
from lambdas.core.uploads import ArrivedPart, MultipartUpload
from lambdas.core.usage import UsageDay

if TYPE_CHECKING:
    from lambdas.core.webhooks import WebhookEndpoint


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


class SlotsTaken(StrEnum):
    """Why a job was not admitted."""

    BY_CLIENT = "by_client"
    BY_ALL = "by_all"


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended; a job ends once, so its id names the outcome."""

    client_id: str
    job_id: str
    asset_id: str
    status: str
    finished_at: datetime
    error_code: str | None = None


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

    def erasing_due(self, moment: datetime) -> Sequence[Asset]:
        """Return the deleted assets, of all clients, whose next erasing was due before ``moment``."""
        ...

    def retained_until(self, moment: datetime) -> Sequence[Asset]:
        """Return the settled assets, of all clients, that were to be kept until ``moment`` at the latest."""
        ...

    def newest(self, client_id: str, *, limit: int, before: str | None = None) -> Sequence[Asset]:
        """Return the client's newest assets, newest first, of those that stand before a place (`order_of`)."""
        ...

    def waiting(self, *, since: datetime, before: datetime) -> Sequence[Asset]:
        """Return the assets, of all clients, that wait for their bytes and were made in between."""
        ...

    def remove(self, asset: Asset) -> None:
        """Forget an erased asset; `VersionConflictError` if it was written since it was read."""
        ...


class JobRepository(Protocol):
    """Jobs, compare-and-set on their version, and the queue, slots and uniqueness that change with them.

    Every method that writes raises `VersionConflictError` if the job was written since it was read; what it writes, it
    writes all or nothing.
    """

    def add(self, job: Job, webhook: "WebhookEndpoint | None" = None) -> None:
        """Store a new job, with where its end is to be told, and queue it unless it waits for its upload.

        Raises
        ------
        DomainError
            NOT_FOUND if the asset is not there and ready, ENHANCEMENT_EXISTS if there is a job of this id, or of this
            asset, model and strength that has not ended without a result, or a tombstone of a job of this id that a
            request with a key had made, QUEUE_FULL if the client has ``max_queued`` jobs waiting.
        """
        ...

    def enqueue(self, job: Job) -> Job:
        """Write a job whose upload has come and queue it; raises `DomainError` NOT_FOUND and QUEUE_FULL as `add`."""
        ...

    def get(self, client_id: str, job_id: str) -> Job | None:
        """Return the client's job, or None."""
        ...

    def save(self, job: Job) -> Job:
        """Write a changed job that neither takes nor gives back a slot nor changes its place in the queue."""
        ...

    def admit(self, job: Job, *, max_active_total: int) -> Job | SlotsTaken:
        """Write an admitted job, take it off the queue and take a slot of its client and one of all."""
        ...

    def release(self, job: Job) -> Job:
        """Write a job that holds its slots no longer (requeued or terminal) and give them back.

        A job that ended without a result also gives back its place in the uniqueness of (asset, model, strength).
        """
        ...

    def withdraw(self, job: Job, *, was: JobStatus) -> Job:
        """Write a job that has ended before it had a slot, and take it off the queue if it was queued."""
        ...

    def many(self, client_id: str, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """Return the client's jobs of those ids, by id; up to a hundred."""
        ...

    def oldest_queued(self, client_id: str) -> Job | None:
        """Return the client's oldest queued job, or None."""
        ...

    def queue_position(self, job: Job) -> int | None:
        """Return a queued job's place in its client's queue, 1 for the next; None once it waits no more."""
        ...

    def queue(self, client_id: str) -> Sequence[str]:
        """Return the ids of the client's queued jobs, the next one first."""
        ...

    def active(self) -> Sequence[Job]:
        """Return every job that holds a slot, of all clients."""
        ...

    def unnoticed(self, before: datetime) -> Sequence[Job]:
        """Return every job, of all clients, that ended before ``before`` and whose end nobody was told."""
        ...

    def expecting(self, *, before: datetime, since: datetime | None = None) -> Sequence[Job]:
        """Return the jobs, of all clients, that wait for their upload and were asked for in between; none is held."""
        ...

    def held(self) -> Iterable[Job]:
        """Return the jobs, of all clients, that wait for room in a queue, oldest first; read as far as it is wanted."""
        ...

    def of_asset(self, client_id: str, asset_id: str) -> Sequence[Job]:
        """Return every job of an asset, oldest first; one written a moment ago may be missing."""
        ...

    def newest(self, client_id: str, status: JobStatus, *, limit: int, before: str | None = None) -> Sequence[Job]:
        """Return the client's newest jobs in a status, newest first, of those that stand before a place (`order_of`).

        One that has just changed may be missing.
        """
        ...

    def remove(self, job: Job) -> None:
        """Forget a job that has ended or has never begun to wait in the queue, and its uniqueness with it."""
        ...

    def bury(self, job: Job, tombstone: Tombstone) -> None:
        """Forget a terminal job as `remove` does, and leave its tombstone."""
        ...

    def drop_lease(self, client_id: str, job_id: str) -> None:
        """Give back the slots of a job that does not hold them any more; nothing if there is no such lease."""
        ...

    def progress_key(self, job: Job) -> ProgressKey | None:
        """Return the row whose progress attributes the job's worker may write; None where there is no table."""
        ...


class TombstoneStore(Protocol):
    """What is left of deleted jobs; `JobRepository.bury` makes it, and time takes it away with the asset's rows."""

    def get(self, client_id: str, job_id: str) -> Tombstone | None:
        """Return the tombstone of the client's job, or None."""
        ...

    def due(self, moment: datetime) -> Sequence[Tombstone]:
        """Return the tombstones, of all clients, whose next erasing was due before ``moment``."""
        ...

    def save(self, tombstone: Tombstone) -> None:
        """Write a changed tombstone; nothing where it has gone meanwhile."""
        ...

    def remove(self, tombstone: Tombstone) -> None:
        """Forget it."""
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
        """Write name, secrets, limits and flags (never the leases nor what waits)."""
        ...

    def all(self) -> Sequence[Client]:
        """Return every client, by creation."""
        ...


class BatchStore(Protocol):
    """Batches."""

    def add(self, batch: Batch) -> None:
        """Store a new batch; raises `VersionConflictError` if the id is taken."""
        ...

    def get(self, client_id: str, batch_id: str) -> Batch | None:
        """Return the client's batch, or None."""
        ...


class UsageStore(Protocol):
    """What clients have had done; `JobRepository` counts it where jobs end."""

    def days(self, client_id: str, first: date, last: date) -> Sequence[UsageDay]:
        """Return the days on which jobs ended, in order."""
        ...


class RateCounter(Protocol):
    """Counts calls by client, class and bucket (`lambdas.core.rates`)."""

    def count(self, client_id: str, rate_class: RateClass, now: datetime) -> Mapping[int, int]:
        """Count one call; return the calls by bucket, this one included, of all that count together, and of later ones.

        Of two calls that are counted side by side at least one sees the other, whichever bucket each is in.
        """
        ...

    def discount(self, client_id: str, rate_class: RateClass, now: datetime) -> None:
        """Take back a call that was counted at ``now``."""
        ...


class AudioLinks(Protocol):
    """Presigned links to uploads and results: all that the API may do with audio."""

    def upload_url(self, asset: Asset) -> str:
        """Return a fresh presigned PUT that signs length, type and the declared checksums."""
        ...

    def download_url(self, key: str, version_id: str | None, *, filename: str, content_type: str) -> str:
        """Return a presigned GET that names the file and its type."""
        ...


class MultipartUploads(Protocol):
    """Uploads in parts."""

    def start(self, object_key: str, content_type: str) -> str:
        """Start an upload and return its id."""
        ...

    def part_url(self, upload: MultipartUpload, number: int, *, size_bytes: int, md5: str | None) -> str:
        """Return a fresh presigned PUT of one part that signs its length and, where given, its MD5 (base64)."""
        ...

    def arrived(self, upload: MultipartUpload) -> Sequence[ArrivedPart] | None:
        """Return the parts that are there, by number; None once the upload is finished, aborted or expired."""
        ...

    def complete(self, upload: MultipartUpload, parts: Sequence[ArrivedPart]) -> bool:
        """Make the parts an object; False where there is no such upload any more."""
        ...

    def is_complete(self, upload: MultipartUpload) -> bool:
        """Tell whether the object is there."""
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

    def is_arriving(self, key: str, *, since: datetime) -> bool:
        """Tell whether somebody has begun after ``since`` to write the object in parts, and has not ended."""
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


class CredentialIssuer(Protocol):
    """Lends the role that workers take on."""

    def issue(self, name: str, tags: Tags) -> AccessGrant:
        """Return temporary credentials that reach what ``tags`` name; ``name`` is what the audit trail calls them."""
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


class IntakeStarter(Protocol):
    """Starts the intake of an upload in place of the storage's event."""

    def start(self, asset: Asset, again: int) -> None:
        """Start it for the ``again``-th time; one that was started already counts as started."""
        ...


class TaskTokens(Protocol):
    """Ends and keeps alive callback tasks. Each answer tells whether the task was still waiting for it."""

    def succeed(self, token: str, result: WorkResult) -> bool:
        """End the task well."""
        ...

    def fail(self, token: str, error: str, cause: str) -> bool:
        """End the task badly."""
        ...

    def heartbeat(self, token: str) -> bool:
        """Keep the task alive."""
        ...


class OutcomeQueue(Protocol):
    """Where the ends of jobs are told; whoever tells clients of them reads it."""

    def tell(self, outcome: JobOutcome) -> None:
        """Send; the same outcome may be sent more than once."""
        ...


class StopQueue(Protocol):
    """Asks for the end of executions whose job has been cancelled."""

    def ask(self, job: Job) -> None:
        """Ask for the end of the job's present attempt."""
        ...


class EraseQueue(Protocol):
    """Asks for the erasing of what was deleted."""

    def ask(self, client_id: str, asset_id: str) -> None:
        """Ask for the erasing of one asset."""
        ...

    def ask_for_job(self, client_id: str, job_id: str) -> None:
        """Ask for the erasing of one job's results."""
        ...


class LaneLog(Protocol):
    """When each lane last showed life."""

    def beat(self, lane: Lane, moment: datetime) -> None:
        """Note that a worker of the lane was alive at ``moment``; an earlier one changes nothing."""
        ...

    def last_beats(self) -> Mapping[Lane, datetime]:
        """Return the last moment of each lane that has ever been noted."""
        ...


class ObjectEraser(Protocol):
    """Deletes objects of one bucket for good."""

    def erase(self, prefix: str) -> int:
        """Delete every version of every object whose key begins with ``prefix``; returns how many."""
        ...

    def erase_others(self, key: str, *, version_id: str) -> int:
        """Delete every version of an object but one, and none where that one is not there; returns how many."""
        ...

    def abort(self, upload: MultipartUpload) -> None:
        """Drop the parts of an upload, if it is not finished or gone."""
        ...


class ComputeBackend(Protocol):
    """A lane that runs work orders."""

    def dispatch(self, order: WorkOrder, *, inference_id: str) -> Dispatched:
        """Hand over an order; it ends through ``complete``, never here."""
        ...


class Warmth(Protocol):
    """Knows whether the GPU lane would begin at once."""

    def is_warm(self) -> bool:
        """Return whether a worker runs; where that cannot be learnt, False."""
        ...


class AnswerReader(Protocol):
    """Reads what a worker left behind, where its lane said it would: an object, or an execution's output."""

    def read(self, location: str) -> bytes | None:
        """Return the document at the location, or None."""
        ...

    def is_watched(self, location: str) -> bool:
        """Return whether somebody else sees to it that the answer comes: an execution that runs; never an object."""
        ...
