"""What runs in a child: one job, with no file, no network and no more than its share of memory and time."""

import importlib
import io
import pkgutil
import resource
import socket
import sys
import traceback
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
import numpy as np
from typing_extensions import override

from gpu_container.contract import ErrorCode
from gpu_container.engine.codecs.decoder import open_decoder
from gpu_container.engine.codecs.encoder import open_encoder
from gpu_container.engine.codecs.ffmpeg import FAULTS
from gpu_container.engine.errors import EngineError
from gpu_container.engine.formats import OutputSpec
from gpu_container.engine.isolation.jobs import CHUNK_BYTES, FORMAT, Done, Job, Refused
from gpu_container.engine.isolation.wire import OFFSET, REQUEST, Channel, Kind

if TYPE_CHECKING:
    from typing_extensions import Buffer

_KEPT_CHUNKS: Final = 8
"""A file's index, its sound and its pictures may be read in turn from places far apart."""
_WRITTEN_BYTES: Final = 2**18


# PyAV imports its own parts when a file first needs them, and a confined process can open none.
for _module in pkgutil.walk_packages(av.__path__, "av."):
    if _module.name not in {"av.__main__", "av.datasets"}:
        importlib.import_module(_module.name)


def main(fd: int) -> None:
    """Do the job that comes over socket ``fd``."""
    channel = Channel(socket.socket(fileno=fd))
    _, order = channel.receive()
    job = Job.model_validate_json(bytes(order))
    confine(job)
    try:
        done = _encode(channel, job, job.spec) if job.spec else _decode(channel, job)
    except EngineError as error:
        _refuse(channel, error.code, error.message)
    except MemoryError:
        code = ErrorCode.ENGINE_FAILED if job.size_bytes is None else ErrorCode.INPUT_CORRUPT
        _refuse(channel, code, "The file needs more memory than any recording should.")
    except Exception as error:  # noqa: BLE001 - a fault of ours: where it is, and nothing that the file says
        _refuse(channel, ErrorCode.ENGINE_FAILED, f"{type(error).__name__} in {_place(error)}")
    else:
        channel.send(Kind.DONE, done.model_dump_json().encode())


def _refuse(channel: Channel, code: ErrorCode, message: str) -> None:
    channel.send(Kind.REFUSED, Refused(code=code, message=message).model_dump_json().encode())


def _place(error: Exception) -> str:
    frames = list(traceback.walk_tb(error.__traceback__))
    frame, line = frames[-1]
    return f"{Path(frame.f_code.co_filename).name}:{line}"


def confine(job: Job) -> None:
    """Give up what the job does not need; for this process, and for good."""
    resource.setrlimit(resource.RLIMIT_CPU, (job.cpu_s, job.cpu_s + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # No new descriptor: no file and no socket can be opened. No new process, unless the parent is root.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    # macOS has the constants but refuses the calls; a developer's machine then goes without.
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (job.memory_bytes, job.memory_bytes))


def _decode(channel: Channel, job: Job) -> Done:
    size_bytes = job.size_bytes or 0
    try:
        decoder = open_decoder(RemoteSource(channel, size_bytes), size_bytes)
        channel.send(Kind.FORMAT, FORMAT.dump_json(decoder.format))
        early = job.start_s * decoder.format.rate_hz
        early -= decoder.skip(early)
        for block in decoder.blocks():
            kept = np.ascontiguousarray(block[:, early:])
            # Of what is too early nothing is left but a sign of life.
            channel.send(Kind.BLOCK, kept.data.cast("B") if kept.size else b"")
            early -= min(early, block.shape[1])
    except FAULTS as error:
        raise EngineError(ErrorCode.INPUT_CORRUPT, "The file is damaged and cannot be decoded.") from error
    return Done(missing_s=decoder.missing_s)


def _encode(channel: Channel, job: Job, spec: OutputSpec) -> Done:
    original = None if job.size_bytes is None else RemoteSource(channel, job.size_bytes)
    sink = RemoteSink(channel)
    encoder = open_encoder(sink, spec, original)
    while True:
        channel.send(Kind.NEXT)
        kind, samples = channel.receive()
        if kind is Kind.END:
            break
        encoder.write(np.frombuffer(samples, np.float32).reshape(spec.format.channels, -1))
    encoder.finish()
    sink.flush()
    return Done(warnings=tuple(encoder.warnings))


class RemoteSource(io.RawIOBase):
    """A file whose bytes the parent reads for us."""

    def __init__(self, channel: Channel, size_bytes: int) -> None:
        self._channel = channel
        self._size_bytes = size_bytes
        self._at = 0
        self._chunks: OrderedDict[int, memoryview] = OrderedDict()

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        return self._at

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    @override
    def readinto(self, buffer: "Buffer", /) -> int:
        wanted = memoryview(buffer).cast("B")
        filled = 0
        # To the brim: libsndfile takes a short read for the end of the file.
        while filled < len(wanted):
            found = self._chunk(self._at // CHUNK_BYTES)[self._at % CHUNK_BYTES :][: len(wanted) - filled]
            if not found:
                break
            wanted[filled : filled + len(found)] = found
            self._at += len(found)
            filled += len(found)
        return filled

    def _chunk(self, number: int) -> memoryview:
        if number * CHUNK_BYTES >= self._size_bytes:
            return memoryview(b"")
        if number not in self._chunks:
            self._channel.send(Kind.READ, REQUEST.pack(number * CHUNK_BYTES, CHUNK_BYTES))
            _, self._chunks[number] = self._channel.receive()
            if len(self._chunks) > _KEPT_CHUNKS:
                self._chunks.popitem(last=False)
        self._chunks.move_to_end(number)
        return self._chunks[number]


class RemoteSink(io.RawIOBase):
    """A file that the parent writes for us."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._at = self._end = 0
        self._held = bytearray()

    @override
    def writable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        return self._at + len(self._held)

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self.flush()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._end}[whence]
        self._at = max(0, base + offset)
        return self._at

    @override
    def write(self, data: "Buffer", /) -> int:
        given = memoryview(data).cast("B")
        self._held += given
        if len(self._held) >= _WRITTEN_BYTES:
            self.flush()
        return len(given)

    @override
    def flush(self) -> None:
        if self._held:
            self._channel.send(Kind.WRITE, OFFSET.pack(self._at), memoryview(self._held))
            self._at += len(self._held)
            self._end = max(self._end, self._at)
            self._held = bytearray()
