"""The worker as it is deployed, network and all: orders side by side."""

import copy
import io
import logging
from concurrent.futures import ThreadPoolExecutor

import boto3
import numpy as np
import pytest
import soundfile as sf

from gpu_container.contract import ErrorCode, ObjectRef, WorkOrder, WorkResult
from gpu_container.engine.deepfilternet import CPU, CUDA, DeepFilterNet, OnnxNetwork
from gpu_container.engine.errors import EngineError
from gpu_container.engine.fusion import Fusion, Share
from gpu_container.engine.models import load_model
from gpu_container.engine.stft import Real
from gpu_container.serving import wiring
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.wiring import make_worker
from tests.engine.signals import error_db, noisy_voice

from .conftest import BUCKET, to

ORDERS = 6


def _order(number: int) -> WorkOrder:
    """Store a recording of its own length and voice, and order its enhancement."""
    voice = noisy_voice(seconds=2 + 0.3 * number, rate_hz=48_000, seed=number, pitch_hz=100 + 20 * number)
    file = io.BytesIO()
    sf.write(file, voice.T, 48_000, format="WAV", subtype="FLOAT")
    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"in-{number}", Body=file.getvalue())
    return WorkOrder(
        job_id=f"job-{number}",
        attempt=1,
        input=ObjectRef(bucket=BUCKET, key=f"in-{number}"),
        output=ObjectRef(bucket=BUCKET, key=f"out-{number}"),
        content_type="audio/wav",
        strength=100,
        model="dfn3",
    )


def _sound(result: object) -> Real:
    assert isinstance(result, WorkResult)
    body = boto3.client("s3").get_object(Bucket=BUCKET, Key=result.output.key)["Body"].read()
    samples, _ = sf.read(io.BytesIO(body), dtype="float32", always_2d=True)
    return np.ascontiguousarray(samples.T)


def test_orders_side_by_side_share_the_network_and_sound_as_one_by_one(
    aws: None, settings: ServingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    masks = OnnxNetwork.masks

    def counted(self: OnnxNetwork, feat_erb: Real, feat_spec: Real, state: dict[str, Real]) -> object:
        rows.append(len(feat_erb))
        return masks(self, feat_erb, feat_spec, state)

    monkeypatch.setattr(OnnxNetwork, "masks", counted)
    # One slot: whoever comes while it is taken waits, and is taken along.
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    worker = make_worker(settings)
    orders = [_order(number) for number in range(ORDERS)]
    again = [to(order, f"again-{number}") for number, order in enumerate(orders)]

    alone = [_sound(worker.run(order)) for order in orders]
    calls_alone, rows_alone = len(rows), sum(rows)
    with ThreadPoolExecutor(ORDERS) as pool:
        together = [_sound(result) for result in pool.map(worker.run, again)]

    assert [signal.shape for signal in together] == [signal.shape for signal in alone]
    assert max(error_db(ours, theirs) for ours, theirs in zip(together, alone, strict=True)) < -100
    assert sum(rows) == 2 * rows_alone
    assert len(rows) - calls_alone < calls_alone


def _on_cuda(model: DeepFilterNet) -> DeepFilterNet:
    """Return the model as it says that it is where a GPU computes; here the CPU still does."""
    other = copy.copy(model)
    other.providers = (CUDA, CPU)
    return other


@pytest.fixture
def gpu_settings(settings: ServingSettings) -> ServingSettings:
    return settings.model_copy(update={"needs_gpu": True})


@pytest.fixture
def dfn3() -> DeepFilterNet:
    model = load_model("dfn3", providers=[CPU])
    assert isinstance(model, DeepFilterNet)
    return model


def test_a_container_that_needs_a_gpu_takes_no_model_that_the_cpu_would_run(
    aws: None, gpu_settings: ServingSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """ONNX Runtime falls back without an error: here there is no GPU at all, on an instance an old driver."""
    caplog.set_level(logging.INFO)

    with pytest.raises(EngineError, match=CPU) as caught:
        make_worker(gpu_settings).models.get("dfn3")

    assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE
    assert [vars(line)["provider"] for line in caplog.records if line.message == "provider chosen"] == [CPU]


def test_a_container_that_needs_a_gpu_runs_its_model_once_before_it_is_ready(
    aws: None, gpu_settings: ServingSettings, dfn3: DeepFilterNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver may load and have no kernels for the GPU."""

    def masks(*_: object) -> None:
        raise RuntimeError("no kernel image is available for execution on the device")

    monkeypatch.setattr(wiring, "load_model", lambda _: _on_cuda(dfn3))
    assert make_worker(gpu_settings).models.get("dfn3").provider == CUDA

    monkeypatch.setattr(OnnxNetwork, "masks", masks)
    with pytest.raises(RuntimeError, match="no kernel image"):
        make_worker(gpu_settings).models.get("dfn3")


def test_an_ensemble_is_on_the_gpu_only_where_all_of_it_is(dfn3: DeepFilterNet) -> None:
    half = Share(low=0.5, high=0.5)
    both = Fusion([(_on_cuda(dfn3), half), (_on_cuda(dfn3), half)], name="both")
    one = Fusion([(_on_cuda(dfn3), half), (dfn3, half)], name="one")

    assert (both.provider, one.provider) == (CUDA, CPU)
