"""Every format: what comes out is like what went in, as long as it and aligned with it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from gpu_container.engine.audio_io import probe
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.pipeline import enhance_file
from gpu_container.engine.stft import Real
from tests.engine.files import read, read_tags, write_lossy, write_pcm
from tests.engine.signals import error_db, lag, noisy_voice

PCM = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "ULAW"),
    ("RF64", "PCM_16"),
    ("AIFF", "PCM_24"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
]
LOSSY = [("mp3", 44_100), ("m4a", 44_100), ("aac", 44_100), ("opus", 48_000)]
TOLERANCE_S = 0.05


@pytest.mark.parametrize(("container", "subtype"), PCM)
def test_pcm_keeps_format_rate_channels_and_every_frame(
    tmp_path: Path, model: DeepFilterNet, stereo: Real, container: str, subtype: str
) -> None:
    source = write_pcm(tmp_path / "in", stereo, 44_100, container=container, subtype=subtype)

    report = enhance_file(source, tmp_path / "out", strength=80, model=model)

    before, after = sf.info(source), sf.info(tmp_path / "out")
    assert (after.format, after.subtype, after.samplerate, after.channels, after.frames) == (
        before.format,
        before.subtype,
        before.samplerate,
        before.channels,
        before.frames,
    )
    assert report.output.frames == report.input.frames == stereo.shape[1]


@pytest.mark.parametrize(("kind", "rate_hz"), LOSSY)
def test_lossy_keeps_container_codec_rate_channels_length_and_alignment(
    tmp_path: Path, model: DeepFilterNet, kind: str, rate_hz: int
) -> None:
    voices = np.concatenate([noisy_voice(seconds=3.0, rate_hz=rate_hz, seed=seed) for seed in (1, 2)])
    source = write_lossy(tmp_path / "in", voices, rate_hz, kind=kind)

    report = enhance_file(source, tmp_path / "out", strength=30, model=model)

    before, _ = read(source)
    after, after_rate_hz = read(tmp_path / "out")
    assert after_rate_hz == rate_hz
    assert len(after) == 2
    assert abs(after.shape[1] - before.shape[1]) <= TOLERANCE_S * rate_hz
    assert [lag(ours, theirs) for ours, theirs in zip(after, before, strict=True)] == [0, 0]
    facts = probe(tmp_path / "out")
    assert (facts.container, facts.codec, facts.channels) == (report.input.container, report.input.codec, 2)
    assert facts.container == kind


def test_vorbis_keeps_container_codec_rate_channels_length_and_alignment(
    tmp_path: Path, model: DeepFilterNet, stereo: Real
) -> None:
    source = write_pcm(tmp_path / "in", stereo, 44_100, container="OGG", subtype="VORBIS")

    enhance_file(source, tmp_path / "out", strength=30, model=model)

    before, after = sf.info(source), sf.info(tmp_path / "out")
    assert (after.format, after.subtype, after.channels) == ("OGG", "VORBIS", 2)
    assert after.frames == before.frames
    assert lag(read(tmp_path / "out")[0][0], read(source)[0][0]) == 0


@pytest.mark.parametrize("bit_rate", [64_000, 192_000])
def test_mp3_keeps_its_bit_rate(tmp_path: Path, model: DeepFilterNet, stereo: Real, bit_rate: int) -> None:
    source = write_lossy(tmp_path / "in", stereo, 44_100, kind="mp3", bit_rate=bit_rate)

    enhance_file(source, tmp_path / "out", strength=50, model=model)

    assert (tmp_path / "out").stat().st_size == pytest.approx(source.stat().st_size, rel=0.1)


def test_a_decoded_mp3_is_as_long_as_what_was_encoded(tmp_path: Path, model: DeepFilterNet, stereo: Real) -> None:
    """The header says how much the encoder put before and after, and players trim it."""
    source = write_lossy(tmp_path / "in", stereo, 44_100, kind="mp3")

    enhance_file(source, tmp_path / "out", strength=100, model=model)

    assert read(tmp_path / "out")[0].shape == read(source)[0].shape == stereo.shape


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 96_000, 192_000])
def test_every_rate_comes_back_at_its_rate(tmp_path: Path, model: DeepFilterNet, rate_hz: int) -> None:
    source = write_pcm(
        tmp_path / "in", noisy_voice(seconds=1.5, rate_hz=rate_hz), rate_hz, container="WAV", subtype="PCM_16"
    )

    enhance_file(source, tmp_path / "out", strength=30, model=model)

    after = sf.info(tmp_path / "out")
    assert (after.samplerate, after.frames) == (rate_hz, sf.info(source).frames)
    assert lag(read(tmp_path / "out")[0][0], read(source)[0][0]) == 0


@pytest.mark.parametrize("frames", [1, 2, 479, 480, 481, 1_441])
@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_the_shortest_recordings_keep_their_length(
    tmp_path: Path, model: DeepFilterNet, frames: int, rate_hz: int
) -> None:
    signal = np.full((1, frames), 0.25, np.float32)
    source = write_pcm(tmp_path / "in", signal, rate_hz, container="WAV", subtype="PCM_16")

    enhance_file(source, tmp_path / "out", strength=70, model=model)

    assert sf.info(tmp_path / "out").frames == frames


@pytest.mark.parametrize("channels", [1, 3, 6, 8])
def test_channels_are_kept_in_order(tmp_path: Path, model: DeepFilterNet, channels: int) -> None:
    voices = np.concatenate(
        [noisy_voice(seconds=1.0, rate_hz=48_000, seed=seed, pitch_hz=90 + 20 * seed) for seed in range(channels)]
    )
    source = write_pcm(tmp_path / "in", voices, 48_000, container="WAV", subtype="FLOAT")

    enhance_file(source, tmp_path / "out", strength=100, model=model)

    assert error_db(read(tmp_path / "out")[0], model.enhance(voices)) < -100


def test_the_bytes_decide_not_the_name(tmp_path: Path, model: DeepFilterNet, stereo: Real) -> None:
    source = write_pcm(tmp_path / "talk.mp3", stereo, 44_100, container="FLAC", subtype="PCM_16")

    report = enhance_file(source, tmp_path / "talk.wav", strength=50, model=model)

    assert report.output.container == "flac"
    assert sf.info(tmp_path / "talk.wav").format == "FLAC"


@pytest.mark.parametrize("kind", ["mp3", "m4a"])
def test_tags_are_kept(tmp_path: Path, model: DeepFilterNet, stereo: Real, kind: str) -> None:
    tags = {"title": "Första samtalet", "artist": "R. Ek", "comment": "second take"}
    source = write_lossy(tmp_path / "in", stereo[:, :44_100], 44_100, kind=kind, tags=tags)

    enhance_file(source, tmp_path / "out", strength=50, model=model)

    assert tags.items() <= read_tags(tmp_path / "out").items()


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_tags_of_pcm_files_are_kept(tmp_path: Path, model: DeepFilterNet, stereo: Real, container: str) -> None:
    with sf.SoundFile(tmp_path / "in", "w", 44_100, 2, format=container, subtype="PCM_16") as file:
        file.title, file.artist = "First talk", "R. Ek"
        file.write(stereo.T)

    enhance_file(tmp_path / "in", tmp_path / "out", strength=50, model=model)

    with sf.SoundFile(tmp_path / "out") as file:
        assert (file.title, file.artist) == ("First talk", "R. Ek")
