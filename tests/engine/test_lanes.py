"""A long recording in lanes: whole, aligned, and so close to the exact answer that the seams are not heard."""

import threading

import numpy as np
import pytest

from gpu_container.engine.deepfilternet import DeepFilterNet, Network
from gpu_container.engine.fusion import Fusion, Share
from gpu_container.engine.graph import State
from gpu_container.engine.lanes import LaneStream
from gpu_container.engine.stft import RATE_HZ, Real
from tests.engine.signals import error_db, lag, noisy_voice

HALF = Share(low=0.5, high=0.5)

SAME_DB = -100.0
SMALL = {"lanes": 3, "segment_s": 9, "warm_up_s": 1}
"""Windows of 21 s: three lanes of nine seconds, three of which overlap."""

ACCEPTED_DB = -25.0
"""Of the small lanes above, against the whole file's answer: they have one second of warm-up."""

ACCEPTED_BY_DEFAULT_DB = -40.0


def _voice(seconds: float, seed: int = 0) -> Real:
    """Return a voice that pauses now and then, ``(1, n)``."""
    voice = noisy_voice(seconds=seconds, rate_hz=RATE_HZ, seed=seed)
    phrase = (np.sin(2 * np.pi * np.arange(voice.shape[1]) / (2.7 * RATE_HZ)) > -0.6).astype(np.float32)
    return voice * np.convolve(phrase, np.ones(480, np.float32) / 480, mode="same").clip(0.02, 1).astype(np.float32)


@pytest.fixture(scope="module")
def long_voice() -> Real:
    return _voice(36.4)


@pytest.fixture(scope="module")
def exact(model: DeepFilterNet, long_voice: Real) -> Real:
    return model.enhance(long_voice)


def _run(stream: LaneStream, signal: Real, *, size: int = RATE_HZ) -> Real:
    parts = [stream.process(signal[:, start : start + size]) for start in range(0, signal.shape[1], size)]
    return np.concatenate([*parts, stream.finish()], axis=1)


def test_the_seams_are_near_the_whole_files_answer(model: DeepFilterNet, long_voice: Real, exact: Real) -> None:
    enhanced = _run(LaneStream(model, 1, **SMALL), long_voice)

    assert enhanced.shape == long_voice.shape
    assert SAME_DB < error_db(enhanced, exact) < ACCEPTED_DB
    assert lag(enhanced[0], exact[0]) == 0


def test_no_seam_clicks(model: DeepFilterNet, long_voice: Real, exact: Real) -> None:
    """The steepest step from sample to sample is no steeper than the exact answer's."""
    enhanced = _run(LaneStream(model, 1, **SMALL), long_voice)

    assert np.abs(np.diff(enhanced)).max() < 1.1 * np.abs(np.diff(exact)).max()


@pytest.mark.parametrize("size", [1_000, 44_100, 30 * RATE_HZ, 40 * RATE_HZ])
def test_pieces_of_any_size_give_one_answer(model: DeepFilterNet, long_voice: Real, size: int) -> None:
    whole = _run(LaneStream(model, 1, **SMALL), long_voice, size=long_voice.shape[1])

    assert np.array_equal(_run(LaneStream(model, 1, **SMALL), long_voice, size=size), whole)


def test_jobs_change_the_time_and_not_the_answer(model: DeepFilterNet, long_voice: Real) -> None:
    alone = _run(LaneStream(model, 1, lanes=2, segment_s=9, warm_up_s=1), long_voice)
    shared = _run(LaneStream(model, 1, lanes=1, jobs=2, segment_s=9, warm_up_s=1), long_voice)

    assert error_db(shared, alone) < SAME_DB


def test_channels_stay_apart(model: DeepFilterNet, long_voice: Real) -> None:
    stereo = np.concatenate([long_voice, 0.5 * np.roll(long_voice, 5 * RATE_HZ)])[:, : 22 * RATE_HZ]

    enhanced = _run(LaneStream(model, 2, lanes=2, segment_s=9, warm_up_s=1), stereo)

    for row, exact_row in zip(enhanced, model.enhance(stereo), strict=True):
        assert error_db(row[None], exact_row[None]) < ACCEPTED_DB


