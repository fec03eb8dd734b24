"""``make bench-fan-out``: a long file through the fan-out of the running local cloud, over its REST API.

For its one job the cloud's dispatch is told of no lane but the fan-out, and of shorter parts than the service's own.
The result is held against the engine's own single stream on this machine, second by second. Exit code 1 where it took
another lane, or differs by more than ``--limit-db``.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from gpu_container.contract import Dereverb, Part, ReportLevel
from gpu_container.engine.models import load_model
from gpu_container.engine.pipeline import EnhanceOptions, enhance_file
from infra.config import MEASURED_SPEEDS
from infra.outputs import Output, function_output
from lambdas.core.routing import Lane, parts_of
from lambdas.core.workflow import FunctionName
from scripts.adobe_api import Api, local_access
from scripts.local import emulator
from scripts.local.paths import Cloud, outputs_of
from scripts.recordings import read

SEED: Final = 20_240_409
SEAM_S: Final = 10
"""A second this close to a seam counts as its own."""

FLOOR: Final = 1e-12
Levels = NDArray[np.float64]
"""Mean squares, one a second."""


@dataclass(frozen=True)
class Run:
    """How the cloud worked on the file, in seconds; the parts in no order."""

    wait_s: float
    parts_s: tuple[float, ...]
    assembly_s: float


@dataclass(frozen=True)
class Difference:
    """Two results against each other: mean squares of the one and of the difference, ``(seconds,)`` each."""

    signal: Levels
    error: Levels

    def overall_db(self, chosen: NDArray[np.bool_] | None = None) -> float:
        """Return the difference's level against the whole signal's, over all seconds or those ``chosen``."""
        error = self.error if chosen is None else self.error[chosen]
        return _db(float(error.mean()) if error.size else 0.0) - _db(float(self.signal.mean()))

    def worst_db(self, chosen: NDArray[np.bool_]) -> float:
        """Return the same of the worst of the seconds ``chosen``."""
        return _db(float(self.error[chosen].max(initial=0.0))) - _db(float(self.signal.mean()))

    def near(self, parts: tuple[Part, ...]) -> NDArray[np.bool_]:
        """Tell which seconds lie at a seam, ``(seconds,)``."""
        seconds = np.arange(self.error.size)
        near = np.zeros(seconds.size, bool)
        for part in parts[1:]:
            near |= np.abs(seconds - part.start_s) <= SEAM_S
        return near


def long_recording(source: Path, target: Path, *, minutes: float) -> None:
    """Write ``minutes`` of a short recording, FLAC: again and again at other levels, after other pauses."""
    clip, rate_hz = read(source)
    rng = np.random.default_rng(SEED)
    left = round(minutes * 60 * rate_hz)
    with sf.SoundFile(target, "w", rate_hz, clip.shape[0], "PCM_16") as file:
        while left > 0:
            pause = rng.normal(0, 1e-4, (round(rng.uniform(0.2, 2) * rate_hz), clip.shape[0]))
            again = clip.T * 10 ** (rng.uniform(-12, 0) / 20)
            piece = np.concatenate([again, pause])[:left]
            file.write(piece)
            left -= len(piece)


@contextmanager
def only_fan_out(cloud: Cloud, *, part_s: int) -> Iterator[None]:
    """Leave the cloud's dispatch no other lane, and any file short enough for it; give back what was there."""
    functions, name = (
        emulator.client(cloud, "lambda"),
        outputs_of(cloud)[function_output(FunctionName.DISPATCH)],
    )
    before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    speed = asdict(replace(MEASURED_SPEEDS[Lane.CPU_FAN_OUT], part_s=part_s, limit_s=1e6))
    _set(functions, name, before | {"CLEARTAKE_SPEEDS": json.dumps({Lane.CPU_FAN_OUT.value: speed})})
    try:
        yield
    finally:
        _set(functions, name, before)


def through_the_service(file: Path, folder: Path, *, strength: int) -> tuple[Path, float]:
    """Return the file enhanced over HTTP, and the seconds from asking to the result."""
    with httpx.Client(trust_env=False, timeout=120) as http:
        api = Api.sign_in(http, local_access())
        asset = api.create_asset(file, "audio/flac")
        api.upload(file, asset)
        api.wait_until_ready(asset["id"])
        began = time.perf_counter()
        link = api.enhance(asset["id"], strength)
        wait_s = time.perf_counter() - began
        return api.download(link, folder), wait_s


