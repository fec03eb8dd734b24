"""Fused answers stay aligned, whole and linear in level, however a recording is cut."""

import numpy as np
import pytest

from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.fusion import SHARES, Fusion, Primed, TwoBandMean, high_quality
from gpu_container.engine.level import HEAD_S, MAX_GAIN_DB, lift
from gpu_container.engine.stft import RATE_HZ, Real
from tests.engine.signals import error_db, noisy_voice

LEVEL_DB = -16.0


@pytest.fixture(scope="module")
def long_voice() -> Real:
    """Return a little more than a head, ``(1, n)``."""
    return noisy_voice(seconds=HEAD_S + 3.0, rate_hz=RATE_HZ, seed=5)


@pytest.fixture
def fusion(model: DeepFilterNet, low_latency_model: DeepFilterNet) -> Fusion:
    return high_quality(model, low_latency_model, name="fused")


@pytest.mark.parametrize("size", [4_321, 48_000, 10**7])
def test_pieces_of_any_size_come_out_aligned_and_whole(fusion: Fusion, long_voice: Real, size: int) -> None:
    stream = fusion.stream(1)
    parts = [stream.process(long_voice[:, start : start + size]) for start in range(0, long_voice.shape[1], size)]
    together = np.concatenate([*parts, stream.finish()], axis=1)
    assert together.shape == long_voice.shape
    assert np.abs(together - fusion.enhance(long_voice)).max() < 1e-6


@pytest.mark.parametrize("length", [0, 1, 500, 48_000])
def test_short_recordings_keep_their_length(fusion: Fusion, long_voice: Real, length: int) -> None:
    assert fusion.enhance(long_voice[:, :length]).shape == (1, length)


def test_a_fused_answer_is_speech_where_speech_is(fusion: Fusion) -> None:
    clean = noisy_voice(seconds=3.0, rate_hz=RATE_HZ, seed=5, noise=0.0)
    noisy = noisy_voice(seconds=3.0, rate_hz=RATE_HZ, seed=5)
    assert error_db(fusion.enhance(noisy), clean) < error_db(noisy, clean)


def test_a_faint_recording_is_enhanced_like_a_loud_one(model: DeepFilterNet, long_voice: Real) -> None:
    faint = long_voice * np.float32(10 ** (-25 / 20))
    primed = Primed(model, level_db=LEVEL_DB)
    lifted = primed.enhance(faint) / np.float32(10 ** (-25 / 20))
    assert error_db(lifted, primed.enhance(long_voice)) < -30


def test_the_head_is_heard_twice_but_told_once(model: DeepFilterNet, long_voice: Real) -> None:
    """Repeating the head and cutting the repetition off by hand is the same."""
    head = long_voice[:, : HEAD_S * RATE_HZ]
    expected = model.enhance(np.concatenate([head, long_voice], axis=1))[:, head.shape[1] :]
    assert np.abs(Primed(model).enhance(long_voice) - expected).max() < 1e-6


def test_lift_only_lifts_within_bounds_and_leaves_silence() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ, dtype=np.float32)[None]
    assert lift(tone, -16.0) == 1.0
    assert lift(0.1 * tone, -13.01) == pytest.approx(10 ** (10 / 20), rel=0.03)
    assert lift(1e-5 * tone, -16.0) == pytest.approx(10 ** (MAX_GAIN_DB / 20))
    assert lift(np.zeros((2, RATE_HZ), np.float32), -16.0) == 1.0
    assert lift(np.zeros((2, 0), np.float32), -16.0) == 1.0


def test_channels_are_lifted_alike() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ, dtype=np.float32)
    assert lift(np.stack([0.1 * tone, 0.001 * tone]), -16.0) == lift(0.1 * tone[None], -16.0)


@pytest.mark.parametrize(("tone_hz", "weight"), [(1_000, "low"), (12_000, "high")])
def test_each_band_has_its_own_weights(tone_hz: int, weight: str) -> None:
    tone = np.sin(2 * np.pi * tone_hz * np.arange(RATE_HZ) / RATE_HZ, dtype=np.float32)[None]
    mean = TwoBandMean(SHARES, 1)
    fused = np.concatenate([mean.process([tone, np.zeros_like(tone)]), mean.finish()], axis=1)
    assert fused.shape == tone.shape
    middle = slice(RATE_HZ // 4, -RATE_HZ // 4)
    assert error_db(fused[:, middle], np.float32(getattr(SHARES[0], weight)) * tone[:, middle]) < -45


def test_members_that_agree_are_not_filtered(long_voice: Real) -> None:
    mean = TwoBandMean(SHARES, 1)
    fused = np.concatenate([mean.process([long_voice, long_voice]), mean.finish()], axis=1)
    assert np.abs(fused - long_voice).max() < 1e-6


def test_lanes_go_on_from_where_the_stream_is(fusion: Fusion, long_voice: Real) -> None:
    whole = (HEAD_S + 1) * RATE_HZ
    stream = fusion.stream(1)
    stream.process(long_voice[:, :whole])
    rest = long_voice[:, whole : whole + RATE_HZ]
    forked = stream.fork(2)
    both = forked.process(np.concatenate([rest, 0 * rest]))
    last = forked.keep(slice(1, None)).finish()
    assert both.shape == (2, RATE_HZ)
    assert len(last) == 1
    assert np.abs(both[0] - stream.process(rest)[0]).max() < 1e-5


def test_a_stream_does_not_fork_before_its_head_is_there(fusion: Fusion, long_voice: Real) -> None:
    stream = fusion.stream(1)
    stream.process(long_voice[:, :RATE_HZ])
    with pytest.raises(ValueError, match="head"):
        stream.fork(2)
