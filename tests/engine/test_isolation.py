"""What a hostile file can do to the process that asked for it: nothing."""

import contextlib
import errno
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from gpu_container.contract import ErrorCode
from gpu_container.engine import audio_io
from gpu_container.engine.audio_io import DecodeLimits, decode, encode, probe
from gpu_container.engine.byte_io import FileSource
from gpu_container.engine.errors import DeadlineError, EngineError
from gpu_container.engine.formats import AudioFormat, Copies, OutputSpec
from gpu_container.engine.isolation.jobs import CHUNK_BYTES
from gpu_container.engine.isolation.nursery import NURSERY, Nursery
from gpu_container.engine.stft import Real
from tests.engine.files import Film, write_film, write_lossy, write_pcm
from tests.engine.signals import noisy_voice

WAV = OutputSpec(AudioFormat("wav", "pcm_16", 48_000, 1, subtype="PCM_16", major="WAV", bits=16))
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Bytes:
    """A source in memory that counts what is asked of it."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size_bytes = len(content)
        self.reads: list[tuple[int, int]] = []

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        self.reads.append((offset, size_bytes))
        return self._content[offset : offset + size_bytes]


class Store:
    """A sink in memory."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write_at(self, offset: int, data: bytes) -> None:
        self.content[offset : offset + len(data)] = data


@pytest.fixture(scope="module")
def bad_nursery() -> Iterator[Nursery]:
    nursery = Nursery("tests.engine.faults:main")
    yield nursery
    nursery.close()


@pytest.fixture
def misbehaving(bad_nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_io, "NURSERY", bad_nursery)


def _failure(word: str, limits: DecodeLimits | None = None) -> EngineError:
    with pytest.raises(EngineError) as caught:
        probe(Bytes(word.encode()), limits=limits or DecodeLimits())
    return caught.value


@pytest.mark.usefixtures("misbehaving")
@pytest.mark.parametrize("word", ["segfault", "abort", "spin", "gibberish", "blocks_first", "half_a_sample"])
def test_a_file_that_brings_its_decoder_down_is_corrupt(word: str) -> None:
    assert _failure(word).code is ErrorCode.INPUT_CORRUPT


@pytest.mark.usefixtures("misbehaving")
def test_a_decoder_that_hangs_is_killed() -> None:
    assert _failure("sleep", DecodeLimits(stall_s=0.3, deadline_s=30)).code is ErrorCode.INPUT_CORRUPT


@pytest.mark.usefixtures("misbehaving")
def test_the_end_of_the_callers_time_is_not_the_files_fault() -> None:
    failure = _failure("sleep", DecodeLimits(deadline_s=0.3))
    assert isinstance(failure, DeadlineError)
    assert failure.code is ErrorCode.ENGINE_FAILED


class Slow(Bytes):
    """A source far away."""

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        time.sleep(0.3)
        return super().read_at(offset, size_bytes)


