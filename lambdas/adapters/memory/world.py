"""The rest of the world for unit tests: storage, queue, workflow, tasks, tokens and time that stand still."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gpu_container.contract import AccessGrant, WorkOrder, WorkResult
from lambdas.core.access import Tags
from lambdas.core.assets import Asset
from lambdas.core.errors import TransientError
from lambdas.core.jobs import Job
from lambdas.core.ports import Dispatched, JobOutcome, StoredObject


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
    urls: int = 0

    def put(self, key: str, *, size_bytes: int, content_type: str = "audio/wav") -> StoredObject:
        """Store an object as a client or a worker would."""
        versions = self.objects.setdefault(key, [])
        versions.append(StoredObject(size_bytes, content_type, f"v{len(versions) + 1}"))
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

    def erase(self, prefix: str) -> int:
        """Delete every version below ``prefix``."""
        doomed = [key for key in self.objects if key.startswith(prefix)]
        return sum(len(self.objects.pop(key)) for key in doomed)


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
    """Remembers which assets should be erased."""

    asked: list[tuple[str, str]] = field(default_factory=list)

    def ask(self, client_id: str, asset_id: str) -> None:
        """Remember."""
        self.asked.append((client_id, asset_id))


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

    def read(self, location: str) -> bytes | None:
        """Return the document, or None."""
        return self.documents.get(location)


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
