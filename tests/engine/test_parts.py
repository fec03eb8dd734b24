"""A recording made in parts: as long as in one go, the same wherever the network has no say, and near where it has."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu_container.contract import Dereverb, ErrorCode, Part
from gpu_container.engine.audio_io import decode
from gpu_container.engine.byte_io import FileSource
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.enhancer import Enhancer
from gpu_container.engine.errors import EngineError
from gpu_container.engine.parts import enhance_part
from gpu_container.engine.stft import HOP, RATE_HZ, Real
from gpu_container.engine.wet import FolderWet, WetParts, WetStore, kept_track
from tests.engine.files import read, write_lossy, write_pcm
from tests.engine.rooms import in_room, room, talk
from tests.engine.run import enhance_file
from tests.engine.signals import error_db, level_db, noisy_voice

SAME_DB = -90.0
"""Sixteen bits or resampling, and nothing else."""

ACCEPTED_DB = -45.0
SEAM_ACCEPTED_DB = -40.0


class PlainStream:
    """Answers a few frames late, each sample by itself and not in proportion: louder or softer is another answer."""

    def __init__(self, channels: int) -> None:
        self._held = np.zeros((channels, HOP), np.float32)
        self._received = 0
        self._returned = -HOP
        self.inferences = 0

    def process(self, signal: Real) -> Real:
        both = np.concatenate([self._held, np.tanh(4 * signal) / 4], axis=1)
        ready, self._held = both[:, :-HOP], both[:, -HOP:]
        self.inferences += 1
        return self._trimmed(ready)

    def finish(self) -> Real:
        return self._trimmed(self._held)

    def fork(self, lanes: int) -> "PlainStream":
        return self._with(np.tile(self._held, (lanes, 1)))

    def keep(self, rows: slice) -> "PlainStream":
        return self._with(self._held[rows])

    def _with(self, held: Real) -> "PlainStream":
        other = PlainStream(len(held))
        other._held, other._returned, other.inferences = held, self._returned, self.inferences
        return other

    def _trimmed(self, ready: Real) -> Real:
        early = max(0, min(-self._returned, ready.shape[1]))
        self._returned += ready.shape[1]
        return ready[:, early:]


class PlainModel:
    """A network without a memory: what is not the same in parts is no fault of its."""

    name = "plain"
    rows = 4

    def stream(self, channels: int) -> PlainStream:
        return PlainStream(channels)

    def enhance(self, signal: Real) -> Real:
        return np.tanh(4 * signal) / 4


PLAIN = PlainModel()


@dataclass
class Folder:
    """Where one recording is made in parts and in one go."""

    path: Path

    def store(self, part: Part) -> FolderWet:
        folder = self.path / f"part-{part.number}"
        folder.mkdir(exist_ok=True)
        return FolderWet(folder)

    def track(self, parts: Sequence[Part]) -> WetParts:
        return WetParts(tuple((part, self.store(part)) for part in parts))

    def make(self, source: Path, part: Part, model: Enhancer, dereverb: Dereverb = Dereverb.OFF, **hooks: Any) -> int:
        with FileSource(source) as opened:
            return enhance_part(opened, part, model=model, dereverb=dereverb, wet=self.store(part), **hooks)

    def both(
        self, source: Path, parts: Sequence[Part], model: Enhancer, dereverb: Dereverb = Dereverb.OFF
    ) -> tuple[Real, Real]:
        """Return the wet tracks that were made in parts and in one go, ``(channels, n)`` each."""
        for part in parts:
            assert self.make(source, part, model, dereverb) > 0
        whole = self.store(Part(number=len(parts), start_s=0))
        enhance_file(source, self.path / "result", model=model, dereverb=dereverb, wet=whole)
        return wet(source, self.track(parts)), wet(source, whole)


def wet(source: Path, track: WetStore | WetParts) -> Real:
    """Return a kept track whole, ``(channels, n)``."""
    with FileSource(source) as opened, decode(opened) as recording, kept_track(track, recording.format) as blocks:
        assert blocks is not None
        return np.concatenate(list(blocks), axis=1)


def decoded(source: Path, start_s: int = 0) -> Real:
    """Return a recording from there on, ``(channels, n)``."""
    with FileSource(source) as opened, decode(opened, start_s=start_s) as recording:
        nothing = np.zeros((recording.format.channels, 0), np.float32)
        return np.concatenate([nothing, *recording.blocks()], axis=1)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def cut(*starts_s: int) -> list[Part]:
    """Return parts that begin there."""
    return [
        Part(number=number, start_s=start_s, end_s=end_s)
        for number, (start_s, end_s) in enumerate(zip_longest(starts_s, starts_s[1:]))
    ]


def _wav(path: Path, signal: Real, rate_hz: int = RATE_HZ, *, subtype: str = "PCM_24") -> Path:
    return write_pcm(path, signal, rate_hz, container="WAV", subtype=subtype)


def _noise(seconds: float, *, channels: int = 1, rate_hz: int = RATE_HZ, level: float = 0.1) -> Real:
    """Return noise that is never twice the same, with pauses, ``(channels, n)``."""
    frames = round(seconds * rate_hz)
    noise = np.random.default_rng(1).standard_normal((channels, frames), np.float32)
    pauses = np.sin(2 * np.pi * np.arange(frames, dtype=np.float32) / (2.7 * rate_hz)) > 0.6
    return np.where(pauses, level / 50, level).astype(np.float32) * noise


def _voice(seconds: float, *, seed: int = 0) -> Real:
    """Return a voice that pauses now and then, ``(1, n)``."""
    voice = noisy_voice(seconds=seconds, rate_hz=RATE_HZ, seed=seed)
    phrase = np.sin(2 * np.pi * np.arange(voice.shape[1]) / (2.7 * RATE_HZ)) > -0.6
    return voice * np.where(phrase, 1, 0.02).astype(np.float32)


def _recording(kind: str, path: Path) -> Path:
    match kind:
        case "mono":
            return _wav(path, _noise(66.4))
        case "16 kHz":
            return _wav(path, _noise(66.4, rate_hz=16_000), 16_000, subtype="PCM_16")
        case "stereo":
            signal = _noise(66.4, channels=2, rate_hz=44_100)
            return write_pcm(path, signal, 44_100, container="FLAC", subtype="PCM_16")
        case _:
            return write_lossy(path, _noise(66.4, channels=2, rate_hz=44_100), 44_100, kind=kind)


@pytest.mark.parametrize("kind", ["mono", "16 kHz", "stereo", "mp3", "m4a"])
def test_parts_make_the_whole(folder: Folder, tmp_path: Path, kind: str) -> None:
    source = _recording(kind, tmp_path / "in")

    in_parts, in_one_go = folder.both(source, cut(0, 25, 63), PLAIN)

    assert in_parts.shape == in_one_go.shape == decoded(source).shape
    assert error_db(in_parts, in_one_go) < SAME_DB


def test_a_result_is_made_of_parts_without_a_network(folder: Folder, tmp_path: Path) -> None:
    source = _wav(tmp_path / "in", _noise(12.3))
    parts = cut(0, 5, 9)
    in_parts, _ = folder.both(source, parts, PLAIN)

    report = enhance_file(source, tmp_path / "out", model=PLAIN, wet=folder.track(parts), loudness_lufs=-20.0)

    assert (report.wet_track, report.network_inferences, report.output.frames) == ("reused", 0, in_parts.shape[1])
    assert report.loudness_gain_db is not None
    assert report.limited_count == 0
    assert error_db(read(tmp_path / "out")[0], in_parts * 10 ** (report.loudness_gain_db / 20)) < SAME_DB


@pytest.mark.parametrize("mode", [Dereverb.AUTO, pytest.param(Dereverb.ON, marks=pytest.mark.slow)])
def test_echo_is_taken_from_the_same_places(folder: Folder, tmp_path: Path, mode: Dereverb) -> None:
    """A voice walks from the open into a room in the middle of the last part's lead-in."""
    voice = talk(seconds=75)
    heard, _ = in_room(voice, room(decay_s=0.6))
    walks = np.arange(voice.shape[1]) < 44 * RATE_HZ
    source = _wav(tmp_path / "in", np.where(walks, voice, heard))

    in_parts, in_one_go = folder.both(source, cut(0, 65), PLAIN, mode)

    assert error_db(in_parts, in_one_go) < SAME_DB
    untreated = np.tanh(4 * decoded(source)) / 4
    assert level_db((in_one_go - untreated)[:, 65 * RATE_HZ :], in_one_go) > -20


