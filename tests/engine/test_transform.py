"""The transform and the bands under the network."""

import numpy as np

from gpu_container.engine.features import BAND_WIDTHS, MIN_BINS_PER_BAND
from gpu_container.engine.stft import BINS, HOP, WINDOW, Real, analyse, synthesise


def test_the_transform_gives_the_signal_back_one_hop_late(voice: Real) -> None:
    signal = voice[:, : 50 * HOP]
    padded = np.concatenate([np.zeros((1, HOP), np.float32), signal], axis=1)

    back, _ = synthesise(analyse(padded), np.zeros((1, HOP), np.float32))

    assert np.abs(back[:, HOP:] - signal[:, :-HOP]).max() < 1e-6


def test_the_overlapping_windows_add_up_to_one() -> None:
    assert np.allclose(WINDOW[:HOP] ** 2 + WINDOW[HOP:] ** 2, 1, atol=1e-6)


def test_the_bands_cover_every_bin() -> None:
    assert BAND_WIDTHS.sum() == BINS
    assert BAND_WIDTHS.min() >= MIN_BINS_PER_BAND
