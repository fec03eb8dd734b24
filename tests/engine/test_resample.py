"""The way to 48 kHz and back."""

import numpy as np
import pytest

from gpu_container.engine.resample import Resampler
from tests.engine.signals import error_db, noisy_voice


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 44_100, 96_000, 192_000])
def test_there_and_back_is_aligned(rate_hz: int) -> None:
    signal = noisy_voice(seconds=1.0, rate_hz=rate_hz)
    up, down = Resampler(rate_hz, 48_000, 1), Resampler(48_000, rate_hz, 1)
    pieces = [down.process(up.process(part)) for part in np.array_split(signal, 7, axis=1)]
    pieces += [down.process(up.finish()), down.finish()]

    back = np.concatenate(pieces, axis=1)

    assert abs(back.shape[1] - signal.shape[1]) <= 1 + rate_hz // 48_000
    middle = slice(rate_hz // 10, -rate_hz // 10)
    assert error_db(back[:, : signal.shape[1]][:, middle], signal[:, middle]) < -25


def test_equal_rates_pass_untouched() -> None:
    signal = noisy_voice(seconds=0.1, rate_hz=48_000)

    assert Resampler(48_000, 48_000, 1).process(signal) is signal
