"""Models, loaded once, and recordings, synthesised with a fixed seed."""

import numpy as np
import pytest

from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.errors import EngineError
from gpu_container.engine.models import load_model
from gpu_container.engine.stft import Real
from tests.engine.signals import noisy_voice


def _load(name: str) -> DeepFilterNet:
    try:
        return load_model(name, providers=["CPUExecutionProvider"])
    except EngineError as error:
        pytest.fail(f"{error.message} The engine's tests need the model files: run `make setup` first.")


@pytest.fixture(scope="session")
def model() -> DeepFilterNet:
    return _load("dfn3")


@pytest.fixture(scope="session")
def low_latency_model() -> DeepFilterNet:
    return _load("dfn3-ll")


@pytest.fixture(scope="session")
def voice() -> Real:
    """Four seconds at 48 kHz, ``(1, n)``."""
    return noisy_voice(seconds=4.0, rate_hz=48_000)


@pytest.fixture(scope="session")
def stereo() -> Real:
    """Three seconds at 44.1 kHz, ``(2, n)``, two different voices."""
    left = noisy_voice(seconds=3.0, rate_hz=44_100, seed=1)
    right = noisy_voice(seconds=3.0, rate_hz=44_100, seed=2, pitch_hz=190.0)
    return np.concatenate([left, right])
