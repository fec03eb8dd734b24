"""What is broken. Each fault waits for a job that is being worked on, so that it hits something, and says whom."""

import os
import random
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lambdas.core.errors import DomainError
from lambdas.core.jobs import MAX_ATTEMPTS, Job, JobStatus
from lambdas.core.routing import Lane
from lambdas.core.services.jobs import JobAdministration
from lambdas.core.workflow import HEARTBEAT_TIMEOUT_S
from scripts.chaos.scene import UNREACHABLE, DrillError, Scene
from scripts.local import launcher
from scripts.local.emulator import REFUSED_WRITES

MOMENT_WITHIN_S = 400.0
MIDDLE = (1.0, 90.0)
"""Percent done between which a job is half way through its samples; what comes after 97 is report and pictures."""

NOTICED_WITHIN_S = 180.0

MAY_COST: Mapping[str, int] = {"pause-runner": 2, "refuse-writes": 2}
"""Attempts of one job: what lasts hits the next one too. Else one."""


@dataclass(frozen=True)
class Hit:
    """A fault that was done, and the jobs it hit."""

    fault: str
    victims: tuple[str, ...]


@dataclass
class Breaker:
    """Breaks one thing after the other."""

    scene: Scene
    ask_for_more: Callable[[], None]
    """Called while there is no job left that a fault could still meet."""

    hits: list[Hit] = field(default_factory=list)
    victims: set[str] = field(default_factory=set)

    def do(self, fault: str) -> None:
        """Wait for the moment and break it; the cloud is whole again when this returns."""
        victims = self._moment(latest_attempt=MAX_ATTEMPTS - MAY_COST.get(fault, 1))
        told = ", ".join(f"{job.id[:8]} at {job.progress:.0f} %" for job in victims)
        self.scene.say(f"{fault}: hits {told}")
        self.victims |= {job.id for job in victims}
        FAULTS[fault](self, victims[0])
        self.hits.append(Hit(fault, tuple(job.id for job in victims)))

    def kill_runner(self, _: Job) -> None:
        """Kill what works on the audio, as the kernel does when memory is short."""
        self._signal_runners(signal.SIGKILL)

    def kill_endpoint(self, _: Job) -> None:
        """Kill the look-alike of the endpoint, and start it again."""
        self.scene.kill(launcher.SAGEMAKER, signal.SIGKILL)
        self.scene.up()

    def stop_emulator(self, _: Job) -> None:
        """Stop the emulator in an orderly way, in the middle of everything, and start it again."""
        self.scene.kill(launcher.EMULATOR, signal.SIGTERM)
        self.scene.up()

    def kill_emulator(self, _: Job) -> None:
        """Kill the emulator, and start it again."""
        self.scene.kill(launcher.EMULATOR, signal.SIGKILL)
        self.scene.up()

    def pause_runner(self, victim: Job) -> None:
        """Hold the worker until it is given up, then let it go on as if nothing had been."""
        self._signal_runners(signal.SIGSTOP)
        try:
            self._until_changed(victim, HEARTBEAT_TIMEOUT_S * self.scene.cloud.timer_scale + NOTICED_WITHIN_S)
        finally:
            self._signal_runners(signal.SIGCONT)

    def refuse_writes(self, victim: Job) -> None:
        """Have S3 refuse all results until a job has failed of it."""
        order = self.scene.cloud.state / REFUSED_WRITES
        order.write_text("out/")
        try:
            self._until_changed(victim, NOTICED_WITHIN_S)
        finally:
            order.unlink()

    def _moment(self, *, latest_attempt: int) -> list[Job]:
        """Return new jobs that are half way through a file, when all in hand are in that attempt at most."""
        found: list[Job] = []

        def is_there() -> bool:
            jobs = self.scene.jobs()
            # An earlier victim's row may say "running" long after its worker is gone: it keeps nothing waiting.
            fresh = [job for job in jobs if not job.is_terminal and job.id not in self.victims]
            if jobs and not fresh:
                self.ask_for_more()
            found[:] = [job for job in fresh if self._is_half_way(job)]
            # A job that every fault hits fails in the end, and rightly: it has three attempts.
            return bool(found) and not any(job.attempt > latest_attempt for job in jobs if _is_in_hand(job))

        if not self.scene.wait("a job half way through its file", is_there, MOMENT_WITHIN_S):
            raise DrillError("nothing was being worked on: the fault would have hit nobody and proved nothing")
        return found

    def _is_half_way(self, job: Job) -> bool:
        # Where the endpoint refuses an order for a moment, a function takes it: that one is not what a fault hits.
        lane = Lane.GPU if self.scene.cloud.has_gpu else Lane.CPU
        is_running = job.status is JobStatus.RUNNING and job.lane is lane
        return is_running and MIDDLE[0] < job.progress < MIDDLE[1]

    def _until_changed(self, victim: Job, limit_s: float) -> None:
        def has_changed() -> bool:
            return any(job.id == victim.id and job.attempt != victim.attempt for job in self.scene.jobs()) or any(
                job.id == victim.id and job.is_terminal for job in self.scene.jobs()
            )

        self.scene.wait(f"the end of attempt {victim.attempt} of {victim.id[:8]}", has_changed, limit_s)

    def _signal_runners(self, number: signal.Signals) -> None:
        for pid in self.scene.runners():
            os.kill(pid, number)


def _is_in_hand(job: Job) -> bool:
    return job.status in {JobStatus.ADMITTED, JobStatus.DISPATCHED, JobStatus.RUNNING}


FAULTS: Mapping[str, Callable[[Breaker, Job], None]] = {
    "kill-runner": Breaker.kill_runner,
    "kill-endpoint": Breaker.kill_endpoint,
    "stop-emulator": Breaker.stop_emulator,
    "kill-emulator": Breaker.kill_emulator,
    "pause-runner": Breaker.pause_runner,
    "refuse-writes": Breaker.refuse_writes,
}


@dataclass
class Canceller:
    """Cancels jobs at random moments, whatever they are just doing; not those that a fault has hit."""

    scene: Scene
    administration: JobAdministration
    breaker: Breaker
    count: int
    rng: random.Random
    every_s: float
    cancelled: set[str] = field(default_factory=set)
    caught: dict[str, int] = field(default_factory=dict)
    """How many were in which status."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="canceller", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Cancel nothing any more."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while len(self.cancelled) < self.count and not self._stop.wait(self.rng.uniform(0, 2 * self.every_s)):
            self._cancel_one()

    def _cancel_one(self) -> None:
        by_status: dict[JobStatus, list[Job]] = {}
        for job in self.scene.jobs():
            if not job.is_terminal and job.id not in self.breaker.victims:
                by_status.setdefault(job.status, []).append(job)
        if not by_status:
            return
        status = self.rng.choice(sorted(by_status))  # else nearly all would be caught while they wait
        job = self.rng.choice(by_status[status])
        try:
            self.administration.cancel(job.id)
        except (DomainError, *UNREACHABLE):
            return  # it was quicker, or the emulator is away: whether the cancellation counts, the row says
        self.cancelled.add(job.id)
        self.caught[status] = self.caught.get(status, 0) + 1
        self.scene.say(f"cancelled {job.id[:8]}, which was {status}")
