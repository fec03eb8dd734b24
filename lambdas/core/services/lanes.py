"""The lanes of this deployment: choosing one for a job, and the next where one refuses."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from gpu_container.contract import Part
from lambdas.core.jobs import Job
from lambdas.core.ports import ComputeBackend, Warmth
from lambdas.core.routing import Lane, LaneSpeed, Work, fitting, in_order, parts_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lanes:
    """What there is: a backend and its measured speed for each lane, and word of whether the GPU is awake."""

    backends: Mapping[Lane, ComputeBackend]
    speeds: Mapping[Lane, LaneSpeed]
    warmth: Warmth

    def choose(self, job: Job, work: Work) -> tuple[Lane, ...]:
        """Return the lanes to try, best first; raises `TooLongError` where none could finish the work."""
        able = fitting(work, self.speeds, avoided=job.avoided_lanes)
        chosen = in_order(able, gpu_is_warm=len(able) > 1 and self.warmth.is_warm())
        logger.info("routed", extra={"job_id": job.id, "attempt": job.attempt, "lane": chosen[0]})
        return chosen

    def parts(self, lane: Lane, work: Work) -> tuple[Part, ...]:
        """Return what the lane works on side by side; nothing where it takes the file as a whole."""
        part_s = self.speeds[lane].part_s
        return () if part_s is None else parts_of(work.duration_s, part_s)
