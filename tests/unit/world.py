"""A whole product out of memory fakes: what the unit tests of the core play with."""

from dataclasses import dataclass, field

from gpu_container.contract import AudioFacts, Dereverb, ObjectRef, ProbeResult, WorkResult
from lambdas.adapters.memory.sources import MemoryFetchQueue
from lambdas.adapters.memory.stores import (
    MemoryAssetStore,
    MemoryAttemptStore,
    MemoryBatchStore,
    MemoryClientRegistry,
    MemoryJobRepository,
    MemoryLaneLog,
)
from lambdas.adapters.memory.webhooks import (
    MemoryDeliveryQueue,
    MemoryDeliveryStore,
    MemorySecretSealer,
)
from lambdas.adapters.memory.world import (
    ManualClock,
    MemoryAdmissionQueue,
    MemoryAnswers,
    MemoryAudioStorage,
    MemoryBackend,
    MemoryEraseQueue,
    MemoryIntakes,
    MemoryIssuer,
    MemoryOutcomeQueue,
    MemoryStopQueue,
    MemoryTaskTokens,
    MemoryTokens,
    MemoryWarmth,
    MemoryWorkflow,
    SequentialIds,
)
from lambdas.core.assets import Asset
from lambdas.core.clients import Client
from lambdas.core.egress import EgressPolicy
from lambdas.core.jobs import Job, output_key_of
from lambdas.core.retention import Retention
from lambdas.core.routing import Lane, LaneSpeed
from lambdas.core.services.access import AccessService
from lambdas.core.services.admission import AdmissionService
from lambdas.core.services.assets import AssetService, CreateAsset
from lambdas.core.services.authentication import Authenticator, TokenService
from lambdas.core.services.batches import BatchService
from lambdas.core.services.cancelling import CancelService
from lambdas.core.services.clients import ClientAdministration
from lambdas.core.services.completion import CompletionService
from lambdas.core.services.deletion import DeletionService, EnhancementDeletion, EraseService
from lambdas.core.services.enhancements import DownloadService, EnhancementService, Wish
from lambdas.core.services.execution import DispatchService, ExecutionService, JobRef, Processing
from lambdas.core.services.housekeeping import HousekeepingService
from lambdas.core.services.intake import IntakeService
from lambdas.core.services.jobs import JobAdministration
from lambdas.core.services.lanes import Lanes
from lambdas.core.services.listing import JobListing
from lambdas.core.services.outcomes import OutcomeService
from lambdas.core.services.sources import SourceService
from lambdas.core.services.submission import SubmissionService
from lambdas.core.services.sweeping import SweepService
from lambdas.core.services.uploads import UploadService
from lambdas.core.services.waiting import WaitingJobs
from lambdas.core.services.webhooks import WebhookService

FACTS = AudioFacts(container="wav", codec="pcm_s16le", rate_hz=48_000, channels=1, frames=480_000, duration_s=10.0)

SPEEDS = {
    Lane.GPU: LaneSpeed({"dfn3": 0.01}, {"dfn3": 0.01}, dereverb=0, report=0, codecs=0, limit_s=2400),
    Lane.CPU: LaneSpeed({"dfn3": 0.1}, {"dfn3": 0.2}, dereverb=0, report=0, codecs=0, limit_s=600),
}


def an_upload(client_id: str, *, filename: str = "talk.wav") -> CreateAsset:
    return CreateAsset(client_id, filename, 960_044, "audio/wav")


def ref_of(job: Job) -> JobRef:
    return JobRef(job.client_id, job.id, job.attempt)


