"""``cleartake engine …``: the engine alone, no cloud."""

import argparse
import json
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gpu_container.contract import (
    DEFAULT_TRUE_PEAK_DBTP,
    MAX_LOUDNESS_LUFS,
    MIN_LOUDNESS_LUFS,
    Dereverb,
    ErrorCode,
    OutputFormat,
    ReportLevel,
)

if TYPE_CHECKING:
    from gpu_container.engine.enhancer import Enhancer
    from gpu_container.engine.pipeline import EnhanceOptions, Pictures


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser("engine", help="run the audio engine alone")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the enhanced files")
    parser.add_argument("--strength", type=_between(0, 100), default=100.0, help="0 (the input) to 100 (all of it)")
    parser.add_argument("--model", default="dfn3", metavar="NAME", help="dfn3 (the default), dfn3-ll or dfn3-hq")
    parser.add_argument("--dereverb", choices=list(Dereverb), default=Dereverb.AUTO, help="take echo away, too")
    parser.add_argument("--format", choices=list(OutputFormat), help="of the results; the input's own by default")
    parser.add_argument(
        "--loudness", type=_between(MIN_LOUDNESS_LUFS, MAX_LOUDNESS_LUFS), metavar="LUFS", help="bring to this loudness"
    )
    parser.add_argument("--true-peak", type=_between(-9, 0), default=DEFAULT_TRUE_PEAK_DBTP, metavar="DBTP")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="threads: over files, or over a lone long one")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what was done, as JSON")
    parser.add_argument("--report-level", choices=[ReportLevel.BASIC, ReportLevel.FULL], default=ReportLevel.FULL)
    parser.add_argument("--pictures", action="store_true", help="draw each file before and after, beside its result")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Enhance every file; one that fails does not stop the others."""
    from gpu_container.engine.errors import EngineError  # noqa: PLC0415 - numpy only where it is needed
    from gpu_container.engine.models import load_model  # noqa: PLC0415

    try:
        model = load_model(arguments.model)
    except EngineError as error:
        print(f"cleartake: {error.message}", file=sys.stderr)
        return 1
    targets = _targets(arguments.out, arguments.files, arguments.format)
    if replaced := {path.resolve() for path in arguments.files} & {target.resolve() for target in targets}:
        print(f"cleartake: the result would replace {min(replaced)}; choose another --out", file=sys.stderr)
        return 1
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.report:
        arguments.report.touch()  # better now than after hours of work
    reports = _enhance_all(arguments, targets, model)
    if arguments.report:
        arguments.report.write_text(json.dumps(reports, indent=2) + "\n")
    failed = [report for report in reports if "error" in report]
    for report in failed:
        print(f"cleartake: {report['file']}: {report['error']['message']}", file=sys.stderr)
    return 1 if failed else 0


@dataclass(frozen=True)
class _Batch:
    """What all files share."""

    model: "Enhancer"
    options: "EnhanceOptions"
    progress: Progress
    pictures: bool
    stop: threading.Event

    def enhance(self, path: Path, target: Path) -> dict[str, Any]:
        """Enhance one file; its report, or what went wrong."""
        from gpu_container.engine.errors import EngineError  # noqa: PLC0415
        from gpu_container.engine.pipeline import enhance_file  # noqa: PLC0415

        task = self.progress.add_task(path.name, total=None)

        def advance(completed_s: float, total_s: float) -> None:
            self.progress.update(task, completed=completed_s, total=total_s)

        partial = target.with_name(f".{target.name}.part")
        try:
            done = enhance_file(
                path,
                partial,
                model=self.model,
                options=self.options,
                on_progress=advance,
                is_cancelled=self.stop.is_set,
            )
            partial.replace(target)
            if self.pictures and done.pictures:
                _store(done.pictures, target)
        except (EngineError, OSError) as error:
            code = error.code if isinstance(error, EngineError) else ErrorCode.STORAGE_FAILED
            return {"file": str(path), "error": {"code": code.value, "message": str(error)}}
        return {"file": str(path), "result": str(target), **done.report.model_dump(mode="json")}


def _enhance_all(arguments: argparse.Namespace, targets: list[Path], model: "Enhancer") -> list[dict[str, Any]]:
    files, jobs = arguments.files, max(1, arguments.jobs)
    at_once = min(jobs, len(files))
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    options = _options(arguments, jobs=jobs // at_once)
    stop = threading.Event()
    with Progress(*columns) as progress, ThreadPoolExecutor(at_once) as pool:
        batch = _Batch(_sharing(model, at_once), options, progress, arguments.pictures, stop)
        try:
            return list(pool.map(batch.enhance, files, targets))
        finally:
            stop.set()  # Ctrl-C: what is under way ends at its next block


def _sharing(model: "Enhancer", at_once: int) -> "Enhancer":
    """Let files that are enhanced at once share the network's calls."""
    from gpu_container.engine.batching import Batcher  # noqa: PLC0415

    return Batcher(model) if at_once > 1 else model


def _options(arguments: argparse.Namespace, *, jobs: int) -> "EnhanceOptions":
    from gpu_container.engine.pipeline import EnhanceOptions  # noqa: PLC0415

    level = ReportLevel.FULL if arguments.pictures else arguments.report_level
    return EnhanceOptions(
        strength=arguments.strength,
        dereverb=Dereverb(arguments.dereverb),
        output_format=OutputFormat(arguments.format) if arguments.format else None,
        loudness_lufs=arguments.loudness,
        true_peak_dbtp=arguments.true_peak,
        report=level if arguments.report or arguments.pictures else ReportLevel.NONE,
        jobs=jobs,
    )


def _store(pictures: "Pictures", target: Path) -> None:
    target.with_name(f"{target.name}.spectrogram.png").write_bytes(pictures.spectrogram)
    target.with_name(f"{target.name}.waveform.png").write_bytes(pictures.waveform)
    target.with_name(f"{target.name}.peaks.json").write_text(pictures.peaks.model_dump_json())


def _targets(out: Path, files: list[Path], wanted: str | None) -> list[Path]:
    """Return where each file's result goes; files of one name, from different folders, are numbered."""
    names = [f"{file.stem}.{wanted}" if wanted else file.name for file in files]
    chosen: list[str] = []
    for name in names:
        numbered = (f"{number}-{name}" for number in count(1))
        is_free = names.count(name) == 1 and name not in chosen
        chosen.append(name if is_free else next(other for other in numbered if other not in chosen))
    return [out / name for name in chosen]


def _between(lowest: float, highest: float) -> Callable[[str], float]:
    """Return an argument's type: a number from ``lowest`` to ``highest``."""

    def number(text: str) -> float:
        value = float(text)
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{lowest:g} to {highest:g} is possible")
        return value

    return number
