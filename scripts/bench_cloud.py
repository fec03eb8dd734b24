"""What the benchmarks of the whole product share: a cloud of their own, clients, clips, jobs, and CPU seconds."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import soundfile as sf
from rich.console import Console
from rich.table import Table

from infra.outputs import Output
from lambdas.bootstrap import client_administration
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.rates import RateClass
from lambdas.core.services.clients import ClientAdministration
from lambdas.core.services.jobs import JobAdministration
from scripts.adobe_api import Access, Api
from scripts.cli.all_jobs import administration_of
from scripts.local import emulator, launcher, processes
from scripts.local.paths import REPO, Cloud, outputs_of
from scripts.recordings import read

SAMPLE = REPO / "samples" / "librivox-noisy.mp3"
ASSETS = "/audio_services/v1/assets"
CLI = (sys.executable, "-m", "scripts.cli.main")
STRENGTHS = range(1, 101)
"""Adobe's rule: the same strength of an asset is asked for once."""

START_LIMIT_S = 600
POLL_S = 0.25
SENDERS = 4
"""Calls of one client at a time while it fills its queue."""

WIDTH = 110
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Bench:
    """A running cloud and what an operator may do with it."""

    cloud: Cloud
    outputs: dict[str, str]
    clients: ClientAdministration
    jobs: JobAdministration
    http: httpx.Client

    def sign_in(self, name: str, *, max_active: int = 5) -> Api:
        """Return a new client, signed in; 1 job at a time is Adobe's way, 0 lets its jobs wait."""
        client, secret = self.clients.create(
            name, max_active=max_active, max_queued=10_000, rate_limits=dict.fromkeys(RateClass, 1_000_000)
        )
        return Api.sign_in(self.http, Access(self.cloud.base_url, client.id, secret))

    def let_run(self, api: Api, max_active: int) -> None:
        """Change how many of a client's jobs may be in hand, and wake its admission."""
        client = self.clients.clients.get(api.client_id)
        if client is None:
            raise LookupError(api.client_id)
        self.clients.clients.save(replace(client, max_active=max_active))
        self.jobs.cancelling.queue.tick(client.id)

    def configure(self, function: str, **variables: str) -> None:
        """Set environment variables of a function; its next start has them."""
        functions, name = emulator.client(self.cloud, "lambda"), self.outputs[f"Function{function}"]
        known = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": known | variables})

    def finished(self, client_id: str, ids: Sequence[str], *, limit_s: float = 3600) -> list[Job]:
        """Wait for jobs to end; return them in the order of ``ids``.

        Raises
        ------
        RuntimeError
            If one of them failed: what was measured would mean nothing.
        """
        deadline, ended = monotonic() + limit_s, dict[str, Job]()
        while open_ids := [one for one in ids if one not in ended]:
            if monotonic() > deadline:
                raise TimeoutError(f"{len(open_ids)} jobs have not ended within {limit_s:.0f} s")
            # In the order of the queue: while the first are under way there is no need to look at the others.
            for one in open_ids[:SENDERS]:
                job = self.jobs.jobs.get(client_id, one)
                if job is not None and job.is_terminal:
                    ended[one] = job
            if not any(one in ended for one in open_ids[:SENDERS]):
                sleep(POLL_S)
        if failed := [job for job in ended.values() if job.status is not JobStatus.SUCCEEDED]:
            raise RuntimeError(f"{len(failed)} jobs failed, the first with {failed[0].error_message}")
        return [ended[one] for one in ids]

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds spent so far: the emulator's own, its functions', the lane's, the edge's."""
        pids = {name: process.pid for name in launcher.parts(self.cloud) if (process := self._process(name))}
        own = _own_cpu_s(pids[launcher.EMULATOR])
        spent = {name: tree_cpu_s(pid) for name, pid in pids.items()}
        spent["functions"] = spent[launcher.EMULATOR] - own
        return spent | {launcher.EMULATOR: own}

    def _process(self, name: str) -> processes.Process | None:
        return processes.running(self.cloud.run, name)


@contextmanager
def bench() -> Iterator[Bench]:
    """Start a cloud in a temporary home on free ports, and take it away again."""
    with tempfile.TemporaryDirectory(prefix="cleartake-bench-") as folder:
        ports = free_ports(3)
        cloud = Cloud(Path(folder), port=ports[0], emulator_port=ports[1], sagemaker_port=ports[2])
        emulator.enter(cloud)
        try:
            _cleartake(cloud, "up")
            outputs = outputs_of(cloud)
            with httpx.Client(trust_env=False, timeout=60, limits=httpx.Limits(max_connections=64)) as http:
                clients = client_administration(outputs[Output.TABLE_NAME])
                yield Bench(cloud, outputs, clients, administration_of(outputs), http)
        finally:
            _cleartake(cloud, "down")


def _cleartake(cloud: Cloud, command: str) -> None:
    """Run the command line as a person would: what it loads to deploy does not stay in this process."""
    environment = emulator.clean_environment() | {
        "CLEARTAKE_HOME": str(cloud.home),
        "CLEARTAKE_PORT": str(cloud.port),
        "CLEARTAKE_EMULATOR_PORT": str(cloud.emulator_port),
        "CLEARTAKE_SAGEMAKER_PORT": str(cloud.sagemaker_port),
    }
    subprocess.run(
        [*CLI, command], cwd=REPO, env=environment, check=True, timeout=START_LIMIT_S, stdout=subprocess.DEVNULL
    )


def free_ports(number: int) -> list[int]:
    """Return ports of this machine that nobody listens on."""
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def clips(folder: Path, *, number: int, duration_s: float, source: Path = SAMPLE) -> list[Path]:
    """Write stretches of a recording, each from somewhere else in it, to WAV files; shorter recordings are repeated."""
    recording, rate_hz = read(source)
    length, period = int(duration_s * rate_hz), recording.shape[1]
    targets = [folder / f"clip-{one:03d}.wav" for one in range(number)]
    for one, target in enumerate(targets):
        start = one * period // number
        frames = (start + index for index in range(length))
        sf.write(target, recording[0].take(list(frames), mode="wrap"), rate_hz, subtype="PCM_16")
    return targets


def upload(api: Api, path: Path) -> str:
    """Upload a recording; returns its id once it is ready."""
    asset = api.create_asset(path, "audio/wav")
    api.upload(path, asset)
    api.wait_until_ready(asset["id"])
    return str(asset["id"])


def submit(api: Api, asset_id: str, strength: int) -> str:
    """Ask for an enhancement; returns its id."""
    return str(api.call("POST", f"{ASSETS}/{asset_id}/speech_enhancements", json={"strength": strength})["id"])


def submit_many(api: Api, wanted: Sequence[tuple[str, int]], *, senders: int = SENDERS) -> list[str]:
    """Ask for many (asset, strength), ``senders`` at a time; returns their ids in the order of ``wanted``."""
    with ThreadPoolExecutor(senders) as pool:
        return list(pool.map(lambda pair: submit(api, *pair), wanted))


def tree_cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and everything it has started, ended children included."""
    parents = {int(entry.name): _fields(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    family, grown = {pid}, True
    while grown:
        more = {one for one, fields in parents.items() if fields and int(fields[1]) in family} - family
        family, grown = family | more, bool(more)
    # user, system, and the same of children that have ended
    return sum(sum(map(int, fields[11:15])) for one in family if (fields := parents.get(one))) / TICKS_PER_S


def _own_cpu_s(pid: int) -> float:
    return sum(map(int, _fields(pid)[11:13])) / TICKS_PER_S


def _fields(pid: int) -> list[str]:
    """Return /proc/<pid>/stat from the third field on (proc(5)); nothing for a process that has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; the first column is words, the others are numbers."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, str) else f"{cell:.3g}" for cell in row))
    Console(width=WIDTH).print(table)