@dataclass
class World:
    clock: ManualClock = field(default_factory=ManualClock)
    ids: SequentialIds = field(default_factory=SequentialIds)
    clients: MemoryClientRegistry = field(default_factory=MemoryClientRegistry)
    asset_store: MemoryAssetStore = field(default_factory=MemoryAssetStore)
    attempts: MemoryAttemptStore = field(default_factory=MemoryAttemptStore)
    lane_log: MemoryLaneLog = field(default_factory=MemoryLaneLog)
    storage: MemoryAudioStorage = field(default_factory=MemoryAudioStorage)
    queue: MemoryAdmissionQueue = field(default_factory=MemoryAdmissionQueue)
    workflow: MemoryWorkflow = field(default_factory=MemoryWorkflow)
    tasks: MemoryTaskTokens = field(default_factory=MemoryTaskTokens)
    backend: MemoryBackend = field(default_factory=MemoryBackend)
    cpu: MemoryBackend = field(default_factory=MemoryBackend)
    fan_out: MemoryBackend = field(default_factory=MemoryBackend)
    warmth: MemoryWarmth = field(default_factory=MemoryWarmth)
    speeds: dict[Lane, LaneSpeed] = field(default_factory=lambda: dict(SPEEDS))
    answers: MemoryAnswers = field(default_factory=MemoryAnswers)
    work: MemoryAudioStorage = field(default_factory=lambda: MemoryAudioStorage(bucket="work"))
    outcome_queue: MemoryOutcomeQueue = field(default_factory=MemoryOutcomeQueue)
    stops: MemoryStopQueue = field(default_factory=MemoryStopQueue)
    erase_queue: MemoryEraseQueue = field(default_factory=MemoryEraseQueue)
    intakes: MemoryIntakes = field(default_factory=MemoryIntakes)
    max_active_total: int = 100

    def __post_init__(self) -> None:
        self.jobs = MemoryJobRepository(self.clients, self.asset_store)
        self.outcomes = OutcomeService(self.jobs, self.outcome_queue, self.clock)
        self.assets = AssetService(self.asset_store, self.storage, self.clock, self.ids)
        self.uploads = UploadService(self.asset_store, self.storage, self.clock, self.ids)
        self.enhancements = EnhancementService(
            self.asset_store,
            self.jobs,
            self.queue,
            self.clock,
            self.ids,
            Retention(days=30),
            self.jobs.tombstones,
        )
        self.downloads = DownloadService(self.enhancements, self.storage)
        self.waiting = WaitingJobs(self.asset_store, self.jobs, self.queue, self.outcomes, self.clock)
        self.intake = IntakeService(self.asset_store, self.storage, self.waiting, self.erase_queue, self.clock)
        self.webhooks = WebhookService(
            self.jobs.webhooks,
            MemoryDeliveryStore(),
            MemoryDeliveryQueue(),
            MemorySecretSealer(),
            EgressPolicy(),
            self.clock,
            self.ids,
        )
        self.sources = SourceService(self.asset_store, MemoryFetchQueue(), EgressPolicy(), self.clock, self.ids)
        self.submissions = SubmissionService(
            self.assets, self.uploads, self.sources, self.enhancements, self.webhooks, self.ids
        )
        self.batches = BatchService(self.submissions, self.jobs, MemoryBatchStore(), self.clock, self.ids)
        self.listing = JobListing(self.jobs, self.asset_store, self.clock)
        self.admission = AdmissionService(
            self.jobs, self.clients, self.workflow, self.queue, self.clock, self.max_active_total
        )
        self.execution = ExecutionService(
            self.asset_store, self.jobs, self.storage, self.queue, self.outcomes, self.clock
        )
        backends = {Lane.GPU: self.backend, Lane.CPU: self.cpu, Lane.CPU_FAN_OUT: self.fan_out}
        self.lanes = Lanes(backends, self.speeds, self.warmth)
        self.dispatch = DispatchService(
            self.asset_store,
            self.jobs,
            self.attempts,
            self.lanes,
            self.clock,
            Processing(self.storage.bucket, "work"),
        )
        self.issuer = MemoryIssuer(self.clock)
        self.access = AccessService(self.asset_store, self.jobs, self.attempts, self.issuer, Dereverb.AUTO)
        self.completion = CompletionService(self.jobs, self.attempts, self.answers, self.tasks)
        self.sweep = SweepService(
            self.jobs,
            self.attempts,
            self.workflow,
            self.tasks,
            self.completion,
            self.queue,
            self.outcomes,
            self.lane_log,
            self.clock,
        )
        self.deletion = DeletionService(self.asset_store, self.erase_queue, self.clock)
        self.housekeeping = HousekeepingService(
            self.clients,
            self.asset_store,
            self.jobs,
            self.jobs.tombstones,
            self.queue,
            self.erase_queue,
            self.outcomes,
            self.waiting,
            self.deletion,
            self.intakes,
            self.clock,
        )
        self.cancelling = CancelService(self.jobs, self.stops, self.queue, self.outcomes, self.clock)
        self.erasing = EraseService(
            self.asset_store,
            self.jobs,
            self.jobs.tombstones,
            self.storage,
            self.work,
            self.cancelling,
            self.outcomes,
            self.clock,
        )
        self.enhancement_deletion = EnhancementDeletion(self.jobs, self.outcomes, self.erase_queue, self.clock)
        self.operator = JobAdministration(self.clients, self.jobs, self.cancelling)
        self.administration = ClientAdministration(self.clients, self.clock, self.ids)
        self.tokens = TokenService(self.clients, MemoryTokens(), self.clock, ttl_s=86_399)
        self.authenticator = Authenticator(self.clients, MemoryTokens(), self.clock)

    def client(self, name: str = "acme", *, max_active: int = 5, max_queued: int = 1000) -> tuple[Client, str]:
        return self.administration.create(name, max_active=max_active, max_queued=max_queued)

    def waiting_asset(self, client_id: str, *, filename: str = "talk.wav") -> Asset:
        return self.assets.create(an_upload(client_id, filename=filename)).asset

    def waiting_job(self, client_id: str, wish: Wish = Wish(strength=50)) -> Job:  # noqa: B008 - frozen
        return self.submissions.submit(client_id, an_upload(client_id), wish).job

    def ready_asset(self, client_id: str, *, filename: str = "talk.wav", facts: AudioFacts = FACTS) -> Asset:
        asset = self.waiting_asset(client_id, filename=filename)
        self.storage.put(asset.object_key, size_bytes=asset.size_bytes)
        located = self.intake.locate(asset.object_key)
        assert located is not None
        ready = self.intake.mark_ready(located, ProbeResult(facts=facts))
        assert ready is not None
        return ready

    def queued_job(self, client_id: str, *, strength: float = 93, asset: Asset | None = None) -> Job:
        asset = asset or self.ready_asset(client_id)
        return self.enhancements.request(client_id, asset.id, Wish(strength=strength, is_unique=True))

    def job(self, job: Job) -> Job:
        found = self.jobs.get(job.client_id, job.id)
        assert found is not None
        return found

    def result_for(self, job: Job, **changes: object) -> WorkResult:
        return self.result_at(job.id, job.attempt, output_key_of(job), job.model).model_copy(update=changes)

    def result_at(self, job_id: str, attempt: int, key: str, model: str) -> WorkResult:
        stored = self.storage.put(key, size_bytes=1000)
        return WorkResult(
            job_id=job_id,
            attempt=attempt,
            output=ObjectRef(bucket="audio", key=key, version_id=stored.version_id),
            size_bytes=1000,
            sha256="0" * 64,
            facts=FACTS,
            nan_count=0,
            silent=False,
            model=model,
            seconds=0.1,
            real_time_factor=0.01,
        )
