"""The rest of the world for unit tests: storage, queue, workflow, tasks, tokens and time that stand still."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gpu_container.contract import AccessGrant, WorkOrder, WorkResult
from lambdas.core.access import Tags
from lambdas.core.assets import Asset
from lambdas.core.errors import TransientError
from lambdas.core.jobs import Job
from lambdas.core.ports import Dispatched, JobOutcome, StoredObject
from lambdas.core.uploads import ArrivedPart, MultipartUpload


@dataclass
class ManualClock:
    """Moves only when told to."""

    moment: datetime = datetime(2024, 4, 9, 21, 38, 36, 872000, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the time it was set to."""
        return self.moment

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.moment += timedelta(seconds=seconds)


@dataclass
class SequentialIds:
    """UUIDs in a fixed order."""

    count: int = 0

    def new_id(self) -> str:
        """Return the next identifier."""
        self.count += 1
        return str(uuid.UUID(int=self.count, version=4))


@dataclass
class MemoryAudioStorage:
    """Objects by key and version."""

    bucket: str = "audio"
    objects: dict[str, list[StoredObject]] = field(default_factory=dict)
    uploads: dict[str, dict[int, ArrivedPart]] = field(default_factory=dict)
    arriving: dict[str, datetime] = field(default_factory=dict)
    """When somebody began to write what is not there yet, by key."""
    urls: int = 0
    puts: int = 0

    def put(self, key: str, *, size_bytes: int, content_type: str = "audio/wav") -> StoredObject:
        """Store an object as a client or a worker would."""
        versions = self.objects.setdefault(key, [])
        self.puts += 1
        versions.append(StoredObject(size_bytes, content_type, f"v{self.puts}"))
        return versions[-1]

    def upload_url(self, asset: Asset) -> str:
        """Return a URL that differs each time."""
        self.urls += 1
        return f"memory://{self.bucket}/{asset.object_key}?put={self.urls}"

    def download_url(self, key: str, version_id: str | None, *, filename: str, content_type: str) -> str:
        """Return a URL that shows what was asked for."""
        return f"memory://{self.bucket}/{key}?version={version_id}&filename={filename}&type={content_type}"

    def head(self, key: str, version_id: str | None = None) -> StoredObject | None:
        """Return the newest or the named version, or None."""
        versions = self.objects.get(key, [])
        if version_id is None:
            return versions[-1] if versions else None
        return next((stored for stored in versions if stored.version_id == version_id), None)

    def is_arriving(self, key: str, *, since: datetime) -> bool:
        """Tell what was set."""
        return key in self.arriving and self.arriving[key] > since

    def start(self, object_key: str, content_type: str) -> str:
        """Start an upload in parts."""
        del content_type
        self.urls += 1
        upload_id = f"{object_key}#{self.urls}"
        self.uploads[upload_id] = {}
        return upload_id

    def part_url(self, upload: MultipartUpload, number: int, *, size_bytes: int, md5: str | None) -> str:
        """Return a URL that differs each time."""
        self.urls += 1
        return f"memory://{self.bucket}/{upload.object_key}?part={number}&size={size_bytes}&md5={md5}&put={self.urls}"

    def put_part(self, upload: MultipartUpload, number: int, size_bytes: int) -> None:
        """Store a part as a client would."""
        self.uploads[upload.upload_id][number] = ArrivedPart(number, size_bytes, f'"{number}/{size_bytes}"')

    def arrived(self, upload: MultipartUpload) -> list[ArrivedPart] | None:
        """Return the parts that are there, by number, or None."""
        parts = self.uploads.get(upload.upload_id)
        return None if parts is None else [parts[number] for number in sorted(parts)]

    def complete(self, upload: MultipartUpload, parts: Sequence[ArrivedPart]) -> bool:
        """Make the parts an object; False where there is no such upload any more."""
        if self.uploads.pop(upload.upload_id, None) is None:
            return False
        self.put(upload.object_key, size_bytes=sum(part.size_bytes for part in parts))
        return True

    def is_complete(self, upload: MultipartUpload) -> bool:
        """Tell whether the object is there."""
        return bool(self.objects.get(upload.object_key))

    def erase(self, prefix: str) -> int:
        """Delete every version below ``prefix``."""
        doomed = [key for key in self.objects if key.startswith(prefix)]
        return sum(len(self.objects.pop(key)) for key in doomed)

    def erase_others(self, key: str, *, version_id: str) -> int:
        """Delete every version but one, and none where that one is not there."""
        versions = self.objects.get(key, [])
        kept = [stored for stored in versions if stored.version_id == version_id]
        if not kept:
            return 0
        self.objects[key] = kept
        return len(versions) - len(kept)

    def abort(self, upload: MultipartUpload) -> None:
        """Drop the parts of an upload."""
        self.uploads.pop(upload.upload_id, None)


