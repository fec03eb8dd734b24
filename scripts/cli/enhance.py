"""``cleartake enhance`` and ``cleartake batch``: recordings through the native API."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cleartake_client import Client, Options, Outcome, Recording, S3Source, Wish
from scripts.cli.progress import ENHANCING, bars
from scripts.cli.service import add_json, exit_code, running, show
from scripts.cli.sources import PLACES, add_role, recording_of
from scripts.local.paths import LauncherError

DEFAULT_STRENGTH = 90.0
MODELS = ("dfn3", "dfn3-ll", "dfn3-hq")
FORMATS = ("wav", "flac", "mp3", "m4a", "opus", "ogg")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add both commands to the command line."""
    enhance = subparsers.add_parser("enhance", help="enhance a file, a URL or what is in a bucket")
    enhance.add_argument("source", metavar=PLACES, help="also the id of an asset")
    _add_wish(enhance)
    enhance.add_argument("--output", type=Path, help="file or folder for the result (default: beside the file)")
    enhance.set_defaults(run=running(_enhance))
    batch = subparsers.add_parser("batch", help="enhance many files; one that fails stops no other")
    batch.add_argument("sources", nargs="+", metavar=PLACES)
    _add_wish(batch)
    batch.add_argument("--output", type=Path, help="folder for the results (default: beside each file)")
    batch.set_defaults(run=running(_batch))


def _add_wish(parser: argparse.ArgumentParser) -> None:
    add_role(parser)
    parser.add_argument("--strength", type=_strength, default=DEFAULT_STRENGTH, help="0 to 100 percent (default: 90)")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="(default: %(default)s)")
    parser.add_argument("--loudness", type=float, metavar="LUFS", help="loudness of the result, such as -16")
    parser.add_argument("--dereverb", choices=("off", "auto", "on"), help="whether echo is taken away")
    parser.add_argument("--format", choices=FORMATS, help="of the result (default: the recording's own)")
    parser.add_argument("--reference", help="your own word for it, given back with every answer")
    parser.add_argument("--no-wait", action="store_true", help="return when the service has the recording")
    add_json(parser)


def _enhance(client: Client, arguments: argparse.Namespace) -> int:
    source, wish = arguments.source, wish_of(arguments)
    recording = recording_of(source, arguments.role)
    target = None if arguments.no_wait else _target(source, arguments.output)
    with bars(ENHANCING, hidden=arguments.json) as new_bar:
        advance = new_bar(_name(source))
        made = client.enhance(recording, wish, wait=target is not None, on_progress=advance)
        file = client.enhancements.download(made.id, target, on_progress=advance) if target else None
    show(arguments, asdict(made) | {"file": str(file) if file else None}, [str(file or made.id)])
    return 0


def _batch(client: Client, arguments: argparse.Namespace) -> int:
    recordings = [recording_of(source, arguments.role) for source in arguments.sources]
    _require_distinct(arguments.sources, arguments.output)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
    target = None if arguments.no_wait else lambda one: _folder(_given(one), arguments.output)
    with bars(ENHANCING, hidden=arguments.json) as new_bar:
        advances = [new_bar(_name(source)) for source in arguments.sources]
        outcomes = client.enhance_many(
            recordings,
            wish_of(arguments),
            target=target,
            reference=arguments.reference,
            on_progress=lambda index: advances[index],
        )
    show(arguments, [_told(one) for one in outcomes], [_line(one) for one in outcomes if one.error is None])
    errors = [one for one in outcomes if one.error is not None]
    for one in errors:
        print(f"{_given(one.recording)}: {one.error}", file=sys.stderr)
    return max((exit_code(one.error) for one in errors if one.error), default=0)


def wish_of(arguments: argparse.Namespace) -> Wish:
    """Return what the options of the command line ask for."""
    options = Options(dereverb=arguments.dereverb, output_format=arguments.format, loudness_lufs=arguments.loudness)
    return Wish(arguments.strength, arguments.model, options, reference=arguments.reference)


def _told(outcome: Outcome) -> dict[str, Any]:
    return {
        "source": _given(outcome.recording),
        "enhancement": asdict(outcome.enhancement) if outcome.enhancement else None,
        "file": str(outcome.file) if outcome.file else None,
        "error": str(outcome.error) if outcome.error else None,
    }


def _line(outcome: Outcome) -> str:
    return str(outcome.file or (outcome.enhancement.id if outcome.enhancement else ""))


def _target(source: str, output: Path | None) -> Path:
    """Return the file or the folder of a result; a folder is made if its name says that it is one."""
    if output is None:
        return _folder(source, None)
    folder = output.parent if output.suffix else output
    folder.mkdir(parents=True, exist_ok=True)  # now: not when the work is done
    return output


def _folder(source: str, output: Path | None) -> Path:
    """Return where a result goes: beside its file; what was no file here goes to the folder one stands in."""
    path = Path(source)
    return output or (path.parent if path.is_file() else Path())


def _given(recording: Recording) -> str:
    return recording.uri if isinstance(recording, S3Source) else str(recording)


def _name(source: str) -> str:
    return source.partition("?")[0].rstrip("/").rpartition("/")[2] or source


def _require_distinct(sources: Sequence[str], output: Path | None) -> None:
    targets = Counter((_folder(source, output).absolute(), _name(source)) for source in sources)
    if any(number > 1 for number in targets.values()):
        raise LauncherError("Two of the files have the same name, and one result would overwrite the other.")


def _strength(text: str) -> float:
    try:
        strength = float(text)
    except ValueError:
        strength = -1.0
    if not 0 <= strength <= 100:
        raise argparse.ArgumentTypeError(f"a number from 0 to 100, not {text!r}")
    return strength
