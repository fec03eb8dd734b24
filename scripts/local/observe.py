"""Looks at a local cloud: what runs and what waits. Changes nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.outputs import Output
from lambdas.adapters.system import SystemClock
from lambdas.core.services.jobs import ClientWork
from scripts.local import emulator, launcher, processes
from scripts.local.edge import HEALTH_PATH
from scripts.local.paths import Cloud


@dataclass(frozen=True)
class Part:
    """One background process; ``pid`` is None if it does not run."""

    name: str
    port: int
    pid: int | None
    healthy: bool


@dataclass(frozen=True)
class Seen:
    """The state of a cloud. ``work`` counts what waits and what runs, ``clients`` whose; None if nobody can tell."""

    parts: tuple[Part, ...]
    work: dict[str, int] | None = None
    clients: Sequence[ClientWork] = ()

    @property
    def up(self) -> bool:
        """Whether every part runs and answers."""
        return all(part.healthy for part in self.parts)


def look(cloud: Cloud) -> Seen:
    """Ask each part once."""
    known = (
        _part(cloud, launcher.EMULATOR, cloud.emulator_port, f"{cloud.emulator_url}{emulator.HEALTH_PATH}"),
        _part(cloud, launcher.SAGEMAKER, cloud.sagemaker_port, f"{cloud.sagemaker_url}/health"),
        _part(cloud, launcher.EDGE, cloud.port, cloud.base_url + HEALTH_PATH),
    )
    parts = tuple(part for part in known if part.name != launcher.SAGEMAKER or _has_gpu(cloud))
    if not parts[0].healthy or not cloud.outputs_file.exists():
        return Seen(parts)
    outputs = json.loads(cloud.outputs_file.read_text())
    clients = _clients(cloud, outputs)
    return Seen(parts, totals(clients) | _elsewhere(cloud, outputs), clients)


def _has_gpu(cloud: Cloud) -> bool:
    """Whether the last ``up`` was asked for a GPU lane: a later command need not be told again."""
    return not cloud.outputs_file.exists() or Output.ENDPOINT_NAME in json.loads(cloud.outputs_file.read_text())


def _part(cloud: Cloud, name: str, port: int, health: str) -> Part:
    process = processes.running(cloud.run, name)
    if process is None:
        return Part(name, port, None, healthy=False)
    return Part(name, process.port, process.pid, healthy=launcher.answers(health))


def totals(clients: Sequence[ClientWork]) -> dict[str, int]:
    """Add up what the clients have in hand."""
    return {
        "queued": sum(one.client.queued for one in clients),
        "running": sum(len(one.running) for one in clients),
        "failed in a day": sum(sum(one.failures.values()) for one in clients),
    }


def _elsewhere(cloud: Cloud, outputs: Mapping[str, str]) -> dict[str, int]:
    sqs, states = emulator.client(cloud, "sqs"), emulator.client(cloud, "stepfunctions")
    return {
        "uploads in hand": _running(states, outputs[Output.INTAKE_MACHINE_ARN]),
        "outcomes to tell": _depth(sqs, outputs[Output.OUTCOME_QUEUE_URL]),
        "dead letters": sum(_depth(sqs, url) for url in sqs.list_queues().get("QueueUrls", ()) if "DeadLetters" in url),
    }


def _clients(cloud: Cloud, outputs: Mapping[str, str]) -> Sequence[ClientWork]:
    emulator.enter(cloud)
    from scripts.cli.all_jobs import administration_of  # noqa: PLC0415 - reads the environment that was just set

    return administration_of(outputs).work(now=SystemClock().now())


def _depth(sqs: Any, url: str) -> int:
    name = "ApproximateNumberOfMessages"
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


def _running(states: Any, machine_arn: str) -> int:
    return len(states.list_executions(stateMachineArn=machine_arn, statusFilter="RUNNING")["executions"])
