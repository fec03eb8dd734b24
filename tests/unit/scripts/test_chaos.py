"""The drill's own bookkeeping: an account that would not notice a lost job would be worth nothing."""

import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import httpx
import pytest

from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.clients import Client
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.routing import Lane
from scripts.chaos import clips, faults
from scripts.chaos.account import Account, Line
from scripts.chaos.clips import Recording
from scripts.chaos.drive import Ledger, Order, Patient
from scripts.chaos.faults import Breaker, Hit
from scripts.chaos.scene import DrillError, Rows, Scene
from scripts.local import processes
from scripts.local.paths import Cloud

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TALK, NOISE = Recording(Path("talk.wav"), 0, (50,)), Recording(Path("poison.wav"), 0, (50,), is_poison=True)
AUDIO = b"enhanced"


def a_job(job_id: str, status: JobStatus = JobStatus.SUCCEEDED, **changes: Any) -> Job:
    job = Job(job_id, "c", f"asset-{job_id}", 50, "dfn3", NOW, NOW, status, notified_at=NOW)
    return replace(job, **changes)


def an_order(job_id: str | None, recording: Recording = TALK) -> Order:
    return Order(recording, 50, "c", f"asset-{job_id}", job_id, None if job_id else "422")


def an_asset(asset_id: str, status: AssetStatus = AssetStatus.READY) -> Asset:
    return Asset(asset_id, "c", "talk.wav", 1, "audio/wav", None, f"in/c/{asset_id}", NOW, NOW, status)


def even() -> Rows:
    """Return the rows after a drill that went well: one job succeeded, one was cancelled, one file was refused."""
    return Rows(
        clients=(Client("c", "acme", NOW),),
        assets=(an_asset("asset-good"), an_asset("asset-gone"), an_asset("asset-None", AssetStatus.INVALID)),
        jobs=(a_job("good"), a_job("gone", JobStatus.CANCELLED)),
        slots_taken=0,
        queued=frozenset(),
        claimed=frozenset({"good"}),
    )


def account(rows: Rows, *, running: int = 0, output: bytes = AUDIO, shown: str | None = None) -> dict[str, Line]:
    executions = [{"name": "x"}] * running
    pages = SimpleNamespace(paginate=lambda **_: [{"executions": executions}])
    scene: Any = SimpleNamespace(
        outputs={"AssetIntakeMachineArn": "i", "EnhancementMachineArn": "e"},
        aws=lambda _: SimpleNamespace(get_paginator=lambda _: pages),
    )
    statuses = {f"asset-{job.id}": "succeeded" if job.status is JobStatus.SUCCEEDED else "failed" for job in rows.jobs}
    clients: Any = SimpleNamespace(
        api_of=lambda order: SimpleNamespace(call=lambda *_: {"status": shown or statuses[order.asset_id]}),
        download=lambda _: output,
    )
    orders = (an_order("good"), an_order("gone"), an_order(None, NOISE))
    found = Account(scene, clients, orders, rows, cancelled={"gone"}, told={"good", "gone"})
    return {line.name: line for line in found.lines({"talk.wav at 50": AUDIO})}


def wrong(lines: dict[str, Line]) -> set[str]:
    return {name for name, line in lines.items() if not line.is_right}


def test_an_even_account() -> None:
    lines = account(even())
    assert not wrong(lines)
    counts = [lines[name].count for name in ("jobs in", "succeeded", "failed as they should", "cancelled")]
    assert counts == [3, 1, 1, 1]


Change = Callable[[Rows], Rows]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rows: replace(rows, jobs=rows.jobs[1:]), {"lost", "succeeded"}),
        (lambda rows: replace(rows, assets=rows.assets[1:]), {"lost"}),
        (lambda rows: replace(rows, jobs=(a_job("good", JobStatus.RUNNING), rows.jobs[1])), {"stuck", "succeeded"}),
        (
            lambda rows: replace(rows, jobs=(a_job("good", JobStatus.FAILED), rows.jobs[1])),
            {"failed though they should not", "succeeded"},
        ),
        (lambda rows: replace(rows, jobs=(rows.jobs[0], a_job("gone"))), {"cancelled"}),
        (lambda rows: replace(rows, queued=frozenset({"good"})), {"stuck"}),
        (lambda rows: replace(rows, slots_taken=1), {"slots leaked"}),
        (
            lambda rows: replace(rows, clients=(replace(rows.clients[0], leases=MappingProxyType({"good": "now"})),)),
            {"slots leaked"},
        ),
        (lambda rows: replace(rows, clients=(replace(rows.clients[0], queued=-1),)), {"slots leaked"}),
        (
            lambda rows: replace(rows, jobs=(a_job("good", notified_at=None), rows.jobs[1])),
            {"ends nobody was told of"},
        ),
        (lambda rows: replace(rows, claimed=frozenset({"good", "gone"})), {"cancelled, yet claimed"}),
        (
            lambda rows: replace(
                rows, assets=(an_asset("asset-good", AssetStatus.WAITING_FOR_UPLOAD), *rows.assets[1:])
            ),
            {"stuck"},
        ),
    ],
)
def test_each_thing_that_must_not_be_is_noticed(change: Change, expected: set[str]) -> None:
    assert expected <= wrong(account(change(even())))


