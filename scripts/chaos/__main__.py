"""``make chaos``: run the drill and print the account; exit code 1 if anything is there that must not be."""

import argparse
import os
import random
import socket
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.chaos.faults import FAULTS
from scripts.chaos.run import Drill, Plan, drill
from scripts.chaos.scene import DrillError
from scripts.local.paths import HOST, Cloud, LauncherError

TIMER_SCALE = 0.25
WORKER_HEARTBEAT_S = 0.2
"""So that a drill sees how far a job is, one of less than a second too; nobody is given up sooner for it."""

DEFAULT_FAULTS = (*["kill-runner"] * 3, "kill-endpoint", "stop-emulator", "pause-runner", "refuse-writes")
WITHOUT_A_GPU = frozenset({"kill-endpoint"})


def main() -> int:
    """Run one drill."""
    given = _parse()
    faults = tuple(fault for fault in given.faults if given.lane == "gpu" or fault not in WITHOUT_A_GPU)
    plan = Plan(
        jobs=given.jobs,
        poison=given.poison,
        cancels=given.cancels,
        faults=faults,
        seed=given.seed,
        over_s=given.over_s if given.over_s is not None else 4.0 * given.jobs,
        limit_s=given.limit_s,
    )
    os.environ["CLEARTAKE_HEARTBEAT_S"] = str(WORKER_HEARTBEAT_S)
    began = time.monotonic()

    def say(message: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {message}", file=sys.stderr, flush=True)

    say(f"seed {plan.seed}")
    with tempfile.TemporaryDirectory(prefix="cleartake-chaos-") as scratch:
        home = given.home or Path(scratch) / "home"
        clips = Path(scratch) / "clips"
        clips.mkdir()
        try:
            done = drill(_cloud(home, given), plan, clips, say)
        except (LauncherError, DrillError) as error:
            print(f"The drill could not be done: {error}", file=sys.stderr)
            return 2
    _show(done)
    return 0 if done.passed else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=40, help="(default: %(default)s)")
    parser.add_argument(
        "--poison", type=int, default=3, help="of them, files that hold no audio (default: %(default)s)"
    )
    parser.add_argument("--cancels", type=int, default=10, help="jobs cancelled (default: %(default)s)")
    parser.add_argument("--faults", type=_faults, default=DEFAULT_FAULTS, help=f"of: {', '.join(FAULTS)}; with commas")
    parser.add_argument("--lane", choices=("gpu", "cpu"), default="gpu", help="cpu: a cloud without a GPU")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats a drill")  # noqa: S311
    parser.add_argument("--over-s", type=float, help="time over which the jobs are asked for (default: 4 s each)")
    parser.add_argument(
        "--limit-s", type=float, default=120.0, help="what stands still for so long is stuck (default: %(default)s)"
    )
    parser.add_argument("--home", type=Path, help="keep the cloud's data and logs there (default: nowhere)")
    parser.add_argument("--port", type=int, default=0, help="of the first of three (default: any that are free)")
    return parser.parse_args()


def _faults(text: str) -> tuple[str, ...]:
    faults = tuple(text.split(","))
    if unknown := set(faults) - set(FAULTS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return faults


def _cloud(home: Path, given: argparse.Namespace) -> Cloud:
    edge, emulator, sagemaker = range(given.port, given.port + 3) if given.port else _free_ports(3)
    return Cloud(
        home=home.absolute(),
        port=edge,
        emulator_port=emulator,
        sagemaker_port=sagemaker,
        has_gpu=given.lane == "gpu",
        timer_scale=TIMER_SCALE,
    )


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _show(done: Drill) -> None:
    console = Console(width=110)
    faults = Table(title="What was broken")
    for column in ("fault", "jobs it hit"):
        faults.add_column(column)
    for hit in done.hits:
        faults.add_row(hit.fault, ", ".join(job_id[:8] for job_id in hit.victims))
    console.print(faults)
    account = Table(title="The account")
    for column in ("", "count", "must be", ""):
        account.add_column(column, justify="right" if column in {"count", "must be"} else "left")
    for line in done.lines:
        must_be = "" if line.expected is None else str(line.expected)
        account.add_row(line.name, str(line.count), must_be, "" if line.is_right else "[bold red]WRONG")
    for name, value in done.notes.items():
        account.add_row(f"[dim]{name}", f"[dim]{value}")
    console.print(account)
    for line in done.lines:
        for wrong in line.wrong:
            print(f"{line.name}: {wrong}")


if __name__ == "__main__":
    sys.exit(main())