def test_a_faint_beginning_lifts_every_part_alike(folder: Folder, tmp_path: Path) -> None:
    signal = _noise(66.4)
    signal[:, : 30 * RATE_HZ] *= 0.03
    source = _wav(tmp_path / "in", signal)

    in_parts, in_one_go = folder.both(source, cut(0, 62), PLAIN)

    assert error_db(in_parts, in_one_go) < SAME_DB
    assert error_db(in_one_go, PLAIN.enhance(signal)) > -20  # it was lifted, and that is heard


@pytest.mark.parametrize("beyond_s", [0.0002, 0.01, 1.3])
def test_a_recording_may_end_anywhere_behind_a_seam(folder: Folder, tmp_path: Path, beyond_s: float) -> None:
    source = _wav(tmp_path / "in", _noise(12 + beyond_s, rate_hz=44_100), 44_100)

    in_parts, in_one_go = folder.both(source, cut(0, 4, 12), PLAIN)

    assert in_parts.shape == in_one_go.shape
    assert error_db(in_parts, in_one_go) < SAME_DB


def test_absurd_samples_are_mended_in_parts_too(folder: Folder, tmp_path: Path) -> None:
    signal = _noise(12.0)
    signal[0, [100, 7 * RATE_HZ]] = np.nan, 1e30
    source = _wav(tmp_path / "in", signal, subtype="FLOAT")

    in_parts, in_one_go = folder.both(source, cut(0, 5), PLAIN)

    assert np.isfinite(in_parts).all()
    assert error_db(in_parts, in_one_go) < SAME_DB


