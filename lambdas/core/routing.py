"""Which lane works on a job: one table, fed with measured factors.

Many files are many jobs, each with a lane of its own and admitted fairly; only what is too long for one function is
worked on in parts.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from gpu_container.contract import Part
from lambdas.core.errors import DomainError, DomainErrorCode


class Lane(StrEnum):
    """Where an order can run; stored with the job, append-only."""

    GPU = "gpu"
    CPU = "cpu"
    CPU_FAN_OUT = "cpu-fan-out"


class TooLongError(DomainError):
    """No lane of this deployment could finish the file within one invocation."""

    def __init__(self, message: str) -> None:
        super().__init__(DomainErrorCode.PARAMETER_INVALID, message)


@dataclass(frozen=True)
class LaneSpeed:
    """What one lane spends on a second of audio, in seconds; measured values from the configuration.

    Attributes
    ----------
    mono, stereo
        The network, by model; further channels count as pairs. A model that is not listed costs as much as the dearest.
    dereverb
        On top, for each channel.
    report, codecs
        On top, whatever the channels: looking at the result, reading and writing it.
    limit_s
        The longest estimate the lane is given: well below the end of an invocation, because factors are means.
    part_s, decode
        Of a lane that works in parts: how much audio one function gets, and what decoding costs that begins with the
        file, wherever the part does. None: the lane takes a file as a whole.
    """

    mono: Mapping[str, float]
    stereo: Mapping[str, float]
    dereverb: float
    report: float
    codecs: float
    limit_s: float
    part_s: int | None = None
    decode: float = 0.0


@dataclass(frozen=True)
class Work:
    """What a job asks for, as far as its cost goes."""

    model: str
    channels: int
    duration_s: float
    dereverb: bool
    report: bool


@dataclass(frozen=True)
class Route:
    """One row of the table: a lane, and whether it is taken only while it costs no start."""

    lane: Lane
    only_warm: bool = False


ROUTES = (Route(Lane.GPU, only_warm=True), Route(Lane.CPU), Route(Lane.CPU_FAN_OUT), Route(Lane.GPU))
"""In this order: a GPU that runs is paid for already; a function starts at once and costs least, and so do several;
waking a GPU takes minutes and costs as much as some thirty hours of audio on functions: it is for what they cannot,
however much waits (``docs/adr/0029-left-out.md``)."""

MAX_PARTS = 40
"""All of them travel with the order; a longer file has longer parts."""

MIN_LAST_PART = 0.25
"""Of a part: a shorter remainder joins the part before it."""


def parts_of(duration_s: float, part_s: int) -> tuple[Part, ...]:
    """Cut a recording into parts of ``part_s`` seconds, or longer ones where they would be too many.

    The last has no end: a length is known exactly only once all of a file was decoded.
    """
    length_s = _part_length_s(duration_s, part_s)
    whole, rest_s = divmod(duration_s, length_s)
    count = max(1, int(whole) + (rest_s >= MIN_LAST_PART * length_s))
    return tuple(
        Part(number=number, start_s=number * length_s, end_s=(number + 1) * length_s if number + 1 < count else None)
        for number in range(count)
    )


def estimate_s(work: Work, speed: LaneSpeed) -> float:
    """Return how long the lane would work on it, in seconds: of several invocations, the longest."""
    if speed.part_s is None:
        return (_wet_factor(work, speed) + _dry_factor(work, speed)) * work.duration_s
    if work.duration_s <= speed.part_s:
        return math.inf  # there is nothing to share out
    longest_s = _part_length_s(work.duration_s, speed.part_s) * (1 + MIN_LAST_PART)
    part = _wet_factor(work, speed) * min(longest_s, work.duration_s) + speed.decode * work.duration_s
    return max(part, _dry_factor(work, speed) * work.duration_s)


def _part_length_s(duration_s: float, part_s: int) -> int:
    return max(part_s, math.ceil(duration_s / MAX_PARTS))


def _wet_factor(work: Work, speed: LaneSpeed) -> float:
    """Return the cost of a second of the fully enhanced signal."""
    network = speed.mono if work.channels == 1 else speed.stereo
    pairs = 1 if work.channels == 1 else (work.channels + 1) // 2
    factor = pairs * network.get(work.model, max(network.values()))
    return factor + (work.channels * speed.dereverb if work.dereverb else 0.0)


def _dry_factor(work: Work, speed: LaneSpeed) -> float:
    """Return the cost of the rest: from that signal to a result and its report."""
    return speed.codecs + (speed.report if work.report else 0.0)


def fitting(work: Work, speeds: Mapping[Lane, LaneSpeed], *, avoided: Collection[Lane] = ()) -> frozenset[Lane]:
    """Return the lanes that can finish the work; those avoided only where there is no other.

    Raises
    ------
    TooLongError
        If there is none.
    """
    able = frozenset(lane for lane, speed in speeds.items() if estimate_s(work, speed) <= speed.limit_s)
    if not able:
        raise TooLongError(f"{work.duration_s:.0f} s of audio are too long for one invocation")
    return able.difference(avoided) or able


def affordable(work: Work, speeds: Mapping[Lane, LaneSpeed]) -> Work:
    """Return the work, without its report where only so a lane can finish it: the audio is what was asked for."""
    if any(estimate_s(work, speed) <= speed.limit_s for speed in speeds.values()):
        return work
    return replace(work, report=False)


def in_order(able: Collection[Lane], *, gpu_is_warm: bool) -> tuple[Lane, ...]:
    """Return the lanes as the table prefers them; each after the first is where to go if the one before refuses."""
    rows = (row.lane for row in ROUTES if row.lane in able and (gpu_is_warm or not row.only_warm))
    return tuple(dict.fromkeys(rows))
