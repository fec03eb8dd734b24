"""A child that misbehaves as the first word of its file says; stands in for the engine's own in `test_isolation`."""

import os
import resource
import signal
import socket
import time

from gpu_container.contract import ErrorCode
from gpu_container.engine.formats import AudioFormat
from gpu_container.engine.isolation.child import confine
from gpu_container.engine.isolation.jobs import FORMAT, Job, Refused
from gpu_container.engine.isolation.wire import OFFSET, REQUEST, Channel, Kind

SIGNALS = {"segfault": signal.SIGSEGV, "abort": signal.SIGABRT, "kill": signal.SIGKILL}


def main(fd: int) -> None:
    channel = Channel(socket.socket(fileno=fd))
    _, order = channel.receive()
    confine(Job.model_validate_json(bytes(order)))
    channel.send(Kind.READ, REQUEST.pack(0, 100))
    word = bytes(channel.receive()[1]).decode()
    if word in SIGNALS:
        os.kill(os.getpid(), SIGNALS[word])
    FAULTS[word](channel)


def sleep(_: Channel) -> None:
    time.sleep(60)


def spin(_: Channel) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (1, 2))
    while True:
        pass


def leave(_: Channel) -> None:
    os._exit(9)


def gibberish(channel: Channel) -> None:
    channel.send(Kind.FORMAT, b"{")
    time.sleep(60)


def blocks_first(channel: Channel) -> None:
    channel.send(Kind.BLOCK, bytes(4))
    time.sleep(60)


def endless(channel: Channel) -> None:
    _begin(channel)
    while True:
        channel.send(Kind.BLOCK, bytes(4 * 48_000))


def half_a_sample(channel: Channel) -> None:
    _begin(channel)
    channel.send(Kind.BLOCK, bytes(6))
    time.sleep(60)


def hole(channel: Channel) -> None:
    channel.send(Kind.WRITE, OFFSET.pack(1_000), b"x")
    time.sleep(60)


def look_around(channel: Channel) -> None:
    """Say what of the surroundings can be reached."""
    found = [f"env:{name}" for name in os.environ]
    for name, attempt in {
        "file": lambda: os.open("/etc/hostname", os.O_RDONLY),
        "socket": socket.socket,
        "descriptor": lambda: os.dup(0),
    }.items():
        try:
            attempt()
        except OSError:
            continue
        found.append(name)
    found += [f"fd:{fd}" for fd in range(4, 64) if _is_open(fd)]
    answer = Refused(code=ErrorCode.INPUT_CORRUPT, message=" ".join(found))
    channel.send(Kind.REFUSED, answer.model_dump_json().encode())


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _begin(channel: Channel) -> None:
    channel.send(Kind.FORMAT, FORMAT.dump_json(AudioFormat("wav", "pcm_16", 48_000, 1)))


FAULTS = {
    function.__name__: function
    for function in (sleep, spin, leave, gibberish, blocks_first, endless, half_a_sample, hole, look_around)
}
