"""Every format: what comes out is like what went in, as long as it and aligned with it."""

import base64
import struct
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf

from gpu_container.contract import ErrorCode, OutputFormat, WarningCode
from gpu_container.engine.audio_io import decode
from gpu_container.engine.byte_io import FileSource
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.errors import EngineError
from gpu_container.engine.formats import AudioFormat, output_spec
from gpu_container.engine.stft import Real
from tests.engine.files import facts, pass_on, read, read_covers, read_tags, write_lossy, write_pcm, write_with_cover
from tests.engine.run import enhance_file
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
    found = facts(tmp_path / "out")
    assert (found.container, found.codec, found.channels) == (report.input.container, report.input.codec, 2)
    assert found.container == kind


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


# Without the network: what the files alone do.

EXACT = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "ALAW")),
    *(("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("AIFF", "PCM_S8")),
    *(("FLAC", "PCM_16"), ("FLAC", "PCM_24")),
]


@pytest.mark.parametrize(("container", "subtype"), EXACT)
def test_samples_that_nobody_changed_come_back_bit_by_bit(
    tmp_path: Path, stereo: Real, container: str, subtype: str
) -> None:
    loud = np.clip(4 * stereo, -1, 1).astype(np.float32)
    source = write_pcm(tmp_path / "in", loud, 44_100, container=container, subtype=subtype)

    pass_on(source, tmp_path / "out")

    after, before = sf.info(tmp_path / "out"), sf.info(source)
    assert (after.format, after.subtype) == (before.format, before.subtype)
    assert np.array_equal(sf.read(tmp_path / "out")[0], sf.read(source)[0])


def test_32_bits_keep_what_a_float_can_hold(tmp_path: Path, stereo: Real) -> None:
    source = write_pcm(tmp_path / "in", stereo, 44_100, container="WAV", subtype="PCM_32")

    pass_on(source, tmp_path / "out")

    assert sf.info(tmp_path / "out").subtype == "PCM_32"
    assert np.abs(sf.read(tmp_path / "out")[0] - sf.read(source)[0]).max() < 2**-24


@pytest.mark.parametrize("bits", [16, 24])
def test_alac_comes_back_bit_by_bit(tmp_path: Path, stereo: Real, bits: int) -> None:
    wav = write_pcm(tmp_path / "wav", stereo, 44_100, container="WAV", subtype=f"PCM_{bits}")
    with av.open(str(wav)) as plain, av.open(str(tmp_path / "in"), "w", format="ipod") as file:
        stream = file.add_stream("alac", rate=44_100, layout="stereo")
        stream.codec_context.format = f"s{16 if bits == 16 else 32}p"
        for frame in plain.decode(audio=0):
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))

    pass_on(tmp_path / "in", tmp_path / "out")

    assert facts(tmp_path / "out") == facts(tmp_path / "in")
    assert np.array_equal(read(tmp_path / "out")[0], read(wav)[0])


@pytest.mark.parametrize("kind", ["mp3", "m4a", "opus"])
@pytest.mark.parametrize("frames", [50, 1_023, 50_001])
def test_lossy_files_of_any_length_keep_it_over_generations(tmp_path: Path, kind: str, frames: int) -> None:
    signal = np.tile(noisy_voice(seconds=2.0, rate_hz=48_000)[:, :frames], (2, 1))
    write_lossy(tmp_path / "0", signal, 48_000, kind=kind)

    for generation in range(3):
        pass_on(tmp_path / f"{generation}", tmp_path / f"{generation + 1}")

    assert facts(tmp_path / "3").frames == facts(tmp_path / "0").frames
    # FFmpeg's own M4A rounds to milliseconds, and its MP3 decoder has a shortest output.
    assert facts(tmp_path / "0").frames == pytest.approx(frames, abs=0.001 * 48_000)
    if frames > 10_000:
        assert lag(read(tmp_path / "3")[0][0], signal[0]) == 0


