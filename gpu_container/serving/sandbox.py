"""Probing in a process that can be killed: a decoder reads what strangers wrote.

The child has its own memory and CPU limits, no AWS credentials in its environment, and may crash without taking
anything with it. Enhancement still decodes inside the worker: the bytes it is given are the pinned version that has
already passed this probe. Moving that decode out of the process too is the next step, not done yet.
"""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from gpu_container.contract import AudioFacts, ErrorCode, ProbeFailure, ProbeResult

_KEPT_VARIABLES: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "HOME", "TMPDIR")
_MODULE: Final = "gpu_container.serving.sandbox"
_REFUSED: Final = 3
"""The child's exit status for a file that the engine refuses."""
_DECODER_DEATHS: Final = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGXCPU}
)


class ProbeCrashError(Exception):
    """The probe itself failed, which says nothing about the file; try again."""


def probe_in_child(path: Path, *, limit_s: float, memory_bytes: int) -> ProbeResult | ProbeFailure:
    """Probe a file in a child process.

    Raises
    ------
    ProbeCrashError
        If the child failed for a reason that is not the file's.
    """
    command = [sys.executable, "-m", _MODULE, str(path), str(memory_bytes), str(int(limit_s) + 1)]
    env = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    # Each thread of the linear algebra reserves 80 MB of addresses: many cores would pass the limit at the start.
    env |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    # The parent's own search path: where Lambda or an editable install put the package, the child finds it too.
    env["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        child = subprocess.run(command, env=env, capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return _corrupt("decoding took too long")
    return _answer(child.returncode, child.stdout)


def _answer(exit_status: int, output: bytes) -> ProbeResult | ProbeFailure:
    if exit_status == 0:
        return ProbeResult.model_validate_json(output)
    if exit_status == _REFUSED:
        return ProbeFailure.model_validate_json(output)
    if -exit_status in _DECODER_DEATHS:
        return _corrupt("the decoder crashed")
    # The child's error output may quote the file: it stays out of the message, and so out of the logs.
    raise ProbeCrashError(f"probe ended with status {exit_status}")


def _corrupt(message: str) -> ProbeFailure:
    return ProbeFailure(error_code=ErrorCode.INPUT_CORRUPT, message=message)


def _child(path: Path, memory_bytes: int, cpu_s: int) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _limit_memory(memory_bytes)
    # Only now: the limits hold for the decoder's own start-up too.
    from gpu_container.engine.audio_io import probe  # noqa: PLC0415
    from gpu_container.engine.errors import EngineError  # noqa: PLC0415

    answer: ProbeResult | ProbeFailure
    try:
        answer = ProbeResult(facts=AudioFacts.model_validate(probe(path), from_attributes=True))
    except EngineError as error:
        answer = ProbeFailure(error_code=ErrorCode(error.code), message=str(error))
    except MemoryError:
        answer = _corrupt("decoding needs too much memory")
    sys.stdout.write(answer.model_dump_json())
    return 0 if answer.outcome == "ok" else _REFUSED


def _limit_memory(memory_bytes: int) -> None:
    # macOS has the constant but refuses the call; a developer's machine then goes without.
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


if __name__ == "__main__":
    sys.exit(_child(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
