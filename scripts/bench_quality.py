"""``make bench-quality``: how it sounds, ours beside what is freely installable, on the same pairs in one run.

A folder holds ``meta.json`` and, per item, ``<id>_clean.flac``, ``<id>_noisy.flac`` and, where there is a room,
``<id>_early.flac``. Measured against the clean speech: PESQ wide band (ITU-T P.862.2) and STOI (Taal et al. 2011);
SI-SDR (Le Roux et al. 2019) against the early speech where there is a room; without any reference: DNSMOS P.835.

Runs in an environment of its own, ``.venv-quality``: PESQ's licence and the peers' packages stay out of the product.
"""

import argparse
import fnmatch
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from gpu_container.contract import Dereverb
from gpu_container.engine.models import load_model, model_names
from gpu_container.engine.opinion import MOS_RATE_HZ, MOS_WINDOW, filled, mean_opinion
from gpu_container.engine.signal_path import SignalPath
from scripts.quality_peers import PEERS, RATE_HZ

Signal = NDArray[np.float32]

REFERENCE_RATE_HZ = 16_000
"""PESQ wide band and STOI know no other."""


@dataclass(frozen=True)
class Item:
    """A pair, ``(n,)`` each at ``rate_hz``; ``target`` is what SI-SDR compares with."""

    name: str
    reverberant: bool
    rate_hz: int
    noisy: Signal
    clean: Signal
    target: Signal


@dataclass(frozen=True)
class Scores:
    """What was measured on one output; NaN where a measure has no answer."""

    pesq: float
    stoi: float
    si_sdr_db: float
    overall: float
    signal: float
    background: float


@dataclass(frozen=True)
class Result:
    """One item's scores by contestant."""

    item: str
    reverberant: bool
    scores: dict[str, Scores]


def read_names(folder: Path) -> list[tuple[str, bool]]:
    """Return every item's name and whether it is reverberant, in the order of ``meta.json``.

    Raises
    ------
    OSError, ValueError, KeyError
        If the folder holds no such file.
    """
    items = json.loads((folder / "meta.json").read_text())["items"]
    return [(str(item["id"]), bool(item["reverberant"])) for item in items]


def read_item(folder: Path, name: str, *, reverberant: bool) -> Item:
    """Return an item's signals, cut to one length.

    Raises
    ------
    ValueError
        If they are not at one rate.
    """
    kinds = ("noisy", "clean", "early" if reverberant else "clean")
    signals, rates_hz = zip(*(sf.read(folder / f"{name}_{kind}.flac", dtype="float32") for kind in kinds), strict=True)
    if len(set(rates_hz)) > 1:
        msg = f"{name}: the signals are at different rates"
        raise ValueError(msg)
    length = min(len(signal) for signal in signals)
    noisy, clean, target = (signal[:length] for signal in signals)
    return Item(name, reverberant, rates_hz[0], noisy, clean, target)


def si_sdr_db(estimate: Signal, target: Signal) -> float:
    """Return the scale-invariant signal-to-distortion ratio of two aligned ``(n,)``."""
    reference = target.astype(np.float64) - np.mean(target, dtype=np.float64)
    heard = estimate.astype(np.float64) - np.mean(estimate, dtype=np.float64)
    power = float(reference @ reference)
    wanted = reference * (heard @ reference) / power
    error = heard - wanted
    floor = 1e-12 * power  # of the error: a perfect answer is finite, silence is very bad and not a draw
    return float(10 * np.log10(max(float(wanted @ wanted), 1e-30) / max(float(error @ error), floor)))


def opinion_windows(signal: Signal) -> list[Signal]:
    """Return windows that DNSMOS takes, a second apart, of ``(n,)`` at 16 kHz; a short recording is repeated."""
    if len(signal) < MOS_WINDOW:
        return [filled(signal)]
    return [signal[start : start + MOS_WINDOW] for start in range(0, len(signal) - MOS_WINDOW + 1, MOS_RATE_HZ)]


