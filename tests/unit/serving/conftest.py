"""A worker on moto's AWS with an engine made of a few lines."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from gpu_container.contract import (
    AudioFacts,
    EnhancementReport,
    ErrorCode,
    ObjectRef,
    PartOrder,
    ProgressKey,
    ReportLevel,
    ReportWarning,
    WarningCode,
    WaveformPeaks,
    WorkOrder,
)
from gpu_container.engine.byte_io import ByteSink, ByteSource
from gpu_container.engine.errors import EngineError
from gpu_container.engine.pipeline import Enhanced, Pictures
from gpu_container.engine.wet import WetParts, WetStore
from gpu_container.serving.clients import Clients, make_clients
from gpu_container.serving.models import ModelShelf
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.worker import Worker

BUCKET, TABLE = "audio", "jobs"
KEY = {"pk": "C#client", "sk": "J#job"}
TOKEN = "task-token-nobody-may-see"
FACTS = AudioFacts(container="wav", codec="pcm_s16le", rate_hz=48_000, channels=1, frames=96_000, duration_s=2.0)


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "as told"}}, "Operation")


def until(condition: Callable[[], bool], *, limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


@dataclass
class FakeStepFunctions:
    """Notes heartbeats; refuses them once ``refusal`` is set."""

    tokens: list[str] = field(default_factory=list)
    refusal: str | None = None

    def send_task_heartbeat(self, *, taskToken: str) -> None:  # noqa: N803 - boto3's own spelling
        self.tokens.append(taskToken)
        if self.refusal:
            raise client_error(self.refusal)


@dataclass
class FakeEngine:
    """Writes ``enhanced:`` and the input, keeps a wet track; ``during`` runs in the middle and may raise."""

    during: Callable[["Call"], None] | None = None
    calls: int = 0
    computed: int = 0
    version: str = "1"

    def enhance(
        self,
        order: WorkOrder,
        source: ByteSource,
        sink: ByteSink,
        *,
        model: Any,
        wet: WetStore | WetParts | None,
        **hooks: Any,
    ) -> Enhanced:
        self.calls += 1
        speech = source.read_at(0, source.size_bytes)
        sink.write_at(0, b"enhanced:" + speech)
        if self.during:
            self.during(Call(**hooks))
        if isinstance(wet, WetParts):
            reused = all(self._is_kept(store) for _, store in wet.stores)
            if not reused:
                raise EngineError(ErrorCode.ENGINE_FAILED, "a part is missing")
        else:
            reused = bool(wet) and self._take_or_keep(wet, speech)
        self.computed += not reused
        report = EnhancementReport(
            model=order.model,
            strength=order.strength,
            input=FACTS,
            output=FACTS,
            network_inferences=0 if reused else 2,
            real_time_factor=0.02,
            warnings=(ReportWarning(code=WarningCode.SILENT, message="quiet"),),
        )
        peaks = WaveformPeaks(sample_rate=48_000, samples_per_pixel=512, length=1, data=(-1, 1))
        is_full = order.report is ReportLevel.FULL
        return Enhanced(report, Pictures(b"spectrogram", b"waveform", peaks) if is_full else None)

    def enhance_part(self, order: PartOrder, source: ByteSource, *, model: Any, wet: WetStore, **hooks: Any) -> int:
        if self._is_kept(wet):
            return 0
        self.calls += 1
        if self.during:
            self.during(Call(**hooks))
        with wet.keep() as sink:
            sink.write_at(0, f"part {order.part.number}: ".encode() + source.read_at(0, source.size_bytes))
        return 1

    def wet_version(self, model: str) -> str:
        return f"{self.version}:{model}"

    @staticmethod
    def _is_kept(wet: WetStore) -> bool:
        with wet.kept() as kept:
            return kept is not None

    @staticmethod
    def _take_or_keep(wet: WetStore, speech: bytes) -> bool:
        with wet.kept() as kept:
            if kept:
                assert kept.read_at(0, 100) == b"wet:" + speech
                return True
        with wet.keep() as sink:
            sink.write_at(0, b"wet:" + speech)
        return False


@dataclass(frozen=True)
class Call:
    """The engine's hooks during one call."""

    on_progress: Callable[[float, float], None]
    is_cancelled: Callable[[], bool]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield


@pytest.fixture
def row(aws: None) -> Any:
    """Return the table; it holds the job's row, dispatched as attempt 2."""
    table = boto3.resource("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    table.put_item(Item={**KEY, "status": "dispatched", "attempt": 2, "progress": 0, "version": 7})
    return table


@pytest.fixture
def order(row: Any) -> WorkOrder:
    stored = boto3.client("s3").put_object(Bucket=BUCKET, Key="in", Body=b"speech")
    return WorkOrder(
        job_id="job",
        attempt=2,
        input=ObjectRef(bucket=BUCKET, key="in", version_id=stored["VersionId"]),
        output=ObjectRef(bucket=BUCKET, key="out"),
        content_type="audio/wav",
        strength=80,
        model="dfn3",
        task_token=TOKEN,
        progress=ProgressKey(table=TABLE, **KEY),
    )


def to(order: WorkOrder, key: str) -> WorkOrder:
    """Return the order with a result of its own: none is ever replaced."""
    return order.model_copy(update={"output": ObjectRef(bucket=BUCKET, key=key)})


@pytest.fixture
def settings(tmp_path: Path) -> ServingSettings:
    return ServingSettings(work_dir=tmp_path, heartbeat_s=0.02, max_concurrent=1)


@pytest.fixture
def steps() -> FakeStepFunctions:
    return FakeStepFunctions()


@pytest.fixture
def clients(aws: None, settings: ServingSettings, steps: FakeStepFunctions) -> Clients:
    return replace(make_clients(settings), stepfunctions=steps)  # type: ignore[arg-type]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def worker(settings: ServingSettings, clients: Clients, engine: FakeEngine) -> Worker:
    return Worker(settings, clients, ModelShelf(lambda name: name), engine, threading.Event())  # type: ignore[arg-type,return-value]
