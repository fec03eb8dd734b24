"""Files that cannot be enhanced: a clear refusal, never a crash, a hang or another exception."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_container.contract import ErrorCode
from gpu_container.engine.audio_io import DecodeLimits, decode, probe
from gpu_container.engine.byte_io import FileSource
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.errors import EngineError
from gpu_container.engine.stft import Real
from tests.engine.files import Film, facts, write_film, write_lossy, write_pcm, write_silent_film
from tests.engine.run import enhance_file
from tests.engine.signals import noisy_voice

MAGIC = {
    "none": b"",
    "mp3": b"\xff\xfb\x90\x64",
    "id3": b"ID3\x04\x00\x00\x00\x00\x00\x00",
    "wav": b"RIFF\x00\x10\x00\x00WAVEfmt \x10\x00\x00\x00",
    "flac": b"fLaC\x00\x00\x00\x22",
    "m4a": b"\x00\x00\x00\x20ftypM4A ",
    "ogg": b"OggS\x00\x02",
    "aiff": b"FORM\x00\x00\x10\x00AIFF",
    "webm": b"\x1a\x45\xdf\xa3",
}


def _refusal(path: Path) -> EngineError:
    with pytest.raises(EngineError) as caught:
        facts(path)
    assert caught.value.message
    assert str(path) not in caught.value.message
    return caught.value


@pytest.mark.parametrize("kind", MAGIC)
@pytest.mark.parametrize("size", [1, 100, 50_000])
def test_garbage_behind_a_known_beginning_is_refused(tmp_path: Path, kind: str, size: int) -> None:
    path = tmp_path / "in"
    path.write_bytes(MAGIC[kind] + np.random.default_rng(size).bytes(size))

    assert _refusal(path).code.is_input_fault


@pytest.mark.parametrize(
    "content", [b"{}", b"<html></html>", b"%PDF-1.7\n", b"PK\x03\x04" + bytes(60), b"\x89PNG\r\n\x1a\n", bytes(5_000)]
)
def test_what_is_not_audio_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "in"
    path.write_bytes(content)

    assert _refusal(path).code.is_input_fault


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.touch()

    assert _refusal(path).code is ErrorCode.INPUT_EMPTY


@pytest.mark.parametrize("container", ["WAV", "FLAC", "AIFF"])
def test_a_recording_without_samples_is_refused(tmp_path: Path, container: str) -> None:
    path = write_pcm(tmp_path / "in", np.zeros((1, 0), np.float32), 48_000, container=container, subtype="PCM_16")

    assert _refusal(path).code is ErrorCode.INPUT_EMPTY


def test_pictures_without_sound_are_refused(tmp_path: Path) -> None:
    assert _refusal(write_silent_film(tmp_path / "in")).code is ErrorCode.INPUT_NO_AUDIO


def test_too_many_channels_are_refused(tmp_path: Path) -> None:
    path = write_pcm(tmp_path / "in", np.zeros((9, 4_800), np.float32), 48_000, container="WAV", subtype="PCM_16")

    assert _refusal(path).code is ErrorCode.INPUT_TOO_MANY_CHANNELS


@pytest.mark.parametrize("rate_hz", [3_999, 192_001, 384_000])
def test_rates_out_of_reach_are_refused(tmp_path: Path, rate_hz: int) -> None:
    path = write_pcm(tmp_path / "in", np.zeros((1, 4_800), np.float32), rate_hz, container="WAV", subtype="PCM_16")

    assert _refusal(path).code is ErrorCode.INPUT_RATE_UNSUPPORTED


def test_an_m4a_without_its_index_is_refused(tmp_path: Path, voice: Real) -> None:
    path = write_lossy(tmp_path / "in", voice, 48_000, kind="m4a")
    os.truncate(path, path.stat().st_size // 2)

    assert _refusal(path).code is ErrorCode.INPUT_CORRUPT


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "AIFF"])
def test_what_is_left_of_plain_samples_that_break_off_is_used_and_the_rest_is_missed(
    tmp_path: Path, voice: Real, container: str
) -> None:
    path = write_pcm(tmp_path / "in", voice, 48_000, container=container, subtype="PCM_16")
    os.truncate(path, path.stat().st_size - 2 * 3 * 48_000)

    found, missing_s = _decode(path)

    assert found.shape == (1, 48_000)
    assert np.abs(found - voice[:, :48_000]).max() < 2**-14
    assert missing_s == pytest.approx(3.0, abs=0.001)


@pytest.mark.parametrize("kind", ["FLAC", "mp3", "mp4", "mkv"])
def test_what_is_left_of_a_counted_stream_that_breaks_off_is_used_and_the_rest_is_missed(
    tmp_path: Path, voice: Real, kind: str
) -> None:
    match kind:
        case "FLAC":
            path = write_pcm(tmp_path / "in", voice, 48_000, container="FLAC", subtype="PCM_16")
        case "mp3":
            path = write_lossy(tmp_path / "in", voice, 48_000, kind="mp3")
        case "mp4":
            path = write_film(tmp_path / "in", Film(options={"movflags": "faststart"}), voice)
        case _:
            path = write_film(tmp_path / "in", Film(muxer="matroska"), voice)
    os.truncate(path, path.stat().st_size // 2)

    found, missing_s = _decode(path)

    heard_s = found.shape[1] / 48_000
    assert 0.5 < heard_s < 3.5
    assert heard_s + missing_s == pytest.approx(4.0, abs=0.2)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "mp3", "m4a", "opus"])
def test_nothing_is_missed_in_a_whole_file(tmp_path: Path, voice: Real, kind: str) -> None:
    if kind.isupper():
        path = write_pcm(tmp_path / "in", voice, 48_000, container=kind, subtype="PCM_16")
    else:
        path = write_lossy(tmp_path / "in", voice, 48_000, kind=kind)

    assert _decode(path)[1] == pytest.approx(0.0, abs=0.001)


def test_a_wav_from_a_pipe_that_could_not_know_its_size_is_whole(tmp_path: Path, voice: Real) -> None:
    path = write_pcm(tmp_path / "in", voice, 48_000, container="WAV", subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    path.write_bytes(content)

    found, missing_s = _decode(path)

    assert found.shape == voice.shape
    assert missing_s == 0.0


def test_a_header_that_counts_too_few_samples_hides_none(tmp_path: Path, voice: Real) -> None:
    """STREAMINFO says one thing, the frames another: the frames are what is heard."""
    path = write_pcm(tmp_path / "in", voice, 48_000, container="FLAC", subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[21:26] = bytes([content[21] & 0xF0]) + (100).to_bytes(4, "big")
    path.write_bytes(content)

    assert facts(path).frames == voice.shape[1]


def test_a_header_that_lies_about_the_rate_is_believed(tmp_path: Path, voice: Real) -> None:
    """Nobody can know better; nothing breaks."""
    path = write_pcm(tmp_path / "in", voice, 48_000, container="WAV", subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[24:28] = (96_000).to_bytes(4, "little")
    path.write_bytes(content)

    assert facts(path).duration_s == pytest.approx(2.0)


def test_more_than_a_twentieth_of_broken_packets_is_too_much(tmp_path: Path, voice: Real) -> None:
    path = write_pcm(tmp_path / "in", voice, 48_000, container="FLAC", subtype="PCM_16")
    content = bytearray(path.read_bytes())
    for at in range(20_000, len(content), 4_000):
        content[at : at + 200] = np.random.default_rng(at).bytes(len(content[at : at + 200]))
    path.write_bytes(content)

    assert _refusal(path).code is ErrorCode.INPUT_CORRUPT


def test_ten_minutes_of_digital_silence_is_no_bomb(tmp_path: Path) -> None:
    with sf.SoundFile(tmp_path / "in", "w", 48_000, 2, format="FLAC", subtype="PCM_16") as file:
        for _ in range(10):
            file.write(np.zeros((48_000 * 60, 2), np.int16))

    assert facts(tmp_path / "in").duration_s == 600


def test_a_file_that_says_the_same_packet_again_and_again_is_a_bomb(tmp_path: Path) -> None:
    """QuickTime whose index points at one second of sound a thousand times."""
    path = write_film(tmp_path / "in", Film(muxer="mov", sound="pcm_s16le"), np.zeros((1, 48_000), np.float32))
    path.write_bytes(_with_repeated_sound(path.read_bytes(), times=1_000))
    assert facts(path).duration_s == pytest.approx(1_000)

    with pytest.raises(EngineError, match="far more sound"), FileSource(path) as source:
        probe(source, limits=DecodeLimits(max_expansion=500, free_expansion_bytes=2**20))


def test_a_recording_over_the_limit_is_refused_by_what_is_decoded(tmp_path: Path, voice: Real) -> None:
    path = write_lossy(tmp_path / "in", voice, 48_000, kind="mp3")

    with pytest.raises(EngineError) as caught:
        facts(path, max_duration_s=3.0)

    assert caught.value.code is ErrorCode.INPUT_TOO_LONG


@pytest.mark.parametrize("kind", ["mp3", "aac"])
def test_what_is_left_of_a_stream_that_breaks_off_is_used(tmp_path: Path, voice: Real, kind: str) -> None:
    path = write_lossy(tmp_path / "in", voice, 48_000, kind=kind)
    os.truncate(path, path.stat().st_size // 2)

    assert facts(path).duration_s == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("kind", ["mp3", "m4a", "opus"])
def test_a_stream_full_of_noise_is_refused_or_decoded(tmp_path: Path, voice: Real, kind: str) -> None:
    path = write_lossy(tmp_path / "in", voice, 48_000, kind=kind)
    content = bytearray(path.read_bytes())
    middle = slice(len(content) // 4, len(content) // 2)
    content[middle] = np.random.default_rng(1).bytes(len(content[middle]))
    path.write_bytes(content)

    _probe_or_refuse(path)


@given(
    kind=st.sampled_from(["mp3", "m4a", "opus", "WAV", "FLAC", "OGG"]),
    hits=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=40),
    keep=st.floats(0.01, 1),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_anywhere_is_refused_or_survived(
    tmp_path: Path, kind: str, hits: list[tuple[float, int]], keep: float
) -> None:
    signal = noisy_voice(seconds=0.4, rate_hz=48_000)
    path = tmp_path / "in"
    if kind.isupper():
        write_pcm(path, signal, 48_000, container=kind, subtype="VORBIS" if kind == "OGG" else "PCM_16")
    else:
        write_lossy(path, signal, 48_000, kind=kind)
    content = bytearray(path.read_bytes())
    for place, value in hits:
        content[int(place * len(content))] = value
    path.write_bytes(content[: max(1, int(keep * len(content)))])

    _probe_or_refuse(path)


def test_a_refused_file_leaves_no_result(tmp_path: Path, model: DeepFilterNet) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"not audio at all")

    with pytest.raises(EngineError):
        enhance_file(source, tmp_path / "out", strength=50, model=model)

    assert not (tmp_path / "out").exists()


def _decode(path: Path) -> tuple[Real, float]:
    """Return the samples, ``(channels, n)``, and how many seconds the engine misses."""
    with FileSource(path) as source, decode(source) as decoding:
        samples = np.concatenate(list(decoding.blocks()), axis=1)
        return samples, decoding.missing_s


def _with_repeated_sound(content: bytes, *, times: int) -> bytes:
    """Return a QuickTime file whose sound's chunk offsets all name its first chunk, ``times`` times.

    The sound is the last track, and the index the file's end: only the lengths around the offsets have to grow.
    """
    at = content.rindex(b"stco")
    first = content[at + 12 : at + 16]
    old_size = int.from_bytes(content[at - 4 : at], "big")
    table = struct.pack(">I", 16 + 4 * times) + b"stco" + bytes(4) + struct.pack(">I", times) + first * times
    grown = bytearray(content[: at - 4] + table + content[at - 4 + old_size :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        box = grown.rindex(name, 0, at) - 4
        size = int.from_bytes(grown[box : box + 4], "big") + len(table) - old_size
        grown[box : box + 4] = size.to_bytes(4, "big")
    chunk = int.from_bytes(content[content.rindex(b"stsc") + 16 : content.rindex(b"stsc") + 20], "big")
    count = grown.rindex(b"stsz") + 12
    grown[count : count + 4] = (times * chunk).to_bytes(4, "big")
    deltas = grown.rindex(b"stts") + 8
    grown[deltas : deltas + 12] = struct.pack(">3I", 1, times * chunk, 1)
    # The lengths of the edit and of the medium: more than enough.
    for name, offset in ((b"elst", 12), (b"mdhd", 20)):
        length = grown.rindex(name) + offset
        grown[length : length + 4] = (2**30).to_bytes(4, "big")
    return bytes(grown)


def _probe_or_refuse(path: Path) -> None:
    try:
        frames = facts(path).frames
    except EngineError as error:
        refused = error.code.is_input_fault
    else:
        refused = frames > 0
    assert refused
