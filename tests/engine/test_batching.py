"""Streams in threads of their own, one network: each gets its own answer, its own errors, and nobody waits for ever."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gpu_container.engine.batching import Batcher, MergingNetwork
from gpu_container.engine.deepfilternet import DeepFilterNet, Network
from gpu_container.engine.enhancer import Enhancer
from gpu_container.engine.fusion import Fusion, Share
from gpu_container.engine.graph import State
from gpu_container.engine.stft import Real
from tests.engine.signals import error_db, noisy_voice

HALF = Share(low=0.5, high=0.5)

SAME_DB = -100.0
PATIENCE_S = 60


class _Watched:
    """The real network: counts rows, can be held up, and fails for recordings that say so."""

    def __init__(self, network: Network, *, fails_for: Callable[[Real], bool] = lambda _features: False) -> None:
        self.tiling, self.layout = network.tiling, network.layout
        self.rows: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self._network, self._fails_for = network, fails_for

    def masks(self, feat_erb: Real, feat_spec: Real, state: State) -> tuple[Real, Real, State]:
        self.rows.append(len(feat_erb))
        assert self.gate.wait(PATIENCE_S)
        if self._fails_for(feat_erb):
            msg = "no answer"
            raise ValueError(msg)
        return self._network.masks(feat_erb, feat_spec, state)


def _voices(count: int, *, seconds: float = 1.3, channels: int = 1) -> list[Real]:
    return [
        np.concatenate(
            [
                noisy_voice(seconds=seconds, rate_hz=48_000, seed=17 * seed + channel, pitch_hz=80 + 9 * seed)
                for channel in range(channels)
            ]
        )
        for seed in range(count)
    ]


def _until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


def _at_once(model: Enhancer, signals: list[Real]) -> list[Real]:
    with ThreadPoolExecutor(len(signals)) as pool:
        return list(pool.map(model.enhance, signals, timeout=PATIENCE_S))


@pytest.mark.parametrize("count", [1, 2, 9])
def test_every_stream_gets_its_own_answer(model: DeepFilterNet, count: int) -> None:
    voices = _voices(count)

    together = _at_once(Batcher(model, slots=1, max_rows=4), voices)

    for enhanced, voice in zip(together, voices, strict=True):
        assert error_db(enhanced, model.enhance(voice)) < SAME_DB


def test_mono_and_stereo_share_a_call(model: DeepFilterNet) -> None:
    voices = _voices(3) + _voices(3, channels=2)

    together = _at_once(Batcher(model, slots=1, max_rows=8), voices)

    for enhanced, voice in zip(together, voices, strict=True):
        assert error_db(enhanced, model.enhance(voice)) < SAME_DB


def test_an_ensembles_members_are_batched_each(model: DeepFilterNet, low_latency_model: DeepFilterNet) -> None:
    pair = Fusion([(model, HALF), (low_latency_model, HALF)], name="pair")
    voices = _voices(3, seconds=0.6)

    batcher = Batcher(pair, slots=1)
    together = _at_once(batcher, voices)

    assert batcher.name == "pair"
    for enhanced, voice in zip(together, voices, strict=True):
        assert error_db(enhanced, pair.enhance(voice)) < SAME_DB


def test_blocks_that_wait_run_together(model: DeepFilterNet) -> None:
    watched = _Watched(model.network)
    merging = MergingNetwork(watched, slots=1, max_rows=4)
    batcher = model.with_network(merging)
    block = noisy_voice(seconds=1.0, rate_hz=48_000)
    watched.gate.clear()
    with ThreadPoolExecutor(6) as pool:
        pending = [pool.submit(batcher.stream(1).process, block) for _ in range(6)]
        _until(lambda: len(merging._waiting) == 5)
        watched.gate.set()
        answers = [answer.result(PATIENCE_S) for answer in pending]

    assert watched.rows == [1, 4, 1]
    assert all(error_db(answer, answers[0]) < SAME_DB for answer in answers)


def test_a_lone_stream_pays_nothing(model: DeepFilterNet, voice: Real) -> None:
    watched = _Watched(model.network)
    stream = model.with_network(MergingNetwork(watched, slots=2, max_rows=8)).stream(1)
    stream.process(voice)
    stream.finish()

    assert set(watched.rows) == {1}
    assert stream.inferences == len(watched.rows) == 5


def test_an_error_reaches_its_own_stream_only(model: DeepFilterNet) -> None:
    broken = 3.0
    watched = _Watched(model.network, fails_for=lambda features: bool((np.abs(features[..., 0]) > broken).any()))
    merging = MergingNetwork(watched, slots=1, max_rows=8)
    features = np.zeros((1, 1, 100, 32), np.float32)
    spectrum = np.zeros((1, 2, 100, 96), np.float32)
    bad = np.full_like(features, 2 * broken)
    watched.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        pending = [
            pool.submit(merging.masks, signal, spectrum, merging.layout.zeros(1))
            for signal in (features, features, bad, features)
        ]
        _until(lambda: len(merging._waiting) == 3)
        watched.gate.set()
        errors = [call.exception(PATIENCE_S) for call in pending]

    assert [type(error) for error in errors] == [type(None), type(None), ValueError, type(None)]
    assert watched.rows[1] == 3


def test_the_slot_comes_back_after_an_error(model: DeepFilterNet, voice: Real) -> None:
    failing = iter([True])
    watched = _Watched(model.network, fails_for=lambda _features: next(failing, False))
    batcher = model.with_network(MergingNetwork(watched, slots=1, max_rows=8))

    with pytest.raises(ValueError, match="no answer"):
        batcher.enhance(voice)
    assert error_db(batcher.enhance(voice), model.enhance(voice)) < SAME_DB


def test_an_abandoned_stream_holds_nobody_up(model: DeepFilterNet, voice: Real) -> None:
    batcher = Batcher(model, slots=1)
    abandoned = batcher.stream(1)
    abandoned.process(voice[:, :70_000])

    enhanced = _at_once(batcher, [voice, voice])

    assert all(error_db(signal, model.enhance(voice)) < SAME_DB for signal in enhanced)


@pytest.mark.slow
def test_many_threads_on_few_slots(model: DeepFilterNet) -> None:
    voices = _voices(64, seconds=2.2)

    together = _at_once(Batcher(model, slots=2, max_rows=16), voices)

    for enhanced, voice in zip(together, voices, strict=True):
        assert error_db(enhanced, model.enhance(voice)) < SAME_DB


def test_it_batches_only_what_it_knows() -> None:
    class Other:
        name = "other"

    with pytest.raises(TypeError, match="Other"):
        Batcher(Other())
