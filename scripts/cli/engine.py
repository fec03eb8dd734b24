"""``cleartake engine …``: the engine alone, no cloud."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from gpu_container.engine.ensemble import Enhancer


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser("engine", help="run the audio engine alone")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the enhanced files")
    parser.add_argument("--strength", type=_strength, default=100.0, help="0 (the input) to 100 (all of it)")
    parser.add_argument("--model", default="dfn3", metavar="NAME")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what was done, as JSON")
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
    arguments.out.mkdir(parents=True, exist_ok=True)
    reports = _enhance_all(arguments.files, arguments.out, arguments.strength, model)
    if arguments.report:
        arguments.report.write_text(json.dumps(reports, indent=2) + "\n")
    failed = [report for report in reports if "error" in report]
    for report in failed:
        print(f"cleartake: {report['file']}: {report['error']['message']}", file=sys.stderr)
    return 1 if failed else 0


def _enhance_all(files: list[Path], out: Path, strength: float, model: "Enhancer") -> list[dict[str, Any]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        return [_enhance_one(path, _target(out, path, files), strength, model, progress) for path in files]


def _target(out: Path, path: Path, files: list[Path]) -> Path:
    """Return where a file's result goes; files of one name from different folders keep apart."""
    same = [other for other in files if other.name == path.name]
    prefix = f"{same.index(path) + 1}-" if len(same) > 1 else ""
    return out / f"{prefix}{path.name}"


def _enhance_one(path: Path, target: Path, strength: float, model: "Enhancer", progress: Progress) -> dict[str, Any]:
    from gpu_container.engine.errors import EngineError  # noqa: PLC0415
    from gpu_container.engine.pipeline import enhance_file  # noqa: PLC0415

    task = progress.add_task(path.name, total=None)

    def advance(completed_s: float, total_s: float) -> None:
        progress.update(task, completed=completed_s, total=total_s)

    partial = target.with_name(f".{target.name}.part")
    try:
        report = enhance_file(path, partial, strength=strength, model=model, on_progress=advance)
        partial.replace(target)
    except (EngineError, OSError) as error:
        partial.unlink(missing_ok=True)
        code = error.code.value if isinstance(error, EngineError) else "storage_failed"
        return {"file": str(path), "error": {"code": code, "message": str(error)}}
    facts = {"input": report.input.model_dump(), "output": report.output.model_dump()}
    return {"file": str(path), "result": str(target), **dataclasses.asdict(report), **facts}


def _strength(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        msg = "strength is 0 to 100"
        raise argparse.ArgumentTypeError(msg)
    return value