@pytest.mark.parametrize(
    ("muxer", "encoder"), [("mp3", "libmp3lame"), ("flac", "flac"), ("mp4", "aac"), ("mp4", "alac")]
)
def test_the_picture_on_the_cover_stays(tmp_path: Path, stereo: Real, muxer: str, encoder: str) -> None:
    source = write_with_cover(tmp_path / "in", stereo, 44_100, muxer=muxer, encoder=encoder)

    assert pass_on(source, tmp_path / "out") == ()

    assert read_covers(tmp_path / "out") == read_covers(source) != []
    assert facts(tmp_path / "out").frames == stereo.shape[1]


def test_a_chosen_format_takes_the_cover_along_or_says_that_it_cannot(tmp_path: Path, stereo: Real) -> None:
    source = write_with_cover(tmp_path / "in", stereo, 44_100, muxer="mp3", encoder="libmp3lame")

    assert pass_on(source, tmp_path / "m4a", OutputFormat.M4A) == ()
    assert pass_on(source, tmp_path / "wav", OutputFormat.WAV) == (WarningCode.COVER_DROPPED,)

    assert read_covers(tmp_path / "m4a") == read_covers(source)


def test_an_opus_file_loses_its_picture_and_says_so(tmp_path: Path, voice: Real) -> None:
    block = struct.pack(">II", 3, 9) + b"image/png" + struct.pack(">6I", 0, 1, 1, 24, 0, 8) + b"\x89PNG\r\n\x1a\n"
    tags = {"METADATA_BLOCK_PICTURE": base64.b64encode(block).decode(), "TITLE": "Talk"}
    source = write_lossy(tmp_path / "in", voice, 48_000, kind="opus", tags=tags)

    assert pass_on(source, tmp_path / "out") == (WarningCode.COVER_DROPPED,)

    assert read_tags(tmp_path / "out")["title"] == "Talk"


def test_variable_bit_rate_stays_variable_around_the_same_mean(tmp_path: Path, stereo: Real) -> None:
    with av.open(str(tmp_path / "in"), "w", format="mp3") as file:
        stream = file.add_stream("libmp3lame", rate=44_100, layout="stereo", options={"abr": "1"})
        stream.bit_rate = 96_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(stereo), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 44_100, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))

    pass_on(tmp_path / "in", tmp_path / "out")

    assert b"Xing" in (tmp_path / "out").read_bytes()[:1_000]
    assert (tmp_path / "out").stat().st_size == pytest.approx((tmp_path / "in").stat().st_size, rel=0.15)


@pytest.mark.parametrize(
    ("wanted", "container", "codec", "rate_hz"),
    [
        (OutputFormat.WAV, "wav", "pcm_24", 96_000),
        (OutputFormat.FLAC, "flac", "flac", 96_000),
        (OutputFormat.MP3, "mp3", "mp3", 48_000),
        (OutputFormat.M4A, "m4a", "aac", 96_000),
        (OutputFormat.OPUS, "opus", "opus", 48_000),
        (OutputFormat.OGG, "ogg", "vorbis", 96_000),
    ],
)
def test_a_chosen_format_keeps_the_rate_where_its_codec_can(
    tmp_path: Path, wanted: OutputFormat, container: str, codec: str, rate_hz: int
) -> None:
    voice = noisy_voice(seconds=1.0, rate_hz=96_000)
    source = write_pcm(tmp_path / "in", voice, 96_000, container="WAV", subtype="PCM_24")

    with FileSource(source) as original, decode(original) as decoding:
        assert output_spec(decoding.format, wanted).format.rate_hz == rate_hz
    pass_on(source, tmp_path / "out", wanted)

    found = facts(tmp_path / "out")
    assert (found.container, found.codec, found.rate_hz) == (container, codec, rate_hz)


