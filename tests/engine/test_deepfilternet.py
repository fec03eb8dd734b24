"""The network: exactly the official runtime's, whatever the blocks and whoever is beside it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_container.contract import ErrorCode
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.errors import EngineError
from gpu_container.engine.features import BAND_WIDTHS
from gpu_container.engine.models import load_model, model_names
from gpu_container.engine.stft import BINS, HOP, WINDOW, analyse, synthesise
from scripts.peers import RustRuntime, SlimRuntime, difference_db
from tests.engine.conftest import Signal


@pytest.mark.parametrize("runtime", [SlimRuntime, RustRuntime])
def test_it_is_the_official_runtimes_answer(dfn3: DeepFilterNet, speech: Signal, runtime: type[SlimRuntime]) -> None:
    assert difference_db(dfn3.enhance(speech[None])[0], runtime().enhance(speech)) < -100


@pytest.mark.parametrize("model", ["dfn3", "dfn3-ll"])
@pytest.mark.parametrize("block_hops", [1, 7, 333])
def test_the_size_of_the_blocks_does_not_matter(speech: Signal, model: str, block_hops: int) -> None:
    net, signal = load_model(model), speech[None, : 2 * 48_000 + 123]
    whole = net.enhance(signal, block_hops=10_000)
    assert np.abs(net.enhance(signal, block_hops=block_hops) - whole).max() < 1e-6


def test_whoever_is_in_the_same_batch_does_not_matter(dfn3: DeepFilterNet, speech: Signal) -> None:
    rows = np.stack([speech[:96_000], speech[96_000:192_000], -0.3 * speech[:96_000], np.zeros(96_000, np.float32)])
    together = dfn3.enhance(rows)
    alone = np.concatenate([dfn3.enhance(row[None]) for row in rows])
    assert np.abs(together - alone).max() < 1e-6


@settings(max_examples=25, deadline=None, derandomize=True)
@given(pieces=st.lists(st.integers(1, 30_000), min_size=1, max_size=5))
def test_as_many_samples_come_out_as_went_in(dfn3: DeepFilterNet, speech: Signal, pieces: list[int]) -> None:
    stream = dfn3.stream(channels=1)
    taken = 0
    returned = 0
    for size in pieces:
        returned += stream.process(speech[None, taken : taken + size]).shape[1]
        taken += size
        assert returned <= taken
    assert returned + stream.finish().shape[1] == taken


@pytest.mark.parametrize("length", [1, 479, 480, 481, 959, 960, 961, 1440])
def test_short_signals(dfn3: DeepFilterNet, speech: Signal, length: int) -> None:
    answer = dfn3.enhance(speech[None, :length])
    assert answer.shape == (1, length)
    assert np.isfinite(answer).all()


def test_speech_stays_where_it_was(dfn3: DeepFilterNet, speech: Signal) -> None:
    enhanced = dfn3.enhance(speech[None])[0]
    spectrum = np.fft.rfft(speech, 2 * len(speech)) * np.conj(np.fft.rfft(enhanced, 2 * len(speech)))
    assert int(np.argmax(np.fft.irfft(spectrum))) == 0


def test_the_transform_gives_the_signal_back(speech: Signal) -> None:
    signal = speech[None, : 50 * HOP]
    padded = np.concatenate([np.zeros((1, HOP), np.float32), signal], axis=1)
    back, _ = synthesise(analyse(padded), np.zeros((1, HOP), np.float32))
    assert np.abs(back[:, HOP:] - signal[:, :-HOP]).max() < 1e-6
    assert np.allclose(WINDOW[:HOP] ** 2 + WINDOW[HOP:] ** 2, 1, atol=1e-6)


def test_the_bands_cover_every_bin() -> None:
    assert BAND_WIDTHS.sum() == BINS
    assert BAND_WIDTHS.min() >= 2


def test_an_unknown_model() -> None:
    with pytest.raises(EngineError) as refusal:
        load_model("nothing")
    assert refusal.value.code is ErrorCode.MODEL_UNAVAILABLE
    assert model_names()[0] in refusal.value.message


def test_a_damaged_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("models")
    (folder / "DeepFilterNet3_onnx.tar.gz").write_bytes(b"damaged")
    with pytest.raises(EngineError, match="damaged"):
        load_model("dfn3", directory=folder)
