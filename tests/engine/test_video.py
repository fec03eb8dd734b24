"""Films: the picture comes back bit by bit, the sound changed and in its place."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from gpu_container.contract import ErrorCode, OutputFormat, WarningCode
from gpu_container.engine.audio_io import decode
from gpu_container.engine.byte_io import FileSource
from gpu_container.engine.errors import EngineError
from gpu_container.engine.stft import Real
from scripts import formats_table
from tests.engine.files import Film, pass_on, read, read_reel, write_film
from tests.engine.signals import noisy_voice

FILMS = {
    "mp4": Film(),
    "mp4-mpeg4": Film(picture="mpeg4"),
    "mp4-late": Film(sound_start_s=0.4),
    "mp4-tracks": Film(further_sound=True, subtitles="mov_text"),
    "mp4-opus": Film(sound="libopus"),
    "mp4-alac": Film(sound="alac"),
    "mov": Film(muxer="mov"),
    "mov-pcm": Film(muxer="mov", sound="pcm_s24le"),
    "mov-late": Film(muxer="mov", sound="pcm_s16le", sound_start_s=0.25),
    "mkv": Film(muxer="matroska", subtitles="subrip", further_sound=True),
    "mkv-flac": Film(muxer="matroska", sound="flac"),
    "mkv-opus": Film(muxer="matroska", sound="libopus", sound_start_s=0.4),
    "mkv-mp3": Film(muxer="matroska", sound="libmp3lame"),
    "webm": Film(muxer="webm", picture="libvpx", sound="libopus"),
    "webm-late": Film(muxer="webm", picture="libvpx", sound="libopus", sound_start_s=0.3, subtitles="webvtt"),
}
PNG = b"\x89PNG\r\n\x1a\n" + bytes.fromhex(
    "0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)
IN_SYNC_S = 0.002
"""Matroska counts milliseconds; the others are exact."""


@pytest.fixture
def scene() -> Real:
    """Two seconds at 48 kHz, ``(2, n)``, with a click in the middle."""
    sound = 0.3 * np.concatenate([noisy_voice(seconds=2.0, rate_hz=48_000, seed=seed) for seed in (1, 2)])
    sound[:, 48_000:48_010] = 0.9
    return sound.astype(np.float32)


@pytest.mark.parametrize("name", FILMS)
def test_pictures_and_other_streams_stay_bit_by_bit_and_the_sound_in_its_place(
    tmp_path: Path, scene: Real, name: str
) -> None:
    source = write_film(tmp_path / "in", FILMS[name], scene)

    warnings = pass_on(source, tmp_path / "out", gain=0.5)

    before, after = read_reel(source), read_reel(tmp_path / "out")
    assert after.streams == before.streams
    assert after.packets == before.packets
    assert after.picture_s == before.picture_s
    assert after.click_s == pytest.approx(before.click_s, abs=IN_SYNC_S)
    assert warnings == ()


@pytest.mark.parametrize("name", FILMS)
def test_the_sound_is_the_one_that_was_given_and_as_long(tmp_path: Path, scene: Real, name: str) -> None:
    source = write_film(tmp_path / "in", FILMS[name], scene)

    pass_on(source, tmp_path / "out", gain=0.5)

    with FileSource(source) as before, decode(before) as was, FileSource(tmp_path / "out") as after:
        one = np.concatenate(list(was.blocks()), axis=1)
        with decode(after) as became:
            other = np.concatenate(list(became.blocks()), axis=1)
            assert (became.format.container, became.format.codec) == (was.format.container, was.format.codec)
    assert abs(one.shape[1] - other.shape[1]) <= 0.001 * 48_000
    assert np.abs(other).max() == pytest.approx(0.5 * np.abs(one).max(), rel=0.15)


def test_a_codec_that_cannot_be_written_becomes_another_and_is_named(tmp_path: Path, scene: Real) -> None:
    source = write_film(tmp_path / "in", Film(muxer="webm", picture="libvpx", sound="vorbis"), scene)

    warnings = pass_on(source, tmp_path / "out")

    assert warnings == (WarningCode.FORMAT_CHANGED,)
    before, after = read_reel(source), read_reel(tmp_path / "out")
    assert after.streams == (before.streams[0], ("audio", "opus"))
    assert after.packets == before.packets


def test_a_film_whose_sound_cannot_be_decoded_is_refused(tmp_path: Path, scene: Real) -> None:
    source = write_film(tmp_path / "in", Film(muxer="mpegts"), scene[:, :48_000])

    with pytest.raises(EngineError, match="not supported") as caught, FileSource(source) as original, decode(original):
        pass

    assert caught.value.code is ErrorCode.INPUT_UNSUPPORTED


@pytest.mark.parametrize("wanted", list(OutputFormat))
def test_a_chosen_format_takes_the_sound_alone(tmp_path: Path, scene: Real, wanted: OutputFormat) -> None:
    source = write_film(tmp_path / "in", Film(further_sound=True), scene)

    pass_on(source, tmp_path / "out", wanted)

    with av.open(str(tmp_path / "out")) as file:
        assert [stream.type for stream in file.streams] == ["audio"]
    assert read(tmp_path / "out")[0].shape[1] == pytest.approx(scene.shape[1], abs=2_000)


def test_the_default_track_is_the_one_that_is_changed(tmp_path: Path, scene: Real) -> None:
    source = write_film(tmp_path / "in", Film(muxer="matroska", sound="flac", further_sound=True), scene)

    pass_on(source, tmp_path / "out", gain=0.5)

    with av.open(str(source)) as before, av.open(str(tmp_path / "out")) as after:
        packets = [[bytes(p) for p in file.demux(file.streams.audio[1])] for file in (before, after)]
    assert packets[0] == packets[1]
    assert np.abs(read(tmp_path / "out")[0]).max() == pytest.approx(0.5 * np.abs(read(source)[0]).max(), rel=0.01)


def test_a_film_turned_upright_stays_so(tmp_path: Path, scene: Real) -> None:
    source = write_film(tmp_path / "in", Film(), scene[:, :24_000])
    content = bytearray(source.read_bytes())
    # A phone's film: the matrix of the track header (ISO 14496-12, 8.3.2) turns the picture by a quarter.
    matrix = content.index(b"tkhd") + 4 + 40
    content[matrix : matrix + 20] = struct.pack(">5i", 0, 65_536, 0, -65_536, 0)
    source.write_bytes(content)

    pass_on(source, tmp_path / "out")

    with av.open(str(source)) as before, av.open(str(tmp_path / "out")) as after:
        turned = [next(file.decode(video=0)).rotation for file in (before, after)]
    assert turned == [-90, -90]


def test_matroska_keeps_its_attachments_and_chapters(tmp_path: Path, scene: Real) -> None:
    chapter = {"id": 1, "start": 0, "end": 900, "time_base": Fraction(1, 1_000), "metadata": {"title": "One"}}
    with av.open(str(tmp_path / "in"), "w", format="matroska") as file:
        stream = file.add_stream("flac", rate=48_000, layout="stereo")
        file.add_attachment("face.ttf", "application/x-truetype-font", b"letters")
        file.add_attachment("cover.png", "image/png", PNG)
        file.set_chapters([chapter])
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(scene.T).reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))

    pass_on(tmp_path / "in", tmp_path / "out")

    assert PNG in (tmp_path / "out").read_bytes()
    assert b"letters" in (tmp_path / "out").read_bytes()
    with av.open(str(tmp_path / "out")) as file:
        assert [found["metadata"] for found in file.chapters()] == [{"title": "One"}]


def test_a_gap_in_the_sound_is_kept_as_silence(tmp_path: Path, scene: Real) -> None:
    """A recorder that lost half a second must not let the words run ahead of the lips."""
    source = write_film(tmp_path / "whole", Film(muxer="matroska", sound="pcm_s16le"), scene)
    with av.open(str(source)) as whole, av.open(str(tmp_path / "in"), "w", format="matroska") as file:
        targets = [file.add_stream_from_template(stream, opaque=True) for stream in whole.streams]
        for packet in whole.demux():
            lost = packet.stream.type == "audio" and packet.pts is not None and 300 <= packet.pts < 800
            if packet.size and not lost:
                packet.stream = targets[packet.stream_index]
                file.mux_one(packet)

    pass_on(tmp_path / "in", tmp_path / "out")

    assert read_reel(tmp_path / "out").click_s == pytest.approx(read_reel(source).click_s, abs=0.03)
    assert read(tmp_path / "out")[0].shape[1] == pytest.approx(scene.shape[1], abs=2_000)


def test_the_formats_table_shows_what_stayed(
    tmp_path: Path, scene: Real, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_film(tmp_path / "film", Film(), scene)
    (tmp_path / "text").write_text("no sound")
    monkeypatch.setattr("sys.argv", ["formats_table", str(tmp_path)])

    assert formats_table.main() == 1

    film, text = capsys.readouterr().out.splitlines()[2:]
    assert "aac | 48000 | 2 | fltp |" in film
    assert "identical" in film
    assert "input_corrupt" in text
