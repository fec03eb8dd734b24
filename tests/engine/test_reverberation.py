"""How reverberant speech is, heard where it ends."""

import numpy as np
import pytest

from gpu_container.engine.reverberation import (
    CLOSES_ABOVE_DB_PER_S,
    OPENS_BELOW_DB_PER_S,
    Gate,
    ReverberationMeter,
    decay_db_per_s,
    decay_time_s,
)
from gpu_container.engine.stft import Real
from tests.engine.rooms import in_room, room, talk
from tests.engine.signals import noisy_voice


def heard_s(signal: Real, *, piece: int = 100_000) -> float | None:
    meter = ReverberationMeter(len(signal))
    for start in range(0, signal.shape[1], piece):
        meter.process(signal[:, start : start + piece])
    return meter.finish()


@pytest.mark.parametrize("decay_s", [0.3, 0.5, 0.8])
def test_the_decay_time_of_a_room_is_found(decay_s: float) -> None:
    for seed in range(2):
        signal, _ = in_room(talk(seconds=8, seed=seed), room(decay_s=decay_s, seed=seed))

        assert heard_s(signal) == pytest.approx(decay_s, rel=0.35)


def test_dry_speech_reads_less_than_any_room() -> None:
    dry_s, room_s = heard_s(talk(seconds=8)), heard_s(in_room(talk(seconds=8), room(decay_s=0.3))[0])

    assert dry_s is not None
    assert room_s is not None
    assert dry_s < 0.2 < room_s


def test_noise_around_the_speech_changes_little() -> None:
    signal, _ = in_room(talk(seconds=8), room(decay_s=0.5))
    level = float(np.sqrt(np.mean(np.square(signal))))
    noise = np.random.default_rng(0).standard_normal(signal.shape).astype(np.float32)

    assert heard_s(signal + 0.1 * level * noise) == pytest.approx(heard_s(signal), rel=0.35)


def test_loudness_changes_nothing() -> None:
    signal, _ = in_room(talk(seconds=4), room(decay_s=0.5))

    assert heard_s(signal * np.float32(0.03)) == pytest.approx(heard_s(signal), rel=0.05)


def test_it_takes_speech_to_tell() -> None:
    noise = np.random.default_rng(0).standard_normal((1, 96_000)).astype(np.float32)

    assert heard_s(0.1 * noise) is None
    assert heard_s(np.zeros((2, 96_000), np.float32)) is None
    assert heard_s(noise[:, :1]) is None
    assert heard_s(noise[:, :0]) is None
    assert decay_db_per_s(np.zeros((3, 20), np.float32)) is None


@pytest.mark.parametrize("piece", [977, 48_000, 1_000_000])
def test_pieces_of_any_size_say_the_same(piece: int) -> None:
    signal = noisy_voice(seconds=5, rate_hz=48_000)

    assert heard_s(signal, piece=piece) == heard_s(signal)


def test_slower_decay_is_a_longer_time() -> None:
    times_s = [decay_time_s(rate) for rate in (0.0, 60.0, 120.0, 240.0, 480.0, 1e6)]

    assert times_s == sorted(times_s, reverse=True)
    assert all(np.isfinite(times_s))


def test_the_gate_opens_and_closes_with_hysteresis_and_holds_while_in_doubt() -> None:
    gate = Gate()
    between = (OPENS_BELOW_DB_PER_S + CLOSES_ABOVE_DB_PER_S) / 2
    rates = [None, between, OPENS_BELOW_DB_PER_S - 1, between, None, CLOSES_ABOVE_DB_PER_S + 1, None, between]

    assert [gate.decide(rate) for rate in rates] == [False, False, True, True, True, False, False, False]