@dataclass
class MemoryIssuer:
    """Remembers what was opened to whom."""

    clock: ManualClock
    issued: list[tuple[str, Tags]] = field(default_factory=list)

    def issue(self, name: str, tags: Tags) -> AccessGrant:
        """Remember."""
        self.issued.append((name, tags))
        return AccessGrant(
            access_key_id=f"key-{len(self.issued)}",
            secret_access_key="s",  # noqa: S106 - nobody's
            session_token="t",  # noqa: S106 - nobody's
            expires_at=self.clock.now() + timedelta(minutes=30),
        )


@dataclass
class MemoryAdmissionQueue:
    """Remembers who was woken."""

    ticks: list[str] = field(default_factory=list)

    def tick(self, client_id: str) -> None:
        """Remember."""
        self.ticks.append(client_id)


@dataclass
class MemoryOutcomeQueue:
    """Remembers what was told."""

    told: list[JobOutcome] = field(default_factory=list)

    def tell(self, outcome: JobOutcome) -> None:
        """Remember."""
        self.told.append(outcome)


@dataclass
class MemoryStopQueue:
    """Remembers which attempts should end."""

    asked: list[Job] = field(default_factory=list)

    def ask(self, job: Job) -> None:
        """Remember."""
        self.asked.append(job)


@dataclass
class MemoryEraseQueue:
    """Remembers which assets, and which jobs' results, should be erased."""

    asked: list[tuple[str, str]] = field(default_factory=list)
    asked_for_jobs: list[tuple[str, str]] = field(default_factory=list)

    def ask(self, client_id: str, asset_id: str) -> None:
        """Remember."""
        self.asked.append((client_id, asset_id))

    def ask_for_job(self, client_id: str, job_id: str) -> None:
        """Remember."""
        self.asked_for_jobs.append((client_id, job_id))


@dataclass
class MemoryWorkflow:
    """Executions by name."""

    executions: dict[str, str] = field(default_factory=dict)
    started: dict[str, Job] = field(default_factory=dict)

    def start(self, job: Job) -> None:
        """Start; once."""
        self.executions.setdefault(job.execution_name, "RUNNING")
        self.started.setdefault(job.execution_name, job)

    def status(self, job: Job) -> str | None:
        """Return the execution's status."""
        return self.executions.get(job.execution_name)


@dataclass
class MemoryIntakes:
    """Intakes by object key and number."""

    started: list[tuple[str, int]] = field(default_factory=list)

    def start(self, asset: Asset, again: int) -> None:
        """Start; once."""
        if (asset.object_key, again) not in self.started:
            self.started.append((asset.object_key, again))


@dataclass
class MemoryTaskTokens:
    """Remembers how each token was answered; the first answer counts, and nothing waits after it."""

    answers: dict[str, WorkResult | tuple[str, str]] = field(default_factory=dict)
    heartbeats: list[str] = field(default_factory=list)

    def succeed(self, token: str, result: WorkResult) -> bool:
        """Answer well."""
        return self._answer(token, result)

    def fail(self, token: str, error: str, cause: str) -> bool:
        """Answer badly."""
        return self._answer(token, (error, cause))

    def heartbeat(self, token: str) -> bool:
        """Remember."""
        self.heartbeats.append(token)
        return token not in self.answers

    def _answer(self, token: str, answer: WorkResult | tuple[str, str]) -> bool:
        waits = token not in self.answers
        self.answers.setdefault(token, answer)
        return waits


@dataclass
class MemoryBackend:
    """A lane that only takes orders, until it is told to refuse them."""

    orders: list[WorkOrder] = field(default_factory=list)
    inference_ids: list[str] = field(default_factory=list)
    refuses: bool = False

    def refuse(self, reason: str = "") -> None:
        """Take no further order."""
        del reason
        self.refuses = True

    def dispatch(self, order: WorkOrder, *, inference_id: str) -> Dispatched:
        """Take the order."""
        if self.refuses:
            msg = "the lane has no room"
            raise TransientError(msg)
        self.orders.append(order)
        self.inference_ids.append(inference_id)
        return Dispatched(f"s3://work/async/out/{inference_id}.out", f"s3://work/async/failed/{inference_id}.out")


@dataclass
class MemoryAnswers:
    """Documents by location."""

    documents: dict[str, bytes] = field(default_factory=dict)
    watched: set[str] = field(default_factory=set)

    def read(self, location: str) -> bytes | None:
        """Return the document, or None."""
        return self.documents.get(location)

    def is_watched(self, location: str) -> bool:
        """Return what was set."""
        return location in self.watched


class MemoryTokens:
    """Tokens that anybody could forge: good enough where nobody does."""

    def sign(self, claims: Mapping[str, object]) -> str:
        """Write the claims down."""
        return json.dumps(dict(claims))

    def verify(self, token: str, *, now: datetime) -> Mapping[str, object] | None:
        """Read the claims back, unless they have expired."""
        try:
            claims = json.loads(token)
        except ValueError:
            return None
        return claims if isinstance(claims, dict) and claims.get("exp", 0) > now.timestamp() else None


@dataclass
class MemoryWarmth:
    """The GPU is as warm as the test says."""

    warm: bool = True

    def is_warm(self) -> bool:
        """Return what was set."""
        return self.warm