def test_members_of_an_ensemble_take_the_same_lanes(
    model: DeepFilterNet, low_latency_model: DeepFilterNet, long_voice: Real
) -> None:
    short = long_voice[:, : 20 * RATE_HZ]
    pair = Fusion([(model, HALF), (low_latency_model, HALF)], name="pair")

    enhanced = _run(LaneStream(pair, 1, lanes=2, segment_s=9, warm_up_s=1), short)

    assert enhanced.shape == short.shape
    assert error_db(enhanced, pair.enhance(short)) < ACCEPTED_DB


@pytest.mark.parametrize("seconds", [0, 0.001, 4, 15.9])
def test_a_short_recording_gets_the_exact_answer(model: DeepFilterNet, long_voice: Real, seconds: float) -> None:
    short = long_voice[:, : round(seconds * RATE_HZ)]

    enhanced = _run(LaneStream(model, 1, **SMALL), short)

    assert enhanced.shape == short.shape
    assert np.abs(enhanced - model.enhance(short)).max(initial=0) < 1e-6


def test_enough_channels_need_no_lanes(model: DeepFilterNet) -> None:
    signal = np.concatenate([_voice(2.3, seed) for seed in range(8)])
    stream = LaneStream(model, 8)

    assert stream.process(signal).shape[1] > RATE_HZ  # nothing waits for a window
    assert error_db(_run(LaneStream(model, 8), signal), model.enhance(signal)) < SAME_DB


def test_it_counts_the_networks_runs(model: DeepFilterNet, long_voice: Real) -> None:
    stream = LaneStream(model, 1, **SMALL)
    _run(stream, long_voice)

    # Ten seconds alone, nine of three lanes, what is left alone with the look-ahead's tail.
    assert stream.inferences == 10 + 9 + 5 + 1


def test_a_checkpoint_cancels_within_a_window(model: DeepFilterNet, long_voice: Real) -> None:
    class CancelledError(Exception):
        pass

    seconds = iter(range(14))

    def checkpoint() -> None:
        if next(seconds, None) is None:
            raise CancelledError

    stream = LaneStream(model, 1, lanes=2, jobs=2, segment_s=9, warm_up_s=1, checkpoint=checkpoint)
    with pytest.raises(CancelledError):
        _run(stream, long_voice)


def test_a_lane_that_fails_is_heard_of(model: DeepFilterNet, long_voice: Real) -> None:
    broken = model.with_network(_FailingBesides(model.network))
    stream = LaneStream(broken, 1, lanes=1, jobs=2, segment_s=9, warm_up_s=1)

    with pytest.raises(ValueError, match="broken"):
        _run(stream, long_voice)


class _FailingBesides:
    """The network, which fails in every thread but the one that made it."""

    def __init__(self, network: Network) -> None:
        self.tiling, self.layout = network.tiling, network.layout
        self._network = network
        self._own_thread = threading.get_ident()

    def masks(self, feat_erb: Real, feat_spec: Real, state: State) -> tuple[Real, Real, State]:
        if threading.get_ident() != self._own_thread:
            msg = "broken"
            raise ValueError(msg)
        return self._network.masks(feat_erb, feat_spec, state)


def test_segments_must_be_longer_than_their_warm_up(model: DeepFilterNet) -> None:
    with pytest.raises(ValueError, match="too short"):
        LaneStream(model, 1, segment_s=20, warm_up_s=8)


@pytest.mark.slow
def test_the_default_lanes_on_minutes_of_speech(model: DeepFilterNet) -> None:
    minutes = np.concatenate([_voice(47.0, seed) for seed in range(8)], axis=1)

    enhanced = _run(LaneStream(model, 1), minutes)

    assert enhanced.shape == minutes.shape
    assert error_db(enhanced, model.enhance(minutes)) < ACCEPTED_BY_DEFAULT_DB
