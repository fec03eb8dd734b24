"""The ensemble: the mean of its members, sample by sample, however the recording is cut."""

import numpy as np
import pytest

from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.ensemble import Enhancer, Ensemble
from gpu_container.engine.models import load_model
from gpu_container.engine.stft import Real


@pytest.fixture(scope="module")
def hq() -> Enhancer:
    return load_model("dfn3-hq", providers=["CPUExecutionProvider"])


def test_it_is_the_mean_of_its_members(
    hq: Enhancer, model: DeepFilterNet, low_latency_model: DeepFilterNet, voice: Real
) -> None:
    mean = (model.enhance(voice) + low_latency_model.enhance(voice)) / 2
    assert np.abs(hq.enhance(voice) - mean).max() < 1e-6


@pytest.mark.parametrize("size", [1, 479, 48_000, 100_000])
def test_pieces_of_any_size_come_out_aligned_and_whole(hq: Enhancer, voice: Real, size: int) -> None:
    signal = voice[:, : max(size * 3, 5_000) if size > 1 else 7]
    stream = hq.stream(1)
    parts = [stream.process(signal[:, start : start + size]) for start in range(0, signal.shape[1], size)]
    together = np.concatenate([*parts, stream.finish()], axis=1)
    assert together.shape == signal.shape
    assert np.abs(together - hq.enhance(signal)).max() < 1e-6


def test_one_member_alone_is_itself(model: DeepFilterNet, voice: Real) -> None:
    assert np.array_equal(Ensemble([model], name="alone").enhance(voice), model.enhance(voice))