def test_what_is_seen_outside_the_table_counts_too() -> None:
    assert wrong(account(even(), running=1)) == {"stuck"}
    assert wrong(account(even(), shown="processing")) == {"shown otherwise by the API"}


def test_outputs_are_compared_by_their_samples(tmp_path: Path) -> None:
    one, other, louder = (tmp_path / f"{name}.wav" for name in ("one", "other", "louder"))
    for path, level in ((one, 0.5), (other, 0.5), (louder, 0.6)):
        _write_tone(path, level)
    from scripts.chaos.account import STEP, distance

    assert distance(one.read_bytes(), other.read_bytes()) == 0
    assert distance(one.read_bytes(), louder.read_bytes()) > STEP


def _write_tone(path: Path, level: float) -> None:
    import numpy as np
    import soundfile as sf

    sf.write(path, level * np.sin(np.arange(4800) / 10), 48_000)


def test_a_plan_is_repeated_by_its_seed_and_holds_what_was_asked_for(tmp_path: Path) -> None:
    plans = []
    for name in ("one", "two"):
        (folder := tmp_path / name).mkdir()
        made = clips.plan(folder, jobs=5, poison=2, clients=2, seed=4)
        plans.append([(one.path.name, one.client, one.strengths, one.path.read_bytes()) for one in made])
    assert plans[0] == plans[1]
    assert sum(len(strengths) for _, _, strengths, _ in plans[0]) == 5
    assert {client for _, client, _, _ in plans[0]} == {0, 1}


def test_a_client_asks_again_while_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.chaos.drive.RETRY_S", 0)
    answers = iter([httpx.ConnectError("away"), httpx.Response(502), httpx.Response(201)])

    def answer(_request: httpx.Request) -> httpx.Response:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    ledger = Ledger()
    patient = Patient(ledger)
    monkeypatch.setattr(patient, "_inner", httpx.MockTransport(answer))
    with httpx.Client(transport=patient) as http:
        assert http.post("http://cloud/assets").status_code == 201
    assert ledger.unanswered == 2


def half_way(job_id: str, **changes: Any) -> Job:
    return a_job(job_id, JobStatus.RUNNING, progress=50.0, lane=Lane.GPU, **changes)


class Place:
    """A scene that shows one picture of the jobs after the other."""

    cloud = SimpleNamespace(has_gpu=True)

    def __init__(self, *pictures: tuple[Job, ...]) -> None:
        self.pictures = list(pictures)

    def jobs(self) -> tuple[Job, ...]:
        return self.pictures.pop(0)

    def wait(self, _what: str, until: Callable[[], bool], _limit_s: float) -> bool:
        while self.pictures:
            if until():
                return True
        return False

    def say(self, _message: str) -> None:
        pass


@pytest.fixture
def more(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a note of each time that a further job was asked for; the fault itself does nothing."""
    monkeypatch.setattr(faults, "FAULTS", {"fault": lambda *_: None})
    return []


def hit(more: list[str], victims: set[str], *pictures: tuple[Job, ...]) -> list[Hit]:
    place: Any = Place(*pictures)
    breaker = Breaker(place, lambda: more.append("once more"), victims=victims)
    breaker.do("fault")
    return breaker.hits


def test_an_earlier_victim_whose_row_still_says_running_keeps_no_fault_waiting(more: list[str]) -> None:
    stale, fresh = half_way("hit"), half_way("new")
    assert hit(more, {"hit"}, (stale, fresh)) == [Hit("fault", ("new",))]
    assert more == []


def test_nobody_loses_the_last_attempt_to_a_fault(more: list[str]) -> None:
    last, fresh = half_way("hit", attempt=3), half_way("new")
    with pytest.raises(DrillError, match="hit nobody"):
        hit(more, {"hit"}, (last, fresh))


def test_more_is_asked_for_where_all_is_done_before_the_faults_are(more: list[str]) -> None:
    done, stale = a_job("done"), half_way("hit")
    assert hit(more, {"hit"}, (), (done, stale), (done, stale, half_way("spare"))) == [Hit("fault", ("spare",))]
    assert more == ["once more"]  # nor while the emulator is away


def test_a_process_that_does_not_end_ends_the_drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(tmp_path)
    monkeypatch.setattr("scripts.chaos.scene.GONE_WITHIN_S", 0.0)
    asleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    processes.start("edge", asleep, port=1, run=cloud.run, logs=cloud.logs)
    try:
        with pytest.raises(DrillError, match="edge did not end"):
            Scene(cloud, {}, lambda _: None).kill("edge", signal.SIGCONT)
    finally:
        processes.stop(cloud.run, "edge")


def test_the_processes_of_a_cloud_that_does_not_run() -> None:
    scene = Scene(Cloud(Path("/nowhere")), {}, print)
    assert scene.survivors() == []