def measure(output: Signal, item: Item) -> Scores:
    """Score one output, ``(n,)`` at the item's rate."""
    from pesq import NoUtterancesError, pesq  # type: ignore[import-not-found]  # noqa: PLC0415 - its own environment
    from pystoi import stoi  # type: ignore[import-not-found]  # noqa: PLC0415

    clean, heard = (_resample(signal, item.rate_hz, REFERENCE_RATE_HZ) for signal in (item.clean, output))
    try:
        quality = float(pesq(REFERENCE_RATE_HZ, clean, heard, "wb"))
    except NoUtterancesError:
        quality = float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # too little speech: pystoi says so and returns 1e-5
        intelligibility = float(stoi(clean, heard, REFERENCE_RATE_HZ))
    opinion = mean_opinion(opinion_windows(heard))
    return Scores(
        pesq=quality,
        stoi=intelligibility,
        si_sdr_db=si_sdr_db(output, item.target),
        overall=opinion.overall,
        signal=opinion.signal,
        background=opinion.background,
    )


def _resample(signal: Signal, from_rate_hz: int, to_rate_hz: int) -> Signal:
    if from_rate_hz == to_rate_hz:
        return signal
    return np.asarray(soxr.resample(signal, from_rate_hz, to_rate_hz, quality="VHQ"), np.float32)


Enhance = Callable[[Signal, int], Signal]
"""Takes ``(n,)`` and its rate in Hz; returns it enhanced, as long, aligned, at that rate."""


def contestants() -> dict[str, Callable[[], Enhance]]:
    """Return what can be measured, by name, each with its loader."""
    ours = {
        f"ours {model}{'' if mode is Dereverb.OFF else f' dereverb {mode}'}": partial(_load_ours, model, mode)
        for model in model_names()
        for mode in (Dereverb.OFF, Dereverb.AUTO, Dereverb.ON)
    }
    peers = {peer.name: partial(_load_peer, peer.load) for peer in PEERS}
    return {"input": lambda: lambda signal, _: signal, **peers, **ours}


def _load_peer(load: Callable[[], Callable[[Signal], Signal]]) -> Enhance:
    enhance = load()

    def at_any_rate(signal: Signal, rate_hz: int) -> Signal:
        wide = enhance(_resample(signal, rate_hz, RATE_HZ))
        return _fit(_resample(wide, RATE_HZ, rate_hz), len(signal))

    return at_any_rate


def _load_ours(model: str, dereverb: Dereverb) -> Enhance:
    loaded = load_model(model)

    def enhance(signal: Signal, rate_hz: int) -> Signal:
        path = SignalPath(loaded, rate_hz=rate_hz, channels=1, dereverb=dereverb)
        return _fit(np.concatenate([*path.process(signal[None]), *path.finish()], axis=1)[0], len(signal))

    return enhance


def _fit(signal: Signal, length: int) -> Signal:
    return np.pad(signal, (0, max(0, length - len(signal))))[:length]


@lru_cache
def loaded(name: str) -> Enhance | None:
    """Load a contestant once per process; None where its package is not installed."""
    try:
        return contestants()[name]()
    except ModuleNotFoundError as error:
        print(f"{name} is left out: {error}", file=sys.stderr)
        return None


def measure_item(name: str, reverberant: bool, *, folder: Path, names: Sequence[str]) -> Result:  # noqa: FBT001 - mapped
    """Run every contestant on one item and score it."""
    item = read_item(folder, name, reverberant=reverberant)
    scores = {}
    for contestant in names:
        enhance = loaded(contestant)
        if enhance is not None:
            scores[contestant] = measure(enhance(item.noisy, item.rate_hz), item)
    return Result(name, reverberant, scores)


