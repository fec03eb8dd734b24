"""One drill from start to end: a calm run, the storm, and the account."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from infra.outputs import Output
from lambdas.core.clients import DEFAULT_MAX_ACTIVE
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.rates import RateClass
from lambdas.core.workflow import SWEEP_INTERVAL_S, FunctionName
from scripts.adobe_api import Access
from scripts.chaos import account, clips
from scripts.chaos.account import Account, Line
from scripts.chaos.clips import Recording
from scripts.chaos.drive import Clients, Ledger, signed_in
from scripts.chaos.echo import Echo
from scripts.chaos.faults import Breaker, Canceller, Hit
from scripts.chaos.receiver import listening
from scripts.chaos.scene import POLL_S, UNREACHABLE, DrillError, Rows, Scene
from scripts.cli.all_jobs import administration_of
from scripts.local import emulator, launcher
from scripts.local.paths import Cloud, outputs_of

CLIENTS = 2
WORKED_OFF_S = 20.0
"""After the last echo: so long repeated events may take to be worked off."""

ALL_TOLD_S = 420.0
"""What a killed function had in hand comes back twice six timeouts later: once as an outcome, once as a delivery."""


@dataclass(frozen=True)
class Plan:
    """What is done in one drill.

    Attributes
    ----------
    over_s
        The time over which the jobs are asked for.
    limit_s
        What no job has come any further for in this time is stuck.
    """

    jobs: int
    poison: int
    cancels: int
    faults: tuple[str, ...]
    seed: int
    over_s: float
    limit_s: float


@dataclass(frozen=True)
class Drill:
    """What came of it."""

    lines: tuple[Line, ...]
    hits: tuple[Hit, ...]
    notes: Mapping[str, object]

    @property
    def passed(self) -> bool:
        """Whether nothing is there that must not be."""
        return all(line.is_right for line in self.lines)


def drill(cloud: Cloud, plan: Plan, folder: Path, say: Callable[[str], None]) -> Drill:
    """Bring ``cloud`` up, run the drill on it, and stop it again."""
    recordings = clips.plan(folder, jobs=plan.jobs, poison=plan.poison, clients=CLIENTS, seed=plan.seed)
    try:
        launcher.up(cloud, say)
        scene = Scene(cloud, outputs_of(cloud), say)
        found = _on(scene, plan, recordings)
    finally:
        launcher.down(cloud)
    leftover = account.nothing("processes left over", (str(pid) for pid in scene.survivors()))
    return Drill((*found.lines, leftover), found.hits, found.notes)


def _on(scene: Scene, plan: Plan, recordings: Sequence[Recording]) -> Drill:
    accesses = _clients(scene)
    began = time.monotonic()
    calm_ledger = Ledger()
    with signed_in(accesses, calm_ledger) as clients:
        scene.say("calm run")
        clients.submit(recordings)
        _wait_for_ends(scene, calm_ledger, plan.limit_s)
        calm = _outputs(scene, clients, calm_ledger)
    calm_s = time.monotonic() - began

    scene.say("the storm")
    # Each thread draws from numbers of its own: else the order of the faults would hang on who comes first.
    faults_rng, cancels_rng = (random.Random(f"{what} {plan.seed}") for what in ("faults", "cancels"))  # noqa: S311
    ledger, echo = Ledger(), Echo(scene)
    every_s = plan.over_s / max(1, plan.cancels)
    longest = max(recordings, key=lambda recording: recording.path.stat().st_size)
    began = time.monotonic()
    with signed_in(accesses, ledger) as clients, ExitStack() as running:
        told = running.enter_context(listening(scene, [access.client_id for access in accesses]))
        echo.start()
        running.callback(echo.stop)
        running.enter_context(_sweeping(scene))
        submitting = threading.Thread(target=clients.submit, args=(recordings,), kwargs={"over_s": plan.over_s})
        submitting.start()

        def ask_for_more() -> None:
            if not submitting.is_alive():
                scene.say(f"no job is left for a fault to meet: once more {longest.path.name}")
                clients.submit([longest])

        breaker = Breaker(scene, ask_for_more)
        canceller = Canceller(scene, administration_of(scene.outputs), breaker, plan.cancels, cancels_rng, every_s)
        canceller.start()
        running.callback(canceller.stop)
        for fault in faults_rng.sample(plan.faults, len(plan.faults)):
            breaker.do(fault)
        submitting.join()
        _wait_for_ends(scene, ledger, plan.limit_s)
        canceller.stop()
        storm_s = time.monotonic() - began
        scene.say("all events once more, the newest first")
        echo.stop()
        echo.repeat_everything()
        _wait_until_quiet(scene)
        scene.wait("all receivers", lambda: {order.job_id for order in ledger.jobs()} <= told.job_ids, ALL_TOLD_S)
        orders, rows = tuple(ledger.orders), _rows(scene, ledger)
        found = Account(scene, clients, orders, rows, canceller.cancelled, told.job_ids)
        lines = found.lines(calm)
    retried = sum(job.attempt > 1 for job in found.rows.jobs)
    notes = {
        "calm run [s]": round(calm_s),
        "storm [s]": round(storm_s),
        "events delivered again": echo.delivered,
        "calls that clients had to repeat": ledger.unanswered,
        "jobs that needed a further attempt": retried,
        "cancelled while": ", ".join(f"{status} {count}" for status, count in sorted(canceller.caught.items())),
        "dead letters": account.dead_letters(scene) or "none",
    }
    return Drill(tuple(lines), tuple(breaker.hits), notes)


def _clients(scene: Scene) -> list[Access]:
    """Make the clients of the drill."""
    emulator.enter(scene.cloud)
    from lambdas.bootstrap import client_administration  # noqa: PLC0415 - reads the environment that was just set

    administration = client_administration(scene.outputs[Output.TABLE_NAME])
    unhurried = dict.fromkeys(RateClass, 1_000_000)
    made = [
        administration.create(f"chaos-{number}", max_active=DEFAULT_MAX_ACTIVE, rate_limits=unhurried)
        for number in range(CLIENTS)
    ]
    return [Access(scene.cloud.base_url, client.id, secret) for client, secret in made]


@contextmanager
def _sweeping(scene: Scene) -> Iterator[None]:
    """Wake the sweeper as much more often as its waiting times are shorter."""
    stop = threading.Event()

    def sweep() -> None:
        while not stop.wait(SWEEP_INTERVAL_S * scene.cloud.timer_scale):
            with suppress(*UNREACHABLE):
                scene.invoke(FunctionName.SWEEP, {})

    thread = threading.Thread(target=sweep, name="sweeping", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _wait_for_ends(scene: Scene, ledger: Ledger, limit_s: float) -> None:
    """Wait until all jobs have ended, or none has come any further within ``limit_s``."""
    seen: dict[str, Job] = {}
    deadline = time.monotonic() + limit_s
    while not all(order.job_id in _ended(seen.values()) for order in ledger.jobs()):
        now = {job.id: job for job in scene.jobs()}
        if now and now != seen:
            seen, deadline = now, time.monotonic() + limit_s
        if time.monotonic() > deadline:
            scene.say(f"no job has come any further for {limit_s:.0f} s")
            return
        time.sleep(POLL_S)


def _ended(jobs: Iterable[Job]) -> set[str]:
    return {job.id for job in jobs if job.is_terminal}


def _wait_until_quiet(scene: Scene) -> None:
    """Wait until the repeated events have been worked off and every end was told."""

    def is_quiet() -> bool:
        states = scene.aws("stepfunctions")
        machines = (scene.outputs[name] for name in (Output.INTAKE_MACHINE_ARN, Output.ENHANCEMENT_MACHINE_ARN))
        running = any(
            states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
            for machine in machines
        )
        return not running and all(job.notified_at for job in scene.jobs() if job.is_terminal)

    scene.wait("the last executions", is_quiet, WORKED_OFF_S + SWEEP_INTERVAL_S * scene.cloud.timer_scale)


def _outputs(scene: Scene, clients: Clients, ledger: Ledger) -> dict[str, bytes]:
    """Return what the calm run made, by name; raises where it was not calm."""
    jobs: dict[str, Job] = {job.id: job for job in scene.jobs()}
    bad = [order.name for order in ledger.jobs() if jobs[str(order.job_id)].status is not JobStatus.SUCCEEDED]
    bad += [order.name for order in ledger.orders if (order.job_id is None) != order.recording.is_poison]
    if bad:
        raise DrillError(f"the calm run failed already: {bad}")
    return {order.name: clients.download(order) for order in ledger.jobs()}


def _rows(scene: Scene, ledger: Ledger) -> Rows:
    """Return the rows of the storm alone."""
    assets = {order.asset_id for order in ledger.orders}
    rows = scene.rows()
    jobs = tuple(job for job in rows.jobs if job.asset_id in assets)
    return replace(rows, assets=tuple(asset for asset in rows.assets if asset.id in assets), jobs=jobs)
