"""Corners that were wrong once."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf

from gpu_container.contract import Dereverb, ErrorCode, ReportLevel, WarningCode
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.errors import EngineError
from gpu_container.engine.stft import Real
from tests.engine.files import Film, facts, read, write_film, write_lossy, write_pcm
from tests.engine.run import enhance_file
from tests.engine.signals import level_db, noisy_voice


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


@pytest.mark.parametrize(("rate_hz", "frames"), [(96_000, 96_001), (192_000, 479), (88_200, 44_100)])
@pytest.mark.parametrize("dereverb", [Dereverb.OFF, Dereverb.ON])
def test_resampling_that_ends_a_frame_late_costs_nothing(
    tmp_path: Path, model: DeepFilterNet, rate_hz: int, frames: int, dereverb: Dereverb
) -> None:
    signal = noisy_voice(seconds=2, rate_hz=rate_hz)[:, :frames]
    source = write_pcm(tmp_path / "in", signal, rate_hz, container="WAV", subtype="PCM_24")

    enhance_file(source, tmp_path / "out", model=model, dereverb=dereverb)

    assert sf.info(tmp_path / "out").frames == frames


def test_a_film_whose_sound_cannot_be_written_is_copied_at_strength_0(
    tmp_path: Path, model: DeepFilterNet, stereo: Real
) -> None:
    source = write_film(tmp_path / "in", Film("webm", "libvpx-vp9", "vorbis"), stereo, 44_100)

    report = enhance_file(source, tmp_path / "out", strength=0, model=model)

    assert (tmp_path / "out").read_bytes() == source.read_bytes()
    assert (report.output.codec, report.warnings) == ("vorbis", ())


@pytest.mark.parametrize("sound", ["aac", "libopus", "libmp3lame", "vorbis"])
def test_nothing_is_missing_in_a_whole_matroska_file(tmp_path: Path, model: DeepFilterNet, sound: str) -> None:
    signal = np.repeat(noisy_voice(seconds=1.3, rate_hz=48_000), 2, axis=0)
    source = write_film(tmp_path / "in", Film("matroska", sound=sound), signal)

    report = enhance_file(source, tmp_path / "out", strength=0, model=model)

    assert report.warnings == ()


@pytest.mark.parametrize("bit_rate", [96_000, 192_000, 256_000])
def test_an_mp3_keeps_its_level(tmp_path: Path, model: DeepFilterNet, voice: Real, bit_rate: int) -> None:
    source = write_lossy(tmp_path / "in", voice, 48_000, kind="mp3", bit_rate=bit_rate)

    enhance_file(source, tmp_path / "out", strength=0.001, model=model)

    assert level_db(read(tmp_path / "out")[0], read(source)[0]) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("report", [ReportLevel.NONE, ReportLevel.BASIC])
def test_a_target_that_the_peaks_do_not_allow_is_told(
    tmp_path: Path, model: DeepFilterNet, voice: Real, report: ReportLevel
) -> None:
    source = write_pcm(tmp_path / "in", voice, 48_000, container="WAV", subtype="PCM_16")

    told = [
        {
            warning.code
            for warning in enhance_file(
                source, tmp_path / "out", model=model, loudness_lufs=target_lufs, report=report
            ).warnings
        }
        for target_lufs in (-20.0, -6.0)
    ]

    assert WarningCode.TARGET_NOT_REACHED not in told[0]
    assert WarningCode.TARGET_NOT_REACHED in told[1]