def chosen(patterns: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the known names that match any pattern, in their own order; all of them where there is no pattern.

    Raises
    ------
    ValueError
        If a pattern matches none.
    """
    known, patterns = list(known), list(patterns)
    for pattern in patterns:
        if not fnmatch.filter(known, pattern):
            msg = f"nothing is called {pattern!r}; known: {', '.join(known)}"
            raise ValueError(msg)
    return [name for name in known if not patterns or any(fnmatch.fnmatchcase(name, one) for one in patterns)]


def spread(items: Sequence[tuple[str, bool]], limit: int | None) -> list[tuple[str, bool]]:
    """Return at most ``limit`` items, evenly spaced, so that both kinds are among them."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[round(at)] for at in np.linspace(0, len(items) - 1, limit)]


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error over what is a number; NaN where nothing tells."""
    known = np.array([value for value in values if np.isfinite(value)])
    if not known.size:
        return float("nan"), float("nan")
    error = float(np.std(known, ddof=1) / np.sqrt(known.size)) if known.size > 1 else float("nan")
    return float(np.mean(known)), error


def summarise(results: Sequence[Result]) -> dict[str, dict[str, tuple[float, float]]]:
    """Return, by contestant and measure, mean and standard error."""
    names = dict.fromkeys(name for result in results for name in result.scores)
    return {
        name: {
            field.name: mean_and_error([getattr(r.scores[name], field.name) for r in results if name in r.scores])
            for field in fields(Scores)
        }
        for name in names
    }


HEADINGS: Mapping[str, tuple[str, int]] = {
    "pesq": ("PESQ-WB", 3),
    "stoi": ("STOI", 3),
    "si_sdr_db": ("SI-SDR [dB]", 1),
    "overall": ("DNSMOS OVRL", 2),
    "signal": ("SIG", 2),
    "background": ("BAK", 2),
}


def kinds(results: Sequence[Result]) -> Iterator[tuple[str, list[Result]]]:
    """Yield all items, then the noisy and the reverberant ones apart where there are both."""
    yield "all", list(results)
    apart = [
        ("noisy", [r for r in results if not r.reverberant]),
        ("reverberant", [r for r in results if r.reverberant]),
    ]
    if all(found for _, found in apart):
        yield from apart


def table(title: str, results: Sequence[Result]) -> Table:
    """Lay the summary out, a line per contestant, mean ± standard error."""
    laid = Table(title=f"{title}: {len(results)} items, mean ± standard error")
    laid.add_column("")
    for heading, _ in HEADINGS.values():
        laid.add_column(heading, justify="right", no_wrap=True)
    for name, measures in summarise(results).items():
        cells = [_cell(*measures[key], digits=digits) for key, (_, digits) in HEADINGS.items()]
        laid.add_row(name, *cells)
    return laid


def _cell(mean: float, error: float, *, digits: int) -> str:
    return f"{mean:.{digits}f} ± {error:.{digits}f}" if np.isfinite(error) else f"{mean:.{digits}f}"


def as_json(folder: Path, results: Sequence[Result]) -> dict[str, Any]:
    """Return everything that was measured, for programs; what has no answer is null."""
    summary = {
        kind: {
            name: {key: {"mean": _known(mean), "standard_error": _known(error)} for key, (mean, error) in row.items()}
            for name, row in summarise(found).items()
        }
        for kind, found in kinds(results)
    }
    items = [
        {
            "id": result.item,
            "reverberant": result.reverberant,
            "scores": {
                name: {key: _known(value) for key, value in asdict(scores).items()}
                for name, scores in result.scores.items()
            },
        }
        for result in results
    ]
    return {"data": str(folder), "summary": summary, "items": items}


def _known(value: float) -> float | None:
    return round(value, 5) if np.isfinite(value) else None


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of pairs")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these only, as in 'ours dfn3*'")
    parser.add_argument("--limit", type=int, metavar="N", help="this many items only, evenly spaced")
    parser.add_argument("--jobs", type=int, default=2, help="processes, an item each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every score here, too")
    return parser.parse_args()


def main() -> int:
    """Print the tables."""
    arguments = _parse()
    folder = arguments.data
    try:
        items = spread(read_names(folder), arguments.limit)
        names = chosen(arguments.only, contestants())
    except (OSError, ValueError, KeyError) as error:
        print(f"cannot measure on {folder}: {error}", file=sys.stderr)
        return 1
    work = partial(measure_item, folder=folder, names=names)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(work, *zip(*items, strict=True)))
    console = Console(width=None if sys.stdout.isatty() else 140)
    for title, found in kinds(results):
        console.print(table(title, found))
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(folder, results), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