def last_run(cloud: Cloud, *, wait_s: float) -> Run:
    """Return how long the newest execution of the fan-out and its children took."""
    states = emulator.client(cloud, "stepfunctions")
    machine = outputs_of(cloud)[Output.FAN_OUT_MACHINE_ARN]
    newest = max(states.list_executions(stateMachineArn=machine)["executions"], key=lambda one: one["startDate"])
    maps = states.list_map_runs(executionArn=newest["executionArn"])["mapRuns"]
    children = [
        one for run in maps for one in states.list_executions(mapRunArn=run["mapRunArn"], maxResults=100)["executions"]
    ]
    assembly_s = _seconds(max(one["stopDate"] for one in children), newest["stopDate"])
    return Run(wait_s, tuple(_seconds(one["startDate"], one["stopDate"]) for one in children), assembly_s)


def single_stream(file: Path, target: Path, *, strength: int) -> float:
    """Enhance a file in one go on this machine, as the service is set up to; return the seconds it took."""
    options = EnhanceOptions(strength=strength, dereverb=Dereverb.AUTO, report=ReportLevel.NONE)
    began = time.perf_counter()
    enhance_file(file, target, model=load_model("dfn3"), options=options)
    return time.perf_counter() - began


def difference(ours: Path, theirs: Path) -> Difference:
    """Compare two files second by second, in constant memory; raises ValueError where their shapes differ."""
    with sf.SoundFile(ours) as one, sf.SoundFile(theirs) as other:
        if (one.frames, one.channels, one.samplerate) != (other.frames, other.channels, other.samplerate):
            raise ValueError("the results differ in length, channels or rate")
        pairs = zip(one.blocks(one.samplerate), other.blocks(one.samplerate), strict=True)
        levels = [(float(np.mean(second**2)), float(np.mean((first - second) ** 2))) for first, second in pairs]
    signal, error = np.array(levels).T
    return Difference(signal, error)


def tables(run: Run, found: Difference, parts: tuple[Part, ...], *, alone_s: float) -> list[Table]:
    """Return what is printed."""
    duration_s, near = found.error.size, found.near(parts)
    times = Table(
        "", "seconds", "CPU-lane seconds a second of audio", title=f"{duration_s / 60:.0f} min, {len(parts)} parts"
    )
    times.add_row("from POST to succeeded", f"{run.wait_s:.1f}", "")
    times.add_row("each part, longest", f"{max(run.parts_s):.1f}", "")
    times.add_row("all parts, sum", f"{sum(run.parts_s):.1f}", f"{sum(run.parts_s) / duration_s:.4f}")
    times.add_row("assembly", f"{run.assembly_s:.1f}", f"{run.assembly_s / duration_s:.4f}")
    times.add_row("the same in one go, here, no report", f"{alone_s:.1f}", f"{alone_s / duration_s:.4f}")
    errors = Table("difference from the single stream, against the signal", "all", "worst second", title="Seams")
    everywhere = np.ones_like(near)
    for name, chosen in (
        ("all of it", everywhere),
        (f"within {SEAM_S} s of a seam", near),
        ("everywhere else", ~near),
    ):
        errors.add_row(name, f"{found.overall_db(chosen):.1f} dB", f"{found.worst_db(chosen):.1f} dB")
    return [times, errors]


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--audio", type=Path, default=Path("samples/librivox-noisy.mp3"), help="repeated up to --minutes"
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--part-s", type=int, default=600)
    parser.add_argument("--strength", type=int, default=90)
    parser.add_argument("--limit-db", type=float, default=-35.0, help="of the difference, all of it")
    arguments = parser.parse_args()
    cloud, console = Cloud.from_environment(), Console(width=110)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, alone = folder / "long.flac", folder / "alone.flac"
        long_recording(arguments.audio, file, minutes=arguments.minutes)
        with only_fan_out(cloud, part_s=arguments.part_s):
            made, wait_s = through_the_service(file, folder, strength=arguments.strength)
        run = last_run(cloud, wait_s=wait_s)
        alone_s = single_stream(file, alone, strength=arguments.strength)
        found = difference(made, alone)
    parts = parts_of(found.error.size, arguments.part_s)
    for table in tables(run, found, parts, alone_s=alone_s):
        console.print(table)
    return int(len(run.parts_s) != len(parts) or found.overall_db() > arguments.limit_db)


def _set(functions: Any, name: str, variables: Mapping[str, str]) -> None:
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": dict(variables)})


def _seconds(start: datetime, stop: datetime) -> float:
    return (stop - start).total_seconds()


def _db(mean_square: float) -> float:
    return 10 * float(np.log10(mean_square + FLOOR))


def _ignore(_share: float) -> None:
    return None


if __name__ == "__main__":
    sys.exit(main())
