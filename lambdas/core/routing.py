"""Which lane works on a job: one table, fed with measured factors."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from lambdas.core.errors import DomainError, DomainErrorCode


class Lane(StrEnum):
    """Where an order can run; stored with the job, append-only."""

    GPU = "gpu"
    CPU = "cpu"


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
    """

    mono: Mapping[str, float]
    stereo: Mapping[str, float]
    dereverb: float
    report: float
    codecs: float
    limit_s: float


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


ROUTES = (Route(Lane.GPU, only_warm=True), Route(Lane.CPU), Route(Lane.GPU))
"""In this order: a GPU that runs is paid for already; a function starts at once and costs least; waking a GPU is for
what is too long for one function."""


def estimate_s(work: Work, speed: LaneSpeed) -> float:
    """Return how long the lane would work on it, in seconds."""
    network = speed.mono if work.channels == 1 else speed.stereo
    pairs = 1 if work.channels == 1 else (work.channels + 1) // 2
    factor = pairs * network.get(work.model, max(network.values())) + speed.codecs
    if work.dereverb:
        factor += work.channels * speed.dereverb
    if work.report:
        factor += speed.report
    return factor * work.duration_s


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


def in_order(able: Collection[Lane], *, gpu_is_warm: bool) -> tuple[Lane, ...]:
    """Return the lanes as the table prefers them; each after the first is where to go if the one before refuses."""
    rows = (row.lane for row in ROUTES if row.lane in able and (gpu_is_warm or not row.only_warm))
    return tuple(dict.fromkeys(rows))
