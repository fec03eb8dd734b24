"""The kept wet track: the same sound as the network's own, whatever the input, and never a wrong one."""

from pathlib import Path

import numpy as np
import pytest

from gpu_container.contract import ErrorCode
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.errors import EngineError
from gpu_container.engine.stft import Real
from gpu_container.engine.wet import FolderWet
from tests.engine.files import read, write_lossy, write_pcm
from tests.engine.run import enhance_file
from tests.engine.signals import error_db, noisy_voice


@pytest.fixture
def wet(tmp_path: Path) -> FolderWet:
    folder = tmp_path / "wet"
    folder.mkdir()
    return FolderWet(folder)


def _wav(path: Path, signal: Real, *, rate_hz: int = 48_000, subtype: str = "PCM_24") -> Path:
    return write_pcm(path, signal, rate_hz, container="WAV", subtype=subtype)


@pytest.mark.parametrize("kind", [(48_000, "PCM_24"), (44_100, "PCM_16"), (96_001, "FLOAT")])
@pytest.mark.parametrize("strength", [40, 100])
def test_a_kept_track_gives_the_same_sound(
    tmp_path: Path, model: DeepFilterNet, wet: FolderWet, kind: tuple[int, str], strength: float
) -> None:
    rate_hz, subtype = kind
    signal = np.concatenate([noisy_voice(seconds=1.5, rate_hz=rate_hz, seed=seed) for seed in (1, 2)])
    source = _wav(tmp_path / "in", signal, rate_hz=rate_hz, subtype=subtype)

    first = enhance_file(source, tmp_path / "first", strength=strength, model=model, wet=wet)
    second = enhance_file(source, tmp_path / "second", strength=strength, model=model, wet=wet)

    assert (first.wet_track, second.wet_track, second.network_inferences) == ("computed", "reused", 0)
    assert np.array_equal(read(tmp_path / "second")[0], read(tmp_path / "first")[0])


@pytest.mark.parametrize("kind", ["mp3", "m4a"])
def test_a_kept_track_gives_the_same_bytes_where_the_encoder_magnifies_the_last_bit(
    tmp_path: Path, model: DeepFilterNet, wet: FolderWet, voice: Real, kind: str
) -> None:
    source = write_lossy(tmp_path / "in", voice, 48_000, kind=kind)

    for name in ("first", "second"):
        enhance_file(source, tmp_path / name, strength=60, model=model, wet=wet)

    assert np.array_equal(read(tmp_path / "second")[0], read(tmp_path / "first")[0])


def test_a_kept_track_is_the_networks_own_to_the_last_of_its_bits(
    tmp_path: Path, model: DeepFilterNet, wet: FolderWet, voice: Real
) -> None:
    source = _wav(tmp_path / "in", voice, subtype="FLOAT")

    enhance_file(source, tmp_path / "kept", strength=100, model=model, wet=wet)
    enhance_file(source, tmp_path / "alone", strength=100, model=model)

    assert np.abs(read(tmp_path / "kept")[0] - read(tmp_path / "alone")[0]).max() <= 2.0**-22


def test_a_recording_far_beyond_full_scale_is_kept_whole(
    tmp_path: Path, model: DeepFilterNet, wet: FolderWet, voice: Real
) -> None:
    source = _wav(tmp_path / "in", 30 * voice, subtype="FLOAT")

    for name in ("first", "second"):
        enhance_file(source, tmp_path / name, strength=70, model=model, wet=wet)

    assert np.abs(read(tmp_path / "first")[0]).max() > 8
    assert error_db(read(tmp_path / "second")[0], read(tmp_path / "first")[0]) < -100


def test_a_recording_far_beyond_full_scale_is_brought_down_undistorted(
    tmp_path: Path, model: DeepFilterNet, voice: Real
) -> None:
    source = _wav(tmp_path / "in", 30 * voice, subtype="FLOAT")

    enhance_file(source, tmp_path / "loud", model=model)
    report = enhance_file(source, tmp_path / "quiet", model=model, loudness_lufs=-30.0)

    assert report.loudness_gain_db is not None
    expected = read(tmp_path / "loud")[0] * np.float32(10 ** (report.loudness_gain_db / 20))
    assert error_db(read(tmp_path / "quiet")[0], expected) < -100


@pytest.mark.parametrize("other", ["rate", "channels", "not audio"])
def test_a_track_that_cannot_be_this_recordings_is_made_anew(
    tmp_path: Path, model: DeepFilterNet, wet: FolderWet, voice: Real, other: str
) -> None:
    source = _wav(tmp_path / "in", voice)
    if other == "not audio":
        (wet.folder / "wet").write_bytes(b"fLaC" + bytes(1_000))
    else:
        left = voice if other == "rate" else np.concatenate([voice, voice])
        foreign = _wav(tmp_path / "foreign", left, rate_hz=44_100 if other == "rate" else 48_000)
        enhance_file(foreign, tmp_path / "out", model=model, wet=wet)

    assert enhance_file(source, tmp_path / "out", model=model, wet=wet).wet_track == "computed"
    assert enhance_file(source, tmp_path / "out", model=model, wet=wet).wet_track == "reused"


@pytest.mark.parametrize("damage", ["shorter", "broken off"])
def test_a_track_that_ends_early_is_our_fault_and_costs_no_sound(
    tmp_path: Path, model: DeepFilterNet, wet: FolderWet, voice: Real, damage: str
) -> None:
    kept = voice[:, :96_000] if damage == "shorter" else voice
    enhance_file(_wav(tmp_path / "other", kept), tmp_path / "out", model=model, wet=wet)
    if damage == "broken off":
        track = wet.folder / "wet"
        track.write_bytes(track.read_bytes()[: track.stat().st_size // 2])

    with pytest.raises(EngineError) as caught:
        enhance_file(_wav(tmp_path / "in", voice), tmp_path / "out", model=model, wet=wet)

    assert caught.value.code is ErrorCode.ENGINE_FAILED
    assert not (tmp_path / "out").exists()
