"""Corners that were wrong once."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf

from gpu_container.contract import ErrorCode
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.errors import EngineError
from gpu_container.engine.stft import Real
from tests.engine.files import facts, write_lossy, write_pcm
from tests.engine.run import enhance_file
from tests.engine.signals import noisy_voice


def test_a_playlist_does_not_make_the_decoder_open_other_files(tmp_path: Path, voice: Real) -> None:
    write_lossy(tmp_path / "other.aac", voice, 48_000, kind="aac")
    messages = []
    for name in ("other.aac", "missing.aac"):
        (tmp_path / "in").write_text(f"ffconcat version 1.0\nfile {name}\n")
        with pytest.raises(EngineError) as caught:
            facts(tmp_path / "in")
        messages.append(caught.value.message)

    # Different answers would mean that the other file had been looked at.
    assert messages[0] == messages[1]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_one_absurd_sample_does_not_destroy_the_rest(tmp_path: Path, model: DeepFilterNet, voice: Real) -> None:
    absurd = voice.copy()
    absurd[0, 5_000] = 1e38
    source = write_pcm(tmp_path / "in", absurd, 48_000, container="WAV", subtype="FLOAT")

    enhance_file(source, tmp_path / "out", strength=80, model=model)

    assert np.isfinite(sf.read(tmp_path / "out")[0]).all()


def test_strength_0_mends_samples_that_are_not_numbers(tmp_path: Path, model: DeepFilterNet, voice: Real) -> None:
    broken = voice.copy()
    broken[0, 10] = np.nan
    source = write_pcm(tmp_path / "in", broken, 48_000, container="WAV", subtype="FLOAT")

    report = enhance_file(source, tmp_path / "out", strength=0, model=model)

    assert report.repaired_count == 1
    assert np.isfinite(sf.read(tmp_path / "out")[0]).all()


def test_strength_0_can_be_cancelled(tmp_path: Path, model: DeepFilterNet, voice: Real) -> None:
    source = write_pcm(tmp_path / "in", voice, 48_000, container="WAV", subtype="PCM_16")

    with pytest.raises(EngineError) as caught:
        enhance_file(source, tmp_path / "out", strength=0, model=model, is_cancelled=lambda: True)

    assert caught.value.code is ErrorCode.CANCELLED


def test_the_channel_layout_is_kept(tmp_path: Path, model: DeepFilterNet) -> None:
    signal = np.concatenate([noisy_voice(seconds=0.5, rate_hz=48_000, seed=seed) for seed in range(3)])
    with av.open(str(tmp_path / "in"), "w", format="ipod") as file:
        stream = file.add_stream("aac", rate=48_000, layout="3.0")
        frame = av.AudioFrame.from_ndarray(signal, format="fltp", layout="3.0")
        frame.sample_rate, frame.pts = 48_000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))

    enhance_file(tmp_path / "in", tmp_path / "out", strength=50, model=model)

    with av.open(str(tmp_path / "out")) as file:
        assert file.streams.audio[0].layout.name == "3.0"


def test_a_very_short_opus_file_is_enhanced(tmp_path: Path, model: DeepFilterNet, voice: Real) -> None:
    source = write_lossy(tmp_path / "in", voice[:, :1], 48_000, kind="opus")

    enhance_file(source, tmp_path / "out", strength=50, model=model)


def test_vorbis_keeps_about_its_bit_rate(tmp_path: Path, model: DeepFilterNet, stereo: Real) -> None:
    with sf.SoundFile(tmp_path / "in", "w", 44_100, 2, format="OGG", subtype="VORBIS", compression_level=0.0) as file:
        file.write(stereo.T)

    enhance_file(tmp_path / "in", tmp_path / "out", strength=20, model=model)

    assert (tmp_path / "out").stat().st_size == pytest.approx((tmp_path / "in").stat().st_size, rel=0.4)


def test_a_cancelled_enhancement_leaves_no_result(tmp_path: Path, model: DeepFilterNet, voice: Real) -> None:
    source = write_pcm(tmp_path / "in", voice, 48_000, container="WAV", subtype="PCM_16")

    with pytest.raises(EngineError):
        enhance_file(source, tmp_path / "out", strength=50, model=model, is_cancelled=lambda: True)

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("strength", [-5.0, 150.0, float("nan")])
def test_strength_outside_its_scale_is_refused(
    tmp_path: Path, model: DeepFilterNet, voice: Real, strength: float
) -> None:
    source = write_pcm(tmp_path / "in", voice, 48_000, container="WAV", subtype="PCM_16")

    with pytest.raises(ValueError, match="strength"):
        enhance_file(source, tmp_path / "out", strength=strength, model=model)
