"""Files that cannot be enhanced: a clear refusal, never a crash, a hang or another exception."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_container.contract import ErrorCode
from gpu_container.engine.audio_io import probe
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.errors import EngineError
from gpu_container.engine.pipeline import enhance_file
from gpu_container.engine.stft import Real
from tests.engine.files import write_lossy, write_pcm, write_video
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
        probe(path)
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
    assert _refusal(write_video(tmp_path / "in")).code in {ErrorCode.INPUT_NO_AUDIO, ErrorCode.INPUT_UNSUPPORTED}


def test_video_is_refused(tmp_path: Path, voice: Real) -> None:
    assert _refusal(write_video(tmp_path / "in", sound=voice[:, :24_000])).code is ErrorCode.INPUT_UNSUPPORTED


def test_too_many_channels_are_refused(tmp_path: Path) -> None:
    path = write_pcm(tmp_path / "in", np.zeros((9, 4_800), np.float32), 48_000, container="WAV", subtype="PCM_16")

    assert _refusal(path).code is ErrorCode.INPUT_TOO_MANY_CHANNELS


@pytest.mark.parametrize("rate_hz", [3_999, 192_001, 384_000])
def test_rates_out_of_reach_are_refused(tmp_path: Path, rate_hz: int) -> None:
    path = write_pcm(tmp_path / "in", np.zeros((1, 4_800), np.float32), rate_hz, container="WAV", subtype="PCM_16")

    assert _refusal(path).code is ErrorCode.INPUT_RATE_UNSUPPORTED


def test_a_flac_that_breaks_off_is_refused(tmp_path: Path, voice: Real) -> None:
    path = write_pcm(tmp_path / "in", voice, 48_000, container="FLAC", subtype="PCM_16")
    os.truncate(path, path.stat().st_size // 2)

    assert _refusal(path).code is ErrorCode.INPUT_CORRUPT


def test_an_m4a_without_its_index_is_refused(tmp_path: Path, voice: Real) -> None:
    path = write_lossy(tmp_path / "in", voice, 48_000, kind="m4a")
    os.truncate(path, path.stat().st_size // 2)

    assert _refusal(path).code is ErrorCode.INPUT_CORRUPT


def test_what_is_left_of_a_wav_that_breaks_off_is_used(tmp_path: Path, voice: Real) -> None:
    path = write_pcm(tmp_path / "in", voice, 48_000, container="WAV", subtype="PCM_16")
    os.truncate(path, 44 + 2 * 48_000)

    assert probe(path).frames == 48_000


@pytest.mark.parametrize("kind", ["mp3", "aac"])
def test_what_is_left_of_a_stream_that_breaks_off_is_used(tmp_path: Path, voice: Real, kind: str) -> None:
    path = write_lossy(tmp_path / "in", voice, 48_000, kind=kind)
    os.truncate(path, path.stat().st_size // 2)

    assert probe(path).duration_s == pytest.approx(2.0, abs=0.2)


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


def _probe_or_refuse(path: Path) -> None:
    try:
        frames = probe(path).frames
    except EngineError as error:
        refused = error.code.is_input_fault
    else:
        refused = frames > 0
    assert refused
