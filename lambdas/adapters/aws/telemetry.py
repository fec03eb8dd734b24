"""Metrics as lines in the log (CloudWatch embedded metric format): no call over the network, nothing that can fail."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from gpu_container.contract import WorkResult
from lambdas.core.costs import usd_per_audio_hour
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.metrics import NAMESPACE, Dimension, Metric
from lambdas.core.routing import Lane
from lambdas.core.telemetry import Patrol, is_our_fault

_ENDS = {
    JobStatus.SUCCEEDED: Metric.SUCCEEDED,
    JobStatus.FAILED: Metric.FAILED,
    JobStatus.CANCELLED: Metric.CANCELLED,
}
_UNITS = {
    Metric.QUEUE_WAIT: MetricUnit.Seconds,
    Metric.OLDEST_QUEUED: MetricUnit.Seconds,
    Metric.AUDIO: MetricUnit.Seconds,
    Metric.REAL_TIME_FACTOR: MetricUnit.NoUnit,
    Metric.USD_PER_AUDIO_HOUR: MetricUnit.NoUnit,
}
"""Everything else is a count."""


@dataclass(frozen=True)
class EmfTelemetry:
    """Prints one line for each set of dimensions.

    Attributes
    ----------
    usd_per_s
        What a second of work costs on each lane; None, or no entry, where nobody knows.
    """

    stage: str
    usd_per_s: Mapping[Lane, float | None] = field(default_factory=dict)

    def waited(self, wait_s: float) -> None:
        """Count an admission."""
        self._emit({Metric.QUEUE_WAIT: wait_s})

    def processed(self, result: WorkResult, lane: Lane) -> None:
        """Count sound, speed and cost; a file without a single frame has neither speed nor cost.

        Of a recording made in parts all its functions' time counts, as if one had done the work after another.
        """
        audio_s, work_s = result.facts.duration_s, result.seconds + result.parts_seconds
        values: dict[Metric, float] = {Metric.AUDIO: audio_s}
        usd_per_s = self.usd_per_s.get(lane)
        if audio_s > 0:
            values[Metric.REAL_TIME_FACTOR] = work_s / audio_s
            if usd_per_s is not None:
                values[Metric.USD_PER_AUDIO_HOUR] = usd_per_audio_hour(
                    usd_per_s=usd_per_s, work_s=work_s, audio_s=audio_s
                )
        self._emit(values, lane=lane)

    def ended(self, job: Job) -> None:
        """Count the end; a failure also by its code, and whether it was ours."""
        self._emit({_ENDS[job.status]: 1})
        if job.status is JobStatus.FAILED:
            self._emit({Metric.FAILED: 1}, code=job.error_code or "unknown")
            self._emit({Metric.FAILED_BY_US: int(is_our_fault(job))})

    def patrolled(self, patrol: Patrol) -> None:
        """Count what the sweep saw, each minute: a metric that stops says that nobody sweeps."""
        self._emit(
            {
                Metric.ACTIVE: patrol.active,
                Metric.OLDEST_QUEUED: patrol.oldest_queued_s,
                Metric.RECOVERED: patrol.recovered,
                Metric.LEAKED_SLOTS: patrol.leaked,
            }
        )

    def _emit(self, values: Mapping[Metric, float], *, lane: Lane | None = None, code: str | None = None) -> None:
        more = {Dimension.LANE: lane, Dimension.CODE: code}
        dimensions = {Dimension.STAGE: self.stage} | {name: value for name, value in more.items() if value is not None}
        # One object for each line: its state would otherwise outlive the invocation.
        emf = AmazonCloudWatchEMFProvider(
            namespace=NAMESPACE, dimension_set={name.value: str(value) for name, value in dimensions.items()}
        )
        emf.service = ""  # the environment's service name would be one more dimension
        for metric, value in values.items():
            emf.add_metric(metric.value, _UNITS.get(metric, MetricUnit.Count), value)
        emf.flush_metrics()