@pytest.mark.parametrize(
    ("wanted", "rate_hz", "expected_hz"),
    [
        (OutputFormat.MP3, 88_200, 44_100),
        (OutputFormat.MP3, 8_000, 8_000),
        (OutputFormat.MP3, 37_800, 44_100),
        (OutputFormat.M4A, 192_000, 96_000),
        (OutputFormat.OPUS, 8_000, 48_000),
        (OutputFormat.OGG, 22_050, 22_050),
    ],
)
def test_rates_that_a_codec_does_not_take(wanted: OutputFormat, rate_hz: int, expected_hz: int) -> None:
    found = AudioFormat("wav", "pcm_16", rate_hz, 1, subtype="PCM_16", major="WAV", bits=16)

    assert output_spec(found, wanted).format.rate_hz == expected_hz


def test_six_channels_are_not_mixed_down_for_mp3() -> None:
    found = AudioFormat("wav", "pcm_16", 48_000, 6, subtype="PCM_16", major="WAV", bits=16)

    with pytest.raises(EngineError, match="at most 2 channels") as caught:
        output_spec(found, OutputFormat.MP3)

    assert caught.value.code is ErrorCode.INPUT_TOO_MANY_CHANNELS


@pytest.mark.parametrize("wanted", [None, OutputFormat.WAV, OutputFormat.FLAC, OutputFormat.M4A, OutputFormat.OPUS])
@pytest.mark.parametrize("channels", [6, 8])
def test_many_channels_go_into_every_format_that_holds_them(
    tmp_path: Path, channels: int, wanted: OutputFormat | None
) -> None:
    voices = [noisy_voice(seconds=0.5, rate_hz=48_000, seed=seed, pitch_hz=90 + 30 * seed) for seed in range(channels)]
    signal = np.concatenate(voices)
    source = write_pcm(tmp_path / "in", signal, 48_000, container="WAV", subtype="PCM_16")

    pass_on(source, tmp_path / "out", wanted)

    after = _decoded(tmp_path / "out")
    assert after.shape == signal.shape
    # The channel for low frequencies keeps only those; the others are still where they were.
    full = [index for index in range(channels) if index != 3]
    assert [lag(after[index], signal[index]) for index in full] == [0] * len(full)
    likeness = np.corrcoef(np.concatenate([signal[full], after[full]]))[: len(full), len(full) :]
    assert np.argmax(likeness, axis=1).tolist() == list(range(len(full)))


def test_ten_hours_of_wav_are_counted_in_64_bits() -> None:
    long = AudioFormat("flac", "flac", 48_000, 2, bits=24, declared_s=36_000.0, is_declared_exactly=True)
    short = replace(long, declared_s=3_600.0)

    assert output_spec(long, OutputFormat.WAV).format.major == "RF64"
    assert output_spec(short, OutputFormat.WAV).format.major == "WAV"


@pytest.mark.parametrize("container", ["amr", "3gp"])
def test_speech_of_telephones_keeps_its_codec(tmp_path: Path, container: str) -> None:
    voice = noisy_voice(seconds=1.0, rate_hz=8_000)
    with av.open(str(tmp_path / "in"), "w", format=container) as file:
        stream = file.add_stream("libopencore_amrnb", rate=8_000, layout="mono")
        stream.bit_rate = 12_200
        frame = av.AudioFrame.from_ndarray(voice, format="flt", layout="mono")
        frame.sample_rate, frame.pts = 8_000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))

    pass_on(tmp_path / "in", tmp_path / "out")

    found = facts(tmp_path / "out")
    assert (found.container, found.codec, found.rate_hz) == (container, "amr_nb", 8_000)


def _decoded(path: Path) -> Real:
    with FileSource(path) as source, decode(source) as decoding:
        return np.concatenate(list(decoding.blocks()), axis=1)


@pytest.mark.parametrize("frames", [44_101, 44_117, 100_003])
def test_a_whole_flac_file_of_any_length_is_not_called_cut_short(
    tmp_path: Path, model: DeepFilterNet, frames: int
) -> None:
    signal = noisy_voice(seconds=3, rate_hz=44_100)[:, :frames]
    source = write_pcm(tmp_path / "in", signal, 44_100, container="FLAC", subtype="PCM_16")

    report = enhance_file(source, tmp_path / "out", strength=50, model=model)

    assert WarningCode.TRUNCATED not in {warning.code for warning in report.warnings}
