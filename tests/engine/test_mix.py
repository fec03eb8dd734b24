"""Strength and the limiter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpu_container.engine.mix import KNEE, limit, mix, wet_gain
from gpu_container.engine.stft import Real

SAMPLES = arrays(np.float32, (2, 32), elements=st.floats(-8, 8, width=32))


def test_the_ends_of_the_scale() -> None:
    assert wet_gain(0) == 0.0
    assert wet_gain(100) == 1.0


def test_strength_50_lets_20_db_of_the_noise_go() -> None:
    assert 1 - wet_gain(50) == pytest.approx(10 ** (-20 / 20))


@given(low=st.floats(0, 100), high=st.floats(0, 100))
def test_more_strength_never_means_less_enhancement(low: float, high: float) -> None:
    assert wet_gain(min(low, high)) <= wet_gain(max(low, high))


@given(dry=SAMPLES, wet=SAMPLES)
def test_the_ends_of_the_scale_give_back_one_signal_exactly(dry: Real, wet: Real) -> None:
    assert np.array_equal(mix(dry, wet, wet_gain(0)), dry)
    assert np.array_equal(mix(dry, wet, wet_gain(100)), wet)


@given(signal=SAMPLES)
def test_the_limiter_never_reaches_full_scale_and_never_turns_a_sign(signal: Real) -> None:
    limited, count = limit(signal)

    assert np.abs(limited).max() < 1
    assert (np.sign(limited) == np.sign(signal)).all()
    assert count == np.count_nonzero(np.abs(signal) > KNEE)


@given(signal=arrays(np.float32, (1, 16), elements=st.floats(-0.9375, 0.9375, width=32)))
def test_the_limiter_leaves_what_is_not_loud_alone(signal: Real) -> None:
    limited, count = limit(signal)

    assert count == 0
    assert np.array_equal(limited, signal)


def test_the_limiter_begins_at_its_knee() -> None:
    knee = np.float32(KNEE)
    below = np.array([[-knee, np.nextafter(-knee, np.float32(0)), knee]], np.float32)
    beyond = np.array([[np.float32(KNEE + 0.001)]], np.float32)

    assert limit(below)[0] is below
    assert limit(beyond)[0] == pytest.approx(beyond, abs=1e-5)


def test_the_limiter_keeps_order() -> None:
    rising = np.linspace(-3, 3, 2_001, dtype=np.float32)[None]

    assert (np.diff(limit(rising)[0]) >= 0).all()
