"""The steps of ``Enhancement``, from claim to the end. Each may run twice and is fenced by the attempt."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from gpu_container.contract import (
    DEFAULT_TRUE_PEAK_DBTP,
    AudioFacts,
    Dereverb,
    ObjectRef,
    ReportLevel,
    WorkOrder,
    WorkResult,
)
from lambdas.core.assets import Asset, wet_key_of
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.jobs import MAX_ATTEMPTS, Job, JobStatus, dereverb_of, output_key_of
from lambdas.core.ports import (
    AdmissionQueue,
    AssetStore,
    Attempt,
    AttemptStore,
    AudioObjects,
    Clock,
    Dispatched,
    JobRepository,
)
from lambdas.core.routing import Lane, Work, affordable
from lambdas.core.services.enhancements import Artifact
from lambdas.core.services.failures import Failure
from lambdas.core.services.lanes import Lanes
from lambdas.core.services.outcomes import OutcomeService
from lambdas.core.telemetry import NoTelemetry, Telemetry

logger = logging.getLogger(__name__)

LOSSLESS = frozenset({"wav", "flac", "aiff"})
LOSSY_TOLERANCE_S = 0.05


class VerificationError(DomainError):
    """The worker's result is not what the probe's facts promise."""

    def __init__(self, message: str) -> None:
        super().__init__(DomainErrorCode.INTERNAL, message)


@dataclass(frozen=True)
class JobRef:
    """One attempt at one job, as executions and notices carry it."""

    client_id: str
    job_id: str
    attempt: int


@dataclass(frozen=True)
class ExecutionService:
    """Claim, verify, succeed, fail, notify."""

    assets: AssetStore
    jobs: JobRepository
    storage: AudioObjects
    queue: AdmissionQueue
    outcomes: OutcomeService
    clock: Clock
    telemetry: Telemetry = field(default_factory=NoTelemetry)

    def claim(self, ref: JobRef) -> bool:
        """Tell whether this attempt is still wanted."""
        return current_job(self.jobs, ref) is not None

    def verify(self, ref: JobRef, result: WorkResult) -> None:
        """Hold the worker's result against the probe's facts and a HEAD of the output.

        Raises
        ------
        VerificationError
            Where they differ.
        """
        job = current_job(self.jobs, ref)
        if job is None:
            return
        asset = self.assets.get(ref.client_id, job.asset_id)
        if asset is None:
            raise VerificationError("the asset is gone")
        stored = self.storage.head(result.output.key, result.output.version_id)
        fault = mismatch(asset, job, result, size_bytes=stored.size_bytes if stored else None)
        if fault:
            raise VerificationError(fault)

    def succeed(self, ref: JobRef, result: WorkResult) -> None:
        """End the job well and give its slot back, in one transaction."""
        job = current_job(self.jobs, ref)
        if job is not None:
            now, output = self.clock.now(), result.output
            self.jobs.release(
                job.succeeded(
                    key=output.key,
                    version_id=output.version_id,
                    size_bytes=result.size_bytes,
                    now=now,
                    artifacts=artifacts_of(result),
                )
            )
            self.telemetry.processed(result, job.lane or Lane.GPU)
            logger.info("succeeded", extra={"job_id": job.id, "attempt": job.attempt})
        self.queue.tick(ref.client_id)

    def fail(self, ref: JobRef, failure: Failure) -> JobStatus | None:
        """Queue the next attempt where that can help, else end the job; gives the slot back either way.

        Whatever an attempt fails of once its asset has been deleted, the job is cancelled: ``Erase`` may be later.
        """
        job = current_job(self.jobs, ref)
        if job is not None:
            now, asset = self.clock.now(), self.assets.get(ref.client_id, job.asset_id)
            is_wanted = asset is not None and not asset.is_deleted
            job = self.jobs.release(after_failure(job, failure, now=now) if is_wanted else job.cancelled(now))
            logger.warning(
                "attempt failed",
                extra={"job_id": job.id, "attempt": ref.attempt, "error_code": failure.code, "status": job.status},
            )
        self.queue.tick(ref.client_id)
        return job.status if job else None

    def notify(self, ref: JobRef) -> bool:
        """Tell how the job ended, whoever ended it; returns False where there is nothing to tell (any more)."""
        return self.outcomes.tell(ref.client_id, ref.job_id)


@dataclass(frozen=True)
class Processing:
    """What every enhancement of this deployment gets, and where its parts lie."""

    audio_bucket: str
    work_bucket: str
    dereverb: Dereverb = Dereverb.AUTO
    report: ReportLevel = ReportLevel.FULL


@dataclass(frozen=True)
class DispatchService:
    """Hands one attempt to a lane and keeps its task token."""

    assets: AssetStore
    jobs: JobRepository
    attempts: AttemptStore
    lanes: Lanes
    clock: Clock
    processing: Processing

    def dispatch(self, ref: JobRef, task_token: str) -> None:
        """Write the work order and start it.

        Called again for the same attempt it has a new token, and so a new inference: what comes of the earlier one
        answers a token that nobody waits for any more.
        """
        job = current_job(self.jobs, ref)
        asset = self.assets.get(ref.client_id, job.asset_id) if job else None
        if job is None or asset is None or asset.is_deleted:
            raise DomainError(DomainErrorCode.NOT_FOUND, "the job is no longer wanted")
        work = affordable(self._work(job, asset), self.lanes.speeds)
        lanes = self.lanes.choose(job, work)
        # Before the lane knows of it: the worker may mark it running at any moment after that.
        if job.status is JobStatus.ADMITTED:
            job = self.jobs.save(job.dispatched(self.clock.now(), lanes[0]))
        elif job.lane is not lanes[0]:
            job = self.jobs.save(job.on_lane(lanes[0], self.clock.now()))
        attempt = Attempt(inference_id_of(job, task_token), ref.client_id, job.id, job.attempt, task_token)
        self._remember(attempt, job)
        # A cancellation writes the row and then looks for the token; this writes the token and then looks at the row.
        # Whichever is first, one of the two sees the other, and no cancelled job waits for its timer.
        if current_job(self.jobs, ref) is None:
            raise DomainError(DomainErrorCode.NOT_FOUND, "the job has been cancelled")
        order = self._order(job, asset, task_token, has_report=work.report)
        answer = self._hand_over(order, work, job, lanes, attempt.inference_id)
        located = replace(attempt, output_location=answer.output_location, failure_location=answer.failure_location)
        self._remember(located, job)

    def _hand_over(
        self, order: WorkOrder, work: Work, job: Job, lanes: Sequence[Lane], inference_id: str
    ) -> Dispatched:
        """Give the order to the first lane that takes it."""
        lane, *others = lanes
        cut = order.model_copy(update={"parts": self.lanes.parts(lane, work)})
        try:
            return self.lanes.backends[lane].dispatch(cut, inference_id=inference_id)
        except DomainError as error:
            if not others or not error.retryable:  # what an operator has to put right must be seen
                raise
            logger.exception("a lane refuses, the next one is asked", extra={"job_id": job.id, "lane": lane})
        moved = self.jobs.save(job.on_lane(others[0], self.clock.now()))
        return self._hand_over(order, work, moved, others, inference_id)

    def _work(self, job: Job, asset: Asset) -> Work:
        facts, processing = asset.facts, self.processing
        return Work(
            model=job.model,
            channels=facts.channels if facts else 1,
            duration_s=facts.duration_s if facts else 0.0,
            dereverb=dereverb_of(job, processing.dereverb) is not Dereverb.OFF,
            report=(job.options.report or processing.report) is not ReportLevel.NONE,
        )

    def _remember(self, attempt: Attempt, job: Job) -> None:
        """Store under the inference's id, for its notice, and under the attempt's name, for the sweeper."""
        self.attempts.put(attempt)
        self.attempts.put(replace(attempt, inference_id=job.execution_name))

    def _order(self, job: Job, asset: Asset, task_token: str, *, has_report: bool) -> WorkOrder:
        audio, work = self.processing.audio_bucket, self.processing.work_bucket
        options = job.options
        dereverb = dereverb_of(job, self.processing.dereverb)
        peak_dbtp = options.true_peak_dbtp
        return WorkOrder(
            job_id=job.id,
            attempt=job.attempt,
            input=ObjectRef(bucket=audio, key=asset.object_key, version_id=asset.version_id),
            output=ObjectRef(bucket=audio, key=output_key_of(job)),
            content_type=asset.content_type,
            strength=job.strength,
            model=job.model,
            dereverb=dereverb,
            output_format=options.output_format,
            loudness_lufs=options.loudness_lufs,
            true_peak_dbtp=DEFAULT_TRUE_PEAK_DBTP if peak_dbtp is None else peak_dbtp,
            report=(options.report or self.processing.report) if has_report else ReportLevel.NONE,
            wet=ObjectRef(bucket=work, key=wet_key_of(asset, job.model, dereverb)),
            task_token=task_token,
            progress=self.jobs.progress_key(job),
        )


def artifacts_of(result: WorkResult) -> dict[str, str]:
    """Return the keys of what lies beside a result, by name; nothing but what does lie beside it."""
    refs = ((name.value, getattr(result, name.value)) for name in Artifact)
    return {name: ref.key for name, ref in refs if ref is not None and ref.key.startswith(result.output.key)}


def inference_id_of(job: Job, task_token: str) -> str:
    """Return the name of one dispatch of one attempt; SageMaker takes 64 characters."""
    return f"{job.execution_name}-{hashlib.sha256(task_token.encode()).hexdigest()[:8]}"


def current_job(jobs: JobRepository, ref: JobRef) -> Job | None:
    """Return the job if this attempt still holds its slot, else None: late and repeated steps change nothing."""
    job = jobs.get(ref.client_id, ref.job_id)
    if job is None or job.attempt != ref.attempt or job.is_terminal or job.status is JobStatus.QUEUED:
        return None
    return job


def after_failure(job: Job, failure: Failure, *, now: datetime) -> Job:
    """Return the job after a failed attempt: queued again while attempts are left and it can help, else failed."""
    if failure.retryable and job.attempt < MAX_ATTEMPTS:
        return job.requeued(now, elsewhere=failure.elsewhere)
    return job.failed(error_code=failure.code, error_message=failure.message, now=now)


def mismatch(asset: Asset, job: Job, result: WorkResult, *, size_bytes: int | None) -> str | None:
    """Return what is wrong with a result, or None."""
    if (result.job_id, result.attempt) != (job.id, job.attempt):
        return "the result belongs to another attempt"
    if result.output.key != output_key_of(job):
        return "the result names another object"
    if size_bytes is None:
        return "the output is missing"
    if size_bytes != result.size_bytes or size_bytes == 0:
        return "the output's size differs from the worker's count"
    if result.nan_count:
        return "the output holds samples that are not numbers"
    return _facts_mismatch(asset, job, result)


def _facts_mismatch(asset: Asset, job: Job, result: WorkResult) -> str | None:
    before, after = asset.facts, result.facts
    if before is None:
        return None
    if job.options.output_format is not None:
        # Another format may take another rate, never another length.
        return _length_mismatch(before, after)
    if before.channels != after.channels:
        return "the output's channels differ from the input's"
    # Sound whose codec cannot be written is written in another, which may not take its rate: Vorbis in WebM is Opus
    # at 48 kHz afterwards.
    if before.codec == after.codec and before.rate_hz != after.rate_hz:
        return "the output's rate differs from the input's"
    if before.container in LOSSLESS and before.frames != after.frames:
        return "the output's length differs from the input's"
    return _length_mismatch(before, after)


def _length_mismatch(before: AudioFacts, after: AudioFacts) -> str | None:
    if abs(before.duration_s - after.duration_s) > LOSSY_TOLERANCE_S:
        return "the output's duration differs from the input's"
    return None
