"""Dereverberation: late sound goes, dry speech stays, however the recording is cut."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_container.contract import Dereverb
from gpu_container.engine.dereverb import (
    DELAY,
    EARLY_SHARE,
    FLOOR_SHARE,
    LATE_FRAMES,
    LATE_SHARE,
    LOADING,
    MAX_TAPS,
    Dereverberator,
    taps_for,
)
from gpu_container.engine.reverberation import END_BIN, FFT, FIRST_BIN, HOP, OVERLAP, WINDOW
from gpu_container.engine.stft import Real
from tests.engine.rooms import in_room, room, talk
from tests.engine.signals import error_db, noisy_voice


def treat(signal: Real, mode: Dereverb, *, piece: int = 100_000) -> tuple[Real, Dereverberator]:
    stream = Dereverberator(len(signal), mode)
    parts = [stream.process(signal[:, start : start + piece]) for start in range(0, signal.shape[1], piece)]
    return np.concatenate([*parts, stream.finish()], axis=1), stream


@pytest.fixture(scope="module")
def reverberant() -> tuple[Real, Real]:
    """Eight seconds in a room, and what of it is to stay."""
    return in_room(talk(seconds=8, seed=1), room(decay_s=0.6, seed=3))


def test_late_sound_falls_by_2_5_db(reverberant: tuple[Real, Real]) -> None:
    signal, wanted = reverberant
    treated, _ = treat(signal, Dereverb.ON)

    assert error_db(treated, wanted) < error_db(signal, wanted) - 2.5


def test_two_microphones_take_more_than_one() -> None:
    signal, wanted = in_room(talk(seconds=8, seed=1), room(decay_s=0.6, microphones=2, seed=3))
    both, _ = treat(signal, Dereverb.ON)
    one, _ = treat(signal[:1], Dereverb.ON)

    assert error_db(both[:1], wanted[:1]) < error_db(one, wanted[:1]) - 1


def test_auto_does_in_a_room_what_on_does(reverberant: tuple[Real, Real]) -> None:
    signal, _ = reverberant
    always, _ = treat(signal, Dereverb.ON)
    gated, stream = treat(signal, Dereverb.AUTO)

    assert np.array_equal(gated, always)
    assert stream.applied_share == 1.0


@pytest.mark.parametrize("signal", [talk(seconds=8), noisy_voice(seconds=8, rate_hz=48_000, noise=0.003)])
def test_auto_leaves_dry_speech_alone_to_the_bit(signal: Real) -> None:
    treated, stream = treat(signal, Dereverb.AUTO)

    assert np.array_equal(treated, signal)
    assert stream.applied_share == 0.0


def test_off_gives_everything_back_at_once(reverberant: tuple[Real, Real]) -> None:
    signal, _ = reverberant
    stream = Dereverberator(1, Dereverb.OFF)

    assert np.array_equal(stream.process(signal), signal)
    assert stream.finish().shape == (1, 0)
    assert stream.applied_share == 0.0


def test_auto_follows_a_recording_that_moves_into_a_room_and_out() -> None:
    inside, _ = in_room(talk(seconds=20, seed=1), room(decay_s=0.6, seed=3))
    signal = np.concatenate([talk(seconds=20, seed=4), inside, talk(seconds=20, seed=5)], axis=1)
    treated, stream = treat(signal, Dereverb.AUTO)
    changed = (treated != signal).reshape(60, -1).mean(axis=1)  # by second

    assert (changed[:14] == 0).all()
    assert (changed[28:34] > 0.9).all()
    assert (changed[-12:] == 0).all()
    assert stream.applied_share == pytest.approx(changed.mean(), abs=0.05)


def test_there_is_no_click_where_treatment_begins_or_ends() -> None:
    inside, _ = in_room(talk(seconds=12, seed=1), room(decay_s=0.6, seed=3))
    signal = np.concatenate([talk(seconds=12, seed=4), inside, talk(seconds=12, seed=5)], axis=1)
    taken = signal - treat(signal, Dereverb.AUTO)[0]
    high = np.abs(np.fft.rfft(taken[0, : len(taken[0]) // 960 * 960].reshape(-1, 960) * np.hanning(960), axis=1))

    # Nothing above 8 kHz is ever taken; a step would put something there.
    assert np.square(high[:, 200:]).sum(axis=1).max() < 1e-6 * np.square(high).sum(axis=1).max()


@settings(max_examples=12, deadline=None)
@given(frames=st.integers(0, 130_000), cuts=st.lists(st.integers(0, 130_000), max_size=6))
@pytest.mark.parametrize("mode", list(Dereverb))
def test_pieces_of_any_size_come_out_whole_and_the_same(mode: Dereverb, frames: int, cuts: list[int]) -> None:
    signal, _ = in_room(talk(seconds=3, seed=1), room(decay_s=0.3, seed=3))
    signal = signal[:, :frames]
    stream = Dereverberator(1, mode)
    parts = [stream.process(piece) for piece in np.split(signal, sorted(min(cut, frames) for cut in cuts), axis=1)]
    together = np.concatenate([*parts, stream.finish()], axis=1)

    assert together.shape == signal.shape
    assert np.array_equal(together, treat(signal, mode)[0])


def test_it_stays_aligned(reverberant: tuple[Real, Real]) -> None:
    signal, wanted = reverberant
    treated, _ = treat(signal, Dereverb.ON)
    shifted_by = {shift: error_db(np.roll(treated, shift, axis=1), wanted) for shift in (-2, -1, 0, 1, 2)}

    assert min(shifted_by, key=lambda shift: shifted_by[shift]) == 0


def test_it_is_the_paper_s_prediction_error() -> None:
    signal = in_room(talk(seconds=1.5, seed=2), room(decay_s=0.5, seed=4))[0][:, 10_000:34_000]
    taken = signal - treat(signal, Dereverb.ON)[0]

    assert error_db(taken, _textbook_prediction(signal[0])[None]) < -50


def _textbook_prediction(signal: Real) -> Real:
    """Weighted linear prediction in double precision, bin by bin and frame by frame, ``(n,)``."""
    frames = -(-len(signal) // HOP) + OVERLAP // HOP
    padded = np.concatenate([np.zeros(OVERLAP), signal, np.zeros(frames * HOP - len(signal))])
    spectrum = np.array([np.fft.rfft(padded[t * HOP : t * HOP + FFT] * WINDOW) for t in range(frames)])
    late = np.zeros_like(spectrum)
    for b in range(FIRST_BIN, END_BIN):
        observed = spectrum[:, b]
        power = np.abs(observed) ** 2
        before = np.concatenate([np.zeros(LATE_FRAMES), power])[:frames]
        early = np.maximum(power - LATE_SHARE * before, EARLY_SHARE * power)
        past = np.zeros((frames, MAX_TAPS), complex)
        for k in range(MAX_TAPS):
            past[DELAY + k :, k] = observed[: frames - DELAY - k]
        weighted = past.conj().T / (early + FLOOR_SHARE * early.mean())
        covariance = weighted @ past
        covariance += LOADING * np.trace(covariance).real / MAX_TAPS * np.eye(MAX_TAPS)
        late[:, b] = past @ np.linalg.solve(covariance, weighted @ observed)
    prediction = np.zeros(len(padded))
    for t in range(frames):
        prediction[t * HOP : t * HOP + FFT] += np.fft.irfft(late[t]) * WINDOW
    return prediction[OVERLAP : OVERLAP + len(signal)].astype(np.float32)


def test_identical_channels_stay_identical_and_lose_their_echo(reverberant: tuple[Real, Real]) -> None:
    signal, wanted = reverberant
    treated, _ = treat(np.repeat(signal, 2, axis=0), Dereverb.ON)

    assert np.allclose(treated[0], treated[1], atol=1e-5)
    assert error_db(treated[:1], wanted) < error_db(signal, wanted) - 2


@pytest.mark.parametrize("channels", range(1, 9))
def test_it_takes_up_to_eight_channels(channels: int) -> None:
    signal, wanted = in_room(talk(seconds=2.5, seed=1), room(decay_s=0.5, microphones=channels, seed=2))
    treated, _ = treat(signal, Dereverb.ON)

    assert taps_for(channels) * channels <= 40
    assert treated.shape == signal.shape
    assert error_db(treated, wanted) < error_db(signal, wanted)


@pytest.mark.parametrize("frames", [1, HOP, OVERLAP, FFT + 1])
@pytest.mark.parametrize("mode", [Dereverb.AUTO, Dereverb.ON])
def test_very_short_recordings_survive(mode: Dereverb, frames: int) -> None:
    signal = talk(seconds=1)[:, 6_000 : 6_000 + frames]
    treated, _ = treat(signal, mode)

    assert treated.shape == signal.shape
    assert np.isfinite(treated).all()


def test_silence_stays_silence() -> None:
    treated, _ = treat(np.zeros((2, 150_000), np.float32), Dereverb.ON)

    assert not treated.any()


@pytest.mark.parametrize("level", [1e-30, 1e-12, 1e-6, 65_536.0])
def test_any_level_survives(level: float) -> None:
    signal = np.float32(level) * talk(seconds=2.5)
    treated, _ = treat(signal, Dereverb.ON)

    assert np.isfinite(treated).all()
    assert np.abs(treated).max() < 1.5 * np.abs(signal).max()


def test_a_constant_offset_and_clipping_survive(reverberant: tuple[Real, Real]) -> None:
    signal, _ = reverberant
    treated, _ = treat(signal, Dereverb.ON)
    shifted, _ = treat(signal + np.float32(0.5), Dereverb.ON)
    clipped, _ = treat(np.clip(20 * signal, -1, 1), Dereverb.ON)

    assert shifted.mean() == pytest.approx(0.5, abs=0.01)
    assert error_db(shifted - np.float32(0.5), treated) < -15
    assert np.isfinite(clipped).all()


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "limit_bytes"), [(1, 60e6), (8, 160e6)])
def test_memory_does_not_grow(channels: int, limit_bytes: float) -> None:
    block, _ = in_room(talk(seconds=10, seed=1), room(decay_s=0.5, microphones=channels, seed=2))
    stream = Dereverberator(channels, Dereverb.ON)
    peaks = []
    tracemalloc.start()
    try:
        for _ in range(6):
            tracemalloc.reset_peak()
            for start in range(0, block.shape[1], 48_000):
                stream.process(block[:, start : start + 48_000])
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()

    assert max(peaks) < limit_bytes
    assert peaks[-1] < 1.05 * peaks[2]
