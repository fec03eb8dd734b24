"""The network's driver: the official answer, whatever the blocks, the batch and the length."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.stft import HOP, Real
from scripts.peers import RustRuntime, SlimRuntime, difference_db
from tests.engine.signals import error_db, lag, level_db, noisy_voice

SAME_DB = -100.0
"""Closer than this is the same signal in 32-bit arithmetic of another order."""


def test_it_gives_the_official_c_runtimes_answer(model: DeepFilterNet, voice: Real) -> None:
    assert difference_db(model.enhance(voice)[0], SlimRuntime().enhance(voice[0])) < SAME_DB


def test_it_gives_the_official_rust_runtimes_answer(model: DeepFilterNet, voice: Real) -> None:
    theirs = RustRuntime().enhance(voice[0])
    ours = model.enhance(voice)[0]

    assert len(theirs) > 0.9 * len(ours)
    assert difference_db(ours, theirs) < SAME_DB


@pytest.mark.parametrize("which", ["model", "low_latency_model"])
@pytest.mark.parametrize("block_hops", [1, 7, 250])
def test_blocks_of_any_size_give_one_answer(
    request: pytest.FixtureRequest, which: str, block_hops: int, voice: Real
) -> None:
    model: DeepFilterNet = request.getfixturevalue(which)
    short = voice[:, :96_000]

    assert error_db(model.enhance(short, block_hops=block_hops), model.enhance(short)) < SAME_DB


def test_ragged_pieces_give_the_whole_files_answer(model: DeepFilterNet, voice: Real) -> None:
    stream, pieces, start = model.stream(1), [], 0
    for size in [1, 479, 480, 481, 50_000, 3, 0, 70_001]:
        pieces.append(stream.process(voice[:, start : start + size]))
        start += size
    pieces += [stream.process(voice[:, start:]), stream.finish()]

    assert error_db(np.concatenate(pieces, axis=1), model.enhance(voice)) < SAME_DB


@pytest.mark.parametrize("which", ["model", "low_latency_model"])
def test_a_batch_gives_each_signals_own_answer(request: pytest.FixtureRequest, which: str) -> None:
    model: DeepFilterNet = request.getfixturevalue(which)
    voices = [noisy_voice(seconds=1.5, rate_hz=48_000, seed=seed, pitch_hz=90 + 40 * seed) for seed in range(4)]

    together = model.enhance(np.concatenate(voices))

    for row, alone in zip(together, voices, strict=True):
        assert error_db(row[None], model.enhance(alone)) < SAME_DB


@given(frames=st.one_of(st.integers(1, 2_000), st.integers(1, 60).map(lambda hops: hops * HOP)))
@settings(max_examples=25, deadline=None)
def test_the_answer_is_as_long_as_the_question(model: DeepFilterNet, frames: int) -> None:
    signal = np.random.default_rng(frames).uniform(-0.5, 0.5, (2, frames)).astype(np.float32)

    enhanced = model.enhance(signal)

    assert enhanced.shape == signal.shape
    assert np.isfinite(enhanced).all()


def test_nothing_in_nothing_out(model: DeepFilterNet) -> None:
    assert model.enhance(np.zeros((2, 0), np.float32)).shape == (2, 0)


@pytest.mark.parametrize("which", ["model", "low_latency_model"])
def test_the_answer_is_not_late(request: pytest.FixtureRequest, which: str) -> None:
    model: DeepFilterNet = request.getfixturevalue(which)
    clean = noisy_voice(seconds=3.0, rate_hz=48_000, noise=0.002)

    assert lag(model.enhance(clean)[0], clean[0]) == 0


def test_noise_goes_and_silence_stays(model: DeepFilterNet) -> None:
    noise = 0.05 * np.random.default_rng(3).standard_normal((1, 144_000)).astype(np.float32)

    assert level_db(model.enhance(noise)[:, 48_000:], noise) < -20
    assert not model.enhance(np.zeros((1, 48_000), np.float32)).any()


def test_streams_do_not_disturb_one_another(model: DeepFilterNet, voice: Real) -> None:
    short = voice[:, :96_000]
    first, second = model.stream(1), model.stream(1)
    head = first.process(short[:, :48_000])
    second.process(-0.5 * short)
    enhanced = np.concatenate([head, first.process(short[:, 48_000:]), first.finish()], axis=1)

    assert error_db(enhanced, model.enhance(short)) < SAME_DB
