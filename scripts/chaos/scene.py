"""The place of the drill: one cloud, what can be seen of it from above, and the ways to its functions and processes."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import BotoCoreError, ClientError

from infra.outputs import Output, function_output
from lambdas.adapters.aws import items
from lambdas.core.assets import Asset
from lambdas.core.clients import Client
from lambdas.core.jobs import Job
from lambdas.core.workflow import FunctionName
from scripts.local import emulator, launcher, processes
from scripts.local.paths import Cloud

UNREACHABLE = (BotoCoreError, ClientError)
GONE_WITHIN_S = 120.0
POLL_S = 0.1
"""A quick machine is half way through a file for less than a second."""

_VALUES = TypeDeserializer()

_RUNNER = {True: "gpu_container.serving serve", False: "lambda_handler.enhance"}
"""By whether there is a GPU lane: what the command line of the process that works on audio holds."""


class DrillError(Exception):
    """The drill could not be done: it says nothing about the service."""


@dataclass(frozen=True)
class Rows:
    """Every row of the table, read at once."""

    clients: tuple[Client, ...]
    assets: tuple[Asset, ...]
    jobs: tuple[Job, ...]
    slots_taken: int
    queued: frozenset[str]
    """Jobs that have a place in a queue."""
    claimed: frozenset[str]
    """Jobs that hold the uniqueness of (asset, model, strength)."""


@dataclass(frozen=True)
class Scene:
    """A running cloud of the drill's own."""

    cloud: Cloud
    outputs: Mapping[str, str]
    say: Callable[[str], None]
    family: set[tuple[int, str]] = field(default_factory=set)
    """Every process seen below the launcher's own, with the time of its start: none may outlive the cloud."""

    def aws(self, service: str) -> Any:
        """Return a client of ``service`` with the administrator's rights."""
        return emulator.client(self.cloud, service)

    def invoke(self, function: FunctionName, event: Mapping[str, Any]) -> None:
        """Start a function as an event source does."""
        name = self.outputs[function_output(function)]
        self.aws("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode())

    def rows(self) -> Rows:
        """Read the table; raises what `UNREACHABLE` lists while the emulator is away."""
        pages = (
            self.aws("dynamodb")
            .get_paginator("scan")
            .paginate(TableName=self.outputs[Output.TABLE_NAME], ConsistentRead=True)
        )
        return _rows([_plain(item) for page in pages for item in page["Items"]])

    def jobs(self) -> tuple[Job, ...]:
        """Return every job, or nothing while the emulator is away."""
        with suppress(*UNREACHABLE):
            return self.rows().jobs
        return ()

    def wait(self, what: str, until: Callable[[], bool], limit_s: float) -> bool:
        """Wait for something to become true; returns whether it did."""
        deadline = time.monotonic() + limit_s
        while not until():
            if time.monotonic() > deadline:
                self.say(f"waited {limit_s:.0f} s in vain: {what}")
                return False
            time.sleep(POLL_S)
        return True

    def pid(self, name: str) -> int:
        """Return the number of one of the launcher's processes."""
        return self._process(name).pid

    def runners(self) -> list[int]:
        """Return the processes that work on audio: the container's server, or the CPU lane's functions."""
        self.remember()
        root = self.pid(launcher.SAGEMAKER if self.cloud.has_gpu else launcher.EMULATOR)
        return [pid for pid, command in _descendants(root) if _RUNNER[self.cloud.has_gpu] in command]

    def remember(self) -> None:
        """Note which processes there are now."""
        found = [process.pid for name in launcher.parts(self.cloud) if (process := self._running(name))]
        below = {pid for root in found for pid, _ in _descendants(root)}
        self.family.update((pid, started) for pid in {*found, *below} if (started := processes.started_at(pid)))

    def survivors(self) -> list[int]:
        """Return the noted processes that still run."""
        return [pid for pid, started in self.family if processes.started_at(pid) == started]

    def _running(self, name: str) -> processes.Process | None:
        return processes.running(self.cloud.run, name)

    def _process(self, name: str) -> processes.Process:
        process = self._running(name)
        if process is None:
            raise DrillError(f"{name} does not run")
        return process

    def kill(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one of the launcher's processes and wait for its end."""
        self.remember()
        process = self._process(name)
        os.kill(process.pid, number)
        if not self.wait(f"the end of {name}", lambda: not process.alive, GONE_WITHIN_S):
            raise DrillError(f"{name} did not end of {number.name}")

    def up(self) -> None:
        """Do what a person does: ``make up``."""
        launcher.up(self.cloud, lambda _: None)


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    return {name: _VALUES.deserialize(value) for name, value in item.items()}


def _rows(found: list[Any]) -> Rows:
    def of(prefix: str) -> list[Any]:
        return [item for item in found if str(item["sk"]).startswith(prefix)]

    slots: dict[str, Any] = next((item for item in found if item["pk"] == items.SLOTS_KEY["pk"]), {})
    return Rows(
        clients=tuple(items.to_client(item) for item in of("META") if "client_id" in item),
        assets=tuple(items.to_asset(item) for item in of("A#")),
        jobs=tuple(items.to_job(item) for item in of("J#")),
        slots_taken=int(slots.get("active", 0)),
        queued=frozenset(str(item["job_id"]) for item in of(items.QUEUE_PREFIX)),
        claimed=frozenset(str(item["job_id"]) for item in of("U#")),
    )


def _all_processes() -> list[tuple[int, int, str]]:
    """Return the number, the parent's number and the command line of every process."""
    if Path("/proc/self/stat").exists():
        return [found for folder in Path("/proc").glob("[0-9]*") if (found := _process_in(folder))]
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=True)
    rows = (line.split(None, 2) for line in listed.stdout.splitlines())
    return [(int(row[0]), int(row[1]), row[2]) for row in rows if len(row) == 3]


def _process_in(folder: Path) -> tuple[int, int, str] | None:
    with suppress(OSError):  # it has ended meanwhile
        parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return int(folder.name), parent, command
    return None


def _descendants(root: int) -> list[tuple[int, str]]:
    everything = _all_processes()
    family = {root}
    while True:
        grown = family | {pid for pid, parent, _ in everything if parent in family}
        if grown == family:
            return [(pid, command) for pid, _, command in everything if pid in family - {root}]
        family = grown