@pytest.fixture
def far_away(tmp_path: Path) -> Slow:
    """Return a good file in eight pieces that come slowly."""
    file = tmp_path / "long"
    sf.write(file, np.zeros((8 * CHUNK_BYTES // 8, 1)), 48_000, format="WAV", subtype="DOUBLE")
    return Slow(file.read_bytes())


def test_a_good_file_that_comes_too_slowly_is_not_called_damaged(far_away: Slow) -> None:
    with pytest.raises(DeadlineError):
        probe(far_away, limits=DecodeLimits(deadline_s=0.5))


@pytest.mark.usefixtures("misbehaving")
@pytest.mark.parametrize("word", ["kill", "leave"])
def test_what_the_file_is_not_to_blame_for_is_a_failure_of_ours(word: str) -> None:
    assert _failure(word).code is ErrorCode.ENGINE_FAILED


@pytest.mark.usefixtures("misbehaving")
def test_sound_without_end_is_cut_off_by_the_clock_of_the_samples_not_the_header() -> None:
    assert _failure("endless", DecodeLimits(max_duration_s=10)).code is ErrorCode.INPUT_TOO_LONG


@pytest.mark.usefixtures("misbehaving")
def test_more_sound_than_the_bytes_can_hold_is_a_bomb() -> None:
    limits = DecodeLimits(max_expansion=1_000, free_expansion_bytes=2**20)
    assert "far more sound" in _failure("endless", limits).message


@pytest.mark.usefixtures("misbehaving")
def test_a_decoder_sees_no_secret_no_file_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    # The module's other tests may have started the zygote before: the variables must not reach it either way.
    fresh = Nursery("tests.engine.faults:main")
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SOME_TOKEN"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setattr(audio_io, "NURSERY", fresh)

    with contextlib.closing(fresh):
        found = _failure("look_around").message.split()

    assert "file" not in found
    assert "socket" not in found
    assert "descriptor" not in found
    assert not [name for name in found if "AWS" in name or "TOKEN" in name or name.startswith("fd:")]


@pytest.mark.usefixtures("misbehaving")
def test_a_child_that_writes_where_it_must_not_is_stopped() -> None:
    store = Store()
    film = OutputSpec(AudioFormat("mp4", "aac", 48_000, 1, other_streams=1), copies=Copies.ALL)
    with pytest.raises(EngineError), encode(store, film, original=Bytes(b"hole")) as encoding:
        encoding.write(np.zeros((1, 100), np.float32))
    assert not store.content


def test_too_little_memory_is_a_refusal_not_a_crash(tmp_path: Path) -> None:
    source = write_lossy(tmp_path / "in", noisy_voice(seconds=1.0, rate_hz=48_000), 48_000, kind="m4a")

    with FileSource(source) as file, pytest.raises(EngineError) as caught:
        probe(file, limits=DecodeLimits(memory_bytes=64 * 2**20))

    assert caught.value.code is ErrorCode.INPUT_CORRUPT


def test_what_the_source_raises_comes_through(tmp_path: Path) -> None:
    class Broken(Bytes):
        def read_at(self, offset: int, size_bytes: int) -> bytes:
            raise TimeoutError("storage")

    with pytest.raises(TimeoutError, match="storage"):
        probe(Broken(bytes(100)))


def test_what_the_sink_raises_comes_through() -> None:
    class Full(Store):
        def write_at(self, offset: int, data: bytes) -> None:
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"), encode(Full(), WAV) as encoding:
        encoding.write(np.zeros((1, 48_000 * 10), np.float32))


def test_a_source_is_read_in_large_pieces_and_mostly_once(tmp_path: Path) -> None:
    signal = 0.1 * np.random.default_rng(0).standard_normal((2, 48_000 * 20)).astype(np.float32)
    source = Bytes(write_pcm(tmp_path / "in", signal, 48_000, container="WAV", subtype="PCM_16").read_bytes())

    probe(source)

    assert {size for _, size in source.reads} == {2**20}
    assert len(source.reads) == len(set(source.reads)) == 4


def test_samples_pass_unchanged_and_in_order(tmp_path: Path, stereo: Real) -> None:
    source = write_pcm(tmp_path / "in", stereo, 44_100, container="WAV", subtype="FLOAT")

    with FileSource(source) as file, decode(file) as decoding:
        blocks = list(decoding.blocks())

    assert np.array_equal(np.concatenate(blocks, axis=1), stereo)
    assert max(block.shape[1] for block in blocks) <= 44_100


def test_a_caller_that_gives_up_leaves_no_child_behind(tmp_path: Path) -> None:
    signal = np.zeros((2, 48_000 * 60), np.float32)
    source = write_pcm(tmp_path / "in", signal, 48_000, container="WAV", subtype="PCM_16")
    store = Store()

    with FileSource(source) as file, contextlib.suppress(ZeroDivisionError), decode(file) as decoding:
        next(decoding.blocks())
        with encode(store, WAV) as encoding:
            encoding.write(signal[:1])
            raise ZeroDivisionError

    assert _children_end()


def test_many_files_at_once(tmp_path: Path, stereo: Real) -> None:
    source = write_lossy(tmp_path / "in", stereo, 44_100, kind="mp3")

    def frames(_: int) -> int:
        with FileSource(source) as file:
            return probe(file).frames

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(frames, range(16))) == {stereo.shape[1]}


def test_a_zygote_that_was_killed_is_replaced(tmp_path: Path, voice: Real) -> None:
    source = Bytes(write_pcm(tmp_path / "in", voice, 48_000, container="WAV", subtype="PCM_16").read_bytes())
    probe(source)
    assert NURSERY._zygote
    NURSERY._zygote.kill()
    NURSERY._zygote.wait()

    assert probe(source).frames == voice.shape[1]


PARENT = """
import sys, time
from gpu_container.engine.audio_io import decode
class Slow:
    size_bytes = 10_000_000
    def read_at(self, offset, size_bytes):
        print("reading", flush=True)
        time.sleep(60)
with decode(Slow()) as decoding:
    pass
"""


@linux_only
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_children_end_with_their_parent(ending: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout
    parent.stdout.readline()
    zygotes = _children_of(parent.pid)
    family = [*zygotes, *(child for zygote in zygotes for child in _children_of(zygote))]
    assert len(family) == 2

    parent.send_signal(ending)
    parent.wait()
    parent.stdout.close()

    assert _eventually(lambda: not any(_is_running(pid) for pid in family))


def test_the_one_who_asks_loads_no_codec(tmp_path: Path, voice: Real) -> None:
    source = write_film(tmp_path / "in.mp4", Film(), voice[:, :24_000])
    code = (
        "import sys; from pathlib import Path\n"
        "from gpu_container.engine.audio_io import probe; from gpu_container.engine.byte_io import FileSource\n"
        "probe(FileSource(Path(sys.argv[1])))\n"
        "sys.exit(','.join({'av', 'soundfile'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code, source], capture_output=True, text=True, check=False)

    assert not done.stderr.strip()


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def _eventually(holds: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        if holds():
            return True
        time.sleep(0.02)
    return False


def _children_end() -> bool:
    assert NURSERY._zygote
    pid = NURSERY._zygote.pid
    return sys.platform != "linux" or _eventually(lambda: not _children_of(pid))


@pytest.mark.parametrize("given", [0, 1])
def test_a_machine_out_of_descriptors_is_a_failure_of_ours_and_keeps_none(
    monkeypatch: pytest.MonkeyPatch, given: int
) -> None:
    pairs = [socket.socketpair() for _ in range(given)]
    handed_out = iter(pairs)

    def scarce() -> tuple[socket.socket, socket.socket]:
        for pair in handed_out:
            return pair
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("gpu_container.engine.isolation.nursery.socket.socketpair", scarce)
    with pytest.raises(EngineError) as caught:
        Nursery().start()

    assert caught.value.code is ErrorCode.ENGINE_FAILED
    assert [end.fileno() for pair in pairs for end in pair] == [-1] * 2 * given