def test_the_networks_memory_is_taken_up(folder: Folder, tmp_path: Path, model: DeepFilterNet) -> None:
    source = _wav(tmp_path / "in", np.tile(_voice(24.0), 3))

    in_parts, in_one_go = folder.both(source, cut(0, 65), model)

    after = slice(65 * RATE_HZ, 66 * RATE_HZ)
    assert error_db(in_parts, in_one_go) < ACCEPTED_DB
    assert level_db((in_parts - in_one_go)[:, after], in_one_go) < SEAM_ACCEPTED_DB
    steepest = np.abs(np.diff(in_one_go)).max()
    assert np.abs(np.diff(in_parts)).max() < 1.1 * steepest  # no seam clicks


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2])
def test_minutes_of_speech_in_parts(folder: Folder, tmp_path: Path, model: DeepFilterNet, channels: int) -> None:
    rows = [np.concatenate([_voice(47.0, seed=row + seed) for seed in range(8)], axis=1) for row in range(channels)]
    source = _wav(tmp_path / "in", np.concatenate(rows))
    starts_s = (0, 90, 180, 270)

    in_parts, in_one_go = folder.both(source, cut(*starts_s), model, Dereverb.AUTO)

    assert error_db(in_parts, in_one_go) < ACCEPTED_DB
    for start_s in starts_s[1:]:
        after = slice(start_s * RATE_HZ, (start_s + 1) * RATE_HZ)
        assert level_db((in_parts - in_one_go)[:, after], in_one_go) < SEAM_ACCEPTED_DB


def test_a_kept_part_costs_nothing(folder: Folder, tmp_path: Path) -> None:
    source, part = _wav(tmp_path / "in", _noise(12.0)), Part(number=0, start_s=0, end_s=5)

    assert folder.make(source, part, PLAIN) > 0
    kept = (tmp_path / "part-0" / "wet").read_bytes()
    assert folder.make(source, part, model=None) == 0  # type: ignore[arg-type]

    assert (tmp_path / "part-0" / "wet").read_bytes() == kept


def test_a_part_of_something_else_is_made_anew(folder: Folder, tmp_path: Path) -> None:
    part = Part(number=0, start_s=0, end_s=5)
    folder.make(_wav(tmp_path / "other", _noise(6.0, rate_hz=16_000), 16_000), part, PLAIN)

    assert folder.make(_wav(tmp_path / "in", _noise(6.0)), part, PLAIN) > 0


