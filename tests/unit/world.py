"""A whole product out of memory fakes: what the unit tests of the core play with."""

from dataclasses import dataclass, field

from gpu_container.contract import AudioFacts, ObjectRef, ProbeResult, WorkResult
from lambdas.adapters.memory.stores import (
    MemoryAssetStore,
    MemoryAttemptStore,
    MemoryClientRegistry,
    MemoryJobRepository,
)
from lambdas.adapters.memory.world import (
    ManualClock,
    MemoryAdmissionQueue,
    MemoryAnswers,
    MemoryAudioStorage,
    MemoryBackend,
    MemoryTaskTokens,
    MemoryTokens,
    MemoryWorkflow,
    SequentialIds,
)
from lambdas.core.assets import Asset, AutoEnhance
from lambdas.core.clients import Client
from lambdas.core.jobs import Job, output_key_of
from lambdas.core.services.admission import AdmissionService
from lambdas.core.services.assets import AssetService, CreateAsset
from lambdas.core.services.authentication import Authenticator, TokenService
from lambdas.core.services.clients import ClientAdministration
from lambdas.core.services.completion import CompletionService
from lambdas.core.services.enhancements import DownloadService, EnhancementService
from lambdas.core.services.execution import DispatchService, ExecutionService, JobRef, Processing
from lambdas.core.services.intake import IntakeService
from lambdas.core.services.sweeping import SweepService

FACTS = AudioFacts(container="wav", codec="pcm_s16le", rate_hz=48_000, channels=1, frames=480_000, duration_s=10.0)


def ref_of(job: Job) -> JobRef:
    return JobRef(job.client_id, job.id, job.attempt)


@dataclass
class World:
    clock: ManualClock = field(default_factory=ManualClock)
    ids: SequentialIds = field(default_factory=SequentialIds)
    clients: MemoryClientRegistry = field(default_factory=MemoryClientRegistry)
    asset_store: MemoryAssetStore = field(default_factory=MemoryAssetStore)
    attempts: MemoryAttemptStore = field(default_factory=MemoryAttemptStore)
    storage: MemoryAudioStorage = field(default_factory=MemoryAudioStorage)
    queue: MemoryAdmissionQueue = field(default_factory=MemoryAdmissionQueue)
    workflow: MemoryWorkflow = field(default_factory=MemoryWorkflow)
    tasks: MemoryTaskTokens = field(default_factory=MemoryTaskTokens)
    backend: MemoryBackend = field(default_factory=MemoryBackend)
    answers: MemoryAnswers = field(default_factory=MemoryAnswers)

    def __post_init__(self) -> None:
        self.jobs = MemoryJobRepository(self.clients)
        self.assets = AssetService(self.asset_store, self.storage, self.clock, self.ids)
        self.enhancements = EnhancementService(self.asset_store, self.jobs, self.queue, self.clock, self.ids)
        self.downloads = DownloadService(self.asset_store, self.enhancements, self.storage)
        self.intake = IntakeService(self.asset_store, self.storage, self.enhancements, self.clock)
        self.admission = AdmissionService(self.jobs, self.workflow, self.clock)
        self.execution = ExecutionService(self.asset_store, self.jobs, self.storage, self.queue, self.clock)
        self.dispatch = DispatchService(
            self.asset_store,
            self.jobs,
            self.attempts,
            self.backend,
            self.clock,
            Processing(self.storage.bucket, "work"),
        )
        self.completion = CompletionService(self.attempts, self.answers, self.tasks)
        self.sweep = SweepService(self.jobs, self.attempts, self.workflow, self.tasks, self.queue, self.clock)
        self.administration = ClientAdministration(self.clients, self.clock, self.ids)
        self.tokens = TokenService(self.clients, MemoryTokens(), self.clock, ttl_s=86_399)
        self.authenticator = Authenticator(self.clients, MemoryTokens(), self.clock)

    def client(self, name: str = "acme", *, max_active: int = 5) -> tuple[Client, str]:
        return self.administration.create(name, max_active=max_active)

    def waiting_asset(self, client_id: str, *, auto: AutoEnhance | None = None, filename: str = "talk.wav") -> Asset:
        command = CreateAsset(client_id, filename, 960_044, "audio/wav", None, auto)
        return self.assets.create(command).asset

    def ready_asset(self, client_id: str, *, filename: str = "talk.wav") -> Asset:
        asset = self.waiting_asset(client_id, filename=filename)
        self.storage.put(asset.object_key, size_bytes=asset.size_bytes)
        located = self.intake.locate(asset.object_key)
        assert located is not None
        ready = self.intake.mark_ready(located, ProbeResult(facts=FACTS))
        assert ready is not None
        return ready

    def queued_job(self, client_id: str, *, strength: float = 93, asset: Asset | None = None) -> Job:
        asset = asset or self.ready_asset(client_id)
        return self.enhancements.request(client_id, asset.id, strength=strength, model="dfn3")

    def job(self, job: Job) -> Job:
        found = self.jobs.get(job.client_id, job.id)
        assert found is not None
        return found

    def result_for(self, job: Job, **changes: object) -> WorkResult:
        key = output_key_of(job)
        stored = self.storage.put(key, size_bytes=1000)
        result = WorkResult(
            job_id=job.id,
            attempt=job.attempt,
            output=ObjectRef(bucket="audio", key=key, version_id=stored.version_id),
            size_bytes=1000,
            sha256="0" * 64,
            facts=FACTS,
            nan_count=0,
            silent=False,
            model=job.model,
            seconds=0.1,
            real_time_factor=0.01,
        )
        return result.model_copy(update=changes)
