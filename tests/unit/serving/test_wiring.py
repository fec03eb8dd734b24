"""The worker as it is deployed, network and all: orders side by side."""

import io
from concurrent.futures import ThreadPoolExecutor

import boto3
import numpy as np
import pytest
import soundfile as sf

from gpu_container.contract import ObjectRef, WorkOrder, WorkResult
from gpu_container.engine.deepfilternet import OnnxNetwork
from gpu_container.engine.stft import Real
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