@pytest.mark.parametrize("damage", ["missing", "no audio", "broken off", "shorter"])
def test_a_damaged_part_is_our_fault_and_costs_no_sound(folder: Folder, tmp_path: Path, damage: str) -> None:
    source, parts = _wav(tmp_path / "in", _noise(12.0)), cut(0, 4, 8)
    for part in parts:
        folder.make(source, part, PLAIN)
    track = tmp_path / "part-1" / "wet"
    match damage:
        case "missing":
            track.unlink()
        case "no audio":
            track.write_bytes(b"fLaC" + bytes(1_000))
        case "broken off":
            track.write_bytes(track.read_bytes()[: track.stat().st_size // 2])
        case "shorter":
            track.unlink()
            folder.make(_wav(tmp_path / "other", _noise(6.0)), parts[1], PLAIN)

    with pytest.raises(EngineError) as caught:
        enhance_file(source, tmp_path / "out", model=PLAIN, wet=folder.track(parts))

    assert caught.value.code is ErrorCode.ENGINE_FAILED
    assert not (tmp_path / "out").exists()


def test_a_part_behind_the_end_is_not_kept(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="behind"):
        folder.make(_wav(tmp_path / "in", _noise(6.0)), Part(number=1, start_s=6), PLAIN)

    assert not (tmp_path / "part-1" / "wet").exists()


def test_a_part_that_lies_before_the_damage_is_made(folder: Folder, tmp_path: Path) -> None:
    source, parts = write_pcm(tmp_path / "in", _noise(60.0), RATE_HZ, container="FLAC", subtype="PCM_16"), cut(0, 5)
    recording = bytearray(source.read_bytes())
    for at in range(len(recording) // 2, len(recording), 2_000):
        recording[at] ^= 0xFF
    source.write_bytes(recording)

    assert folder.make(source, parts[0], PLAIN) > 0
    with pytest.raises(EngineError) as caught:
        folder.make(source, parts[1], PLAIN)

    assert caught.value.code is ErrorCode.INPUT_CORRUPT
    assert not (tmp_path / "part-1" / "wet").exists()


def test_each_part_tells_how_much_of_it_is_made(folder: Folder, tmp_path: Path) -> None:
    source = _wav(tmp_path / "in", _noise(70.0))
    for part, length_s in zip(cut(0, 50), (52, 20), strict=True):
        told: list[tuple[float, float]] = []
        folder.make(source, part, PLAIN, on_progress=lambda *at, told=told: told.append(at))
        assert {total_s for _, total_s in told} == {length_s}
        assert sorted(told) == told
        assert 0 < told[len(told) // 2][0] < length_s
        assert told[-1][0] == pytest.approx(length_s)


def test_a_cancelled_part_is_not_kept(folder: Folder, tmp_path: Path) -> None:
    answers = iter([False] * 8)

    with pytest.raises(EngineError) as caught:
        folder.make(
            _wav(tmp_path / "in", _noise(30.0)),
            Part(number=0, start_s=0),
            PLAIN,
            is_cancelled=lambda: next(answers, True),
        )

    assert caught.value.code is ErrorCode.CANCELLED
    assert not (tmp_path / "part-0" / "wet").exists()


def test_an_answer_that_is_no_number_is_not_kept(folder: Folder, tmp_path: Path) -> None:
    class BrokenStream(PlainStream):
        def process(self, signal: Real) -> Real:
            return super().process(signal) * np.float32(np.nan)

    class Broken(PlainModel):
        def stream(self, channels: int) -> PlainStream:
            return BrokenStream(channels)

    with pytest.raises(EngineError, match="not numbers"):
        folder.make(_wav(tmp_path / "in", _noise(6.0)), Part(number=0, start_s=0), Broken())

    assert not (tmp_path / "part-0" / "wet").exists()


@pytest.mark.parametrize(
    "ends",
    [[(0, 10), (12, None)], [(0, 10), (8, None)], [(0, 10)], [(5, None)], [(0, 2), (2, None)], [(0, None), (5, None)]],
    ids=["gap", "overlap", "no end", "no beginning", "no room for a seam", "an end too early"],
)
def test_parts_must_make_a_whole(tmp_path: Path, ends: list[tuple[int, int | None]]) -> None:
    parts = [Part(number=number, start_s=start_s, end_s=end_s) for number, (start_s, end_s) in enumerate(ends)]

    with pytest.raises(ValueError, match="part"):
        WetParts(tuple((part, FolderWet(tmp_path)) for part in parts))


@pytest.mark.parametrize("kind", ["stereo", "mono", "mp3", "m4a", "opus"])
@pytest.mark.parametrize("start_s", [1, 7, 12, 30])
def test_decoding_begins_to_the_sample(tmp_path: Path, kind: str, start_s: int) -> None:
    rate_hz = 48_000 if kind == "opus" else 44_100
    signal = _noise(12.3, channels=2, rate_hz=rate_hz)
    source = tmp_path / "in"
    if kind in {"stereo", "mono"}:
        write_pcm(source, signal, rate_hz, container="FLAC" if kind == "stereo" else "AIFF", subtype="PCM_16")
    else:
        write_lossy(source, signal, rate_hz, kind=kind)

    assert np.array_equal(decoded(source, start_s), decoded(source)[:, start_s * rate_hz :])
