"""The account: what was promised against what is there, in the table, through the API and in the queues."""

import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infra.outputs import Output
from lambdas.core.jobs import HOLDS_SLOT, Job, JobStatus
from scripts.adobe_api import ApiError
from scripts.chaos.drive import Clients, Order
from scripts.chaos.scene import Rows, Scene
from scripts.recordings import read

STEP = 2.0**-15
"""Of 16 bits: results that differ by no more than this sound, and round, the same."""


@dataclass(frozen=True)
class Line:
    """One line of the account; ``wrong`` names what makes it wrong, nothing where it is right."""

    name: str
    count: int
    expected: int | None = None
    wrong: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether the drill may pass as far as this line goes."""
        return not self.wrong and (self.expected is None or self.count == self.expected)


def nothing(name: str, found: Iterable[str]) -> Line:
    """Return a line that is right where nothing was found."""
    wrong = tuple(found)
    return Line(name, len(wrong), 0, wrong)


@dataclass(frozen=True)
class Account:
    """Everything that is counted, read once all is quiet."""

    scene: Scene
    clients: Clients
    orders: tuple[Order, ...]
    rows: Rows
    cancelled: Collection[str]
    """Jobs whose cancellation was confirmed."""
    told: Collection[str]
    """Jobs whose end their client's receiver was told of."""

    def lines(self, calm: Mapping[str, bytes]) -> list[Line]:
        """Return the whole account."""
        jobs = {job.id: job for job in self.rows.jobs}
        asked = [order for order in self.orders if order.job_id]
        poison = [order for order in self.orders if order.recording.is_poison]
        known = [(order, jobs[str(order.job_id)]) for order in asked if order.job_id in jobs]
        ends = {status: [pair for pair in known if pair[1].status is status] for status in JobStatus}
        failed = {order.name: job for order, job in ends[JobStatus.FAILED]}
        refused = [order for order in poison if order.job_id is None]
        failures = [
            f"{name}: {job.error_code} {job.error_message} ({job.id}, {job.attempt})" for name, job in failed.items()
        ]
        turned_away = [f"{o.name}: {o.refusal}" for o in self.orders if o.job_id is None and not o.recording.is_poison]
        cancelled = {job.id for _, job in ends[JobStatus.CANCELLED]}
        return [
            Line("jobs in", len(self.orders)),
            Line("succeeded", len(ends[JobStatus.SUCCEEDED]), len(self.orders) - len(poison) - len(cancelled)),
            Line("failed as they should", len(refused), len(poison)),
            Line("cancelled", len(cancelled), wrong=tuple(set(self.cancelled) - cancelled)),
            nothing("failed though they should not", [*failures, *turned_away]),
            nothing("lost", self._lost(asked, jobs)),
            nothing("stuck", self._stuck(known)),
            nothing("slots leaked", self._leaked()),
            nothing(
                "ends nobody was told of", (job.id for _, job in known if job.is_terminal and not self._is_told(job))
            ),
            nothing("shown otherwise by the API", self._shown_otherwise(known)),
            nothing("cancelled, yet claimed", self._claimed(cancelled, jobs)),
            nothing("outputs that differ from a calm run", self._different(ends[JobStatus.SUCCEEDED], calm)),
        ]

    def _lost(self, asked: Iterable[Order], jobs: Mapping[str, Job]) -> Iterable[str]:
        assets = {asset.id for asset in self.rows.assets}
        yield from (order.name for order in asked if order.job_id not in jobs)
        yield from (f"the recording of {order.name}" for order in self.orders if order.asset_id not in assets)

    def _stuck(self, known: Iterable[tuple[Order, Job]]) -> Iterable[str]:
        yield from (f"{order.name}: {job.status}" for order, job in known if not job.is_terminal)
        yield from (
            f"upload {asset.id}" for asset in self.rows.assets if self._was_uploaded(asset.id) and asset.is_waiting
        )
        for machine in (Output.INTAKE_MACHINE_ARN, Output.ENHANCEMENT_MACHINE_ARN):
            pages = self.scene.aws("stepfunctions").get_paginator("list_executions")
            for page in pages.paginate(stateMachineArn=self.scene.outputs[machine], statusFilter="RUNNING"):
                yield from (f"execution {execution['name']}" for execution in page["executions"])
        yield from (f"place in the queue of {job_id}" for job_id in self.rows.queued)

    def _was_uploaded(self, asset_id: str) -> bool:
        return any(order.asset_id == asset_id for order in self.orders)

    def _leaked(self) -> Iterable[str]:
        holding = {job.id for job in self.rows.jobs if job.status in HOLDS_SLOT}
        for client in self.rows.clients:
            yield from (f"{client.name}: {job_id}" for job_id in client.leases if job_id not in holding)
            yield from (f"{client.name}: one waits by its count" for _ in range(abs(client.queued)))
        yield from ("one of all" for _ in range(abs(self.rows.slots_taken - len(holding))))

    def _is_told(self, job: Job) -> bool:
        return job.notified_at is not None and job.id in self.told

    def _shown_otherwise(self, known: Iterable[tuple[Order, Job]]) -> Iterable[str]:
        for order, job in known:
            try:
                shown = str(self.clients.api_of(order).call("GET", order.path)["status"])
            except ApiError as error:
                yield f"{order.name}: {error}"
                continue
            expected = "succeeded" if job.status is JobStatus.SUCCEEDED else "failed"
            if job.is_terminal and shown != expected:
                yield f"{order.name}: {shown}, in the table {job.status}"

    def _claimed(self, cancelled: Collection[str], jobs: Mapping[str, Job]) -> Iterable[str]:
        yield from (f"uniqueness of {job_id}" for job_id in self.rows.claimed & set(cancelled))
        yield from (f"output of {job_id}" for job_id in cancelled if jobs[job_id].output_key is not None)

    def _different(self, succeeded: Iterable[tuple[Order, Job]], calm: Mapping[str, bytes]) -> Iterable[str]:
        for order, _ in succeeded:
            found = self.clients.download(order)
            if found != calm[order.name] and (apart := distance(found, calm[order.name])) > STEP:
                yield f"{order.name}: by {apart:.2e}"


def distance(one: bytes, other: bytes) -> float:
    """Return the greatest difference between two recordings' samples; infinite where their shapes differ."""
    left, right = (_samples(data) for data in (one, other))
    return float(np.abs(left - right).max()) if left.shape == right.shape else np.inf


def _samples(data: bytes) -> Any:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return read(Path(file.name))[0]


def dead_letters(scene: Scene) -> dict[str, int]:
    """Return how many messages wait in each queue for what could not be delivered."""
    sqs = scene.aws("sqs")
    urls = [url for url in sqs.list_queues().get("QueueUrls", ()) if "DeadLetters" in url]
    name = "ApproximateNumberOfMessages"
    depths = {
        url: int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]) for url in urls
    }
    return {url.rpartition("/")[2]: depth for url, depth in depths.items() if depth}
