"""The status machine: whatever happens, in any order and any number, every job ends once and no slot is lost."""

from collections import Counter
from typing import TypeVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gpu_container.contract import ErrorCode, ProbeFailure, ProbeResult
from lambdas.core.assets import Asset
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.jobs import HOLDS_SLOT, TERMINAL, TRANSITIONS, Job, JobStatus, TransitionError
from lambdas.core.services.enhancements import Wish
from lambdas.core.services.execution import current_job
from lambdas.core.services.intake import Located
from lambdas.core.workflow import INTAKE_GIVEN_UP_S
from tests.unit.core.executions import Executions, Lane
from tests.unit.world import FACTS, World, an_upload

T = TypeVar("T")

MAX_ACTIVE, MAX_ACTIVE_TOTAL, MAX_QUEUED = 2, 3, 1
NOT_NOW = {
    DomainErrorCode.QUEUE_FULL,
    DomainErrorCode.ASSET_NOT_UPLOADED,
    DomainErrorCode.ASSET_NOT_ENHANCEABLE,
}
ERRORS = (ErrorCode.INPUT_CORRUPT, ErrorCode.ENGINE_FAILED, ErrorCode.CANCELLED)


def test_every_status_has_a_row_and_only_terminal_ones_are_dead_ends() -> None:
    assert set(TRANSITIONS) == set(JobStatus)
    assert {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED} == TERMINAL
    assert not HOLDS_SLOT & TERMINAL


def test_whatever_has_not_ended_can_be_cancelled() -> None:
    assert {status for status, after in TRANSITIONS.items() if JobStatus.CANCELLED in after} == set(
        JobStatus
    ) - TERMINAL


def test_a_finished_job_cannot_change() -> None:
    world = World()
    client, _ = world.client()
    job = world.queued_job(client.id)
    failed = job.failed(error_code="internal", error_message="", now=world.clock.now())
    with pytest.raises(TransitionError):
        failed.admitted(world.clock.now())


some = st.integers(min_value=0, max_value=1000)


class Lifecycle(RuleBasedStateMachine):
    """Two clients and everything that can happen to their jobs; every message may be lost, late, repeated, reordered.

    Executions advance step by step by the product's own table, and a step's answer may be lost after its work.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = World(max_active_total=MAX_ACTIVE_TOTAL)
        self.clients = [self.world.client(name, max_active=MAX_ACTIVE, max_queued=MAX_QUEUED)[0] for name in ("a", "b")]
        self.assets = [self.world.ready_asset(client.id) for client in self.clients for _ in range(2)]
        self.executions = Executions(self.world)
        self.lane = Lane(self.world)
        self.strengths = iter(range(1, 100))
        self.submitted: list[Job] = []
        self.located: list[Located] = []
        self.ends: dict[str, JobStatus] = {}
        for which in range(2):
            self.submit(which)
            self.expect(which)
            self.upload(-1)

    @rule(which=some)
    def submit(self, which: int) -> None:
        asset = pick(self.assets, which)
        if asset is None or len(self.submitted) >= 12:
            return
        try:
            job = self.world.queued_job(asset.client_id, strength=next(self.strengths), asset=asset)
        except DomainError as refusal:
            not_now = refusal.code in NOT_NOW
            assert not_now or self.world.asset_store.get(asset.client_id, asset.id) == self._deleted(asset)
        else:
            self.submitted.append(job)

    @rule(which=some)
    def expect(self, which: int) -> None:
        """Ask for an enhancement together with its upload."""
        client = self.clients[which % len(self.clients)]
        if len(self.submitted) < 12:
            made = self.world.submissions.submit(client.id, an_upload(client.id), Wish(strength=next(self.strengths)))
            assert made.asset is not None
            self.assets.append(made.asset.asset)
            self.submitted.append(made.job)

    @rule(which=some)
    def upload(self, which: int) -> None:
        """Send bytes, whether or not they are wanted still; the event may come, late and again, or not."""
        if asset := pick(self._living_assets(), which):
            self.world.storage.put(asset.object_key, size_bytes=asset.size_bytes)

    @rule(which=some, steps=st.integers(min_value=1, max_value=3), is_good=st.booleans())
    def take_in(self, which: int, steps: int, is_good: bool) -> None:
        """Run the intake of what has been uploaded, which may die after each of its steps."""
        waiting = [asset for asset in self._living_assets() if asset.is_waiting]
        asset = pick(waiting, which)
        located = self.world.intake.locate(asset.object_key) if asset else None
        if located is not None:
            self.located.append(located)
            self._take_in(located, steps, is_good=is_good)

    @rule(which=some, steps=st.integers(min_value=2, max_value=3), is_good=st.booleans())
    def take_in_again(self, which: int, steps: int, is_good: bool) -> None:
        """Run the rest of an intake whose event came twice, however late."""
        if located := pick(self.located, which):
            self._take_in(located, steps, is_good=is_good)

    def _take_in(self, located: Located, steps: int, *, is_good: bool) -> None:
        if steps > 1:
            self._mark(located, is_good=is_good)
        if steps > 2:
            self._enqueue(located, is_good=is_good)

    def _mark(self, located: Located, *, is_good: bool) -> None:
        if is_good:
            self.world.intake.mark_ready(located, ProbeResult(facts=FACTS))
        else:
            self.world.intake.mark_invalid(located, ProbeFailure(error_code=ErrorCode.INPUT_CORRUPT, message=""))

    def _enqueue(self, located: Located, *, is_good: bool) -> None:
        if is_good:
            self.world.intake.enqueue(located)
        else:
            self.world.intake.refuse(located.client_id, located.asset_id)

    @rule(which=some, steps=st.integers(min_value=1, max_value=4), lost=st.booleans())
    def proceed(self, which: int, steps: int, lost: bool) -> None:
        """Admit what may be admitted and let one execution go on; its last answer may be lost."""
        self.world.admission.admit([])
        execution = pick(self.executions.all(), which)
        if execution is not None:
            for step in range(steps):
                execution.advance(answer_is_lost=lost and step == steps - 1)

    @rule(which=some, error=st.sampled_from([None, None, *ERRORS]), late=st.booleans(), delivered=st.booleans())
    def work(self, which: int, error: ErrorCode | None, late: bool, delivered: bool) -> None:
        """Answer an order; a late worker has looked whether it is wanted minutes ago, but not hours."""
        order = pick(self.lane.orders(), which)
        if order is None:
            return
        _, client_id, asset_id, _ = order[1].output.key.split("/")
        if self.lane.beat(order[1]) or (late and self.world.asset_store.get(client_id, asset_id)):
            notice = self.lane.answer(*order, error=error)
            if delivered:
                self.world.completion.complete(notice)

    @rule(which=some, kind=st.sampled_from(["notice", "stop", "erase"]))
    def deliver(self, which: int, kind: str) -> None:
        """Deliver a message: late, in any order and as often as one likes."""
        if kind == "notice" and (notice := pick(self.lane.notices, which)):
            self.world.completion.complete(notice)
        if kind == "stop" and (job := pick(self.world.stops.asked, which)):
            self.world.completion.stop(job.client_id, job.id, job.attempt)
        if kind == "erase" and (asked := pick(self.world.erase_queue.asked, which)):
            self.world.erasing.erase(*asked)

    @rule(which=some, kind=st.sampled_from(["silence", "abort", "abort that is told"]))
    def go_wrong(self, which: int, kind: str) -> None:
        execution = pick(self.executions.all(), which)
        if execution is None or not execution.is_running:
            return
        if kind == "silence":
            execution.time_out()
            return
        execution.abort()
        if kind == "abort that is told":
            self.world.sweep.recover(execution.ref, "ABORTED")

    @rule(which=some)
    def cancel(self, which: int) -> None:
        job = pick(self.submitted, which)
        if job is None:
            return
        before = self.world.jobs.get(job.client_id, job.id)
        try:
            assert self.world.cancelling.cancel(job.client_id, job.id).status is JobStatus.CANCELLED
        except DomainError as refusal:
            gone = before is None and refusal.code is DomainErrorCode.NOT_FOUND
            assert gone or (before is not None and before.is_terminal)

    @precondition(lambda self: len(self.submitted) > 3)
    @rule(which=some)
    def delete(self, which: int) -> None:
        asset = pick(self.assets, which)
        if asset and self.world.asset_store.get(asset.client_id, asset.id):
            self.world.deletion.delete(asset.client_id, asset.id)

    @rule(seconds=st.sampled_from([1, 61, 2000]))
    def sweep(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        self.world.sweep.sweep()
        self.world.housekeeping.tidy()

    @invariant()
    def slots_are_conserved(self) -> None:
        for client in self.world.clients.all():
            jobs = [job for job in self._stored() if job.client_id == client.id]
            assert set(client.leases) == {job.id for job in jobs if job.status in HOLDS_SLOT}
            assert client.queued == sum(job.status is JobStatus.QUEUED for job in jobs)
            assert len(client.leases) <= MAX_ACTIVE
            assert not any(job.is_held for job in jobs if job.status is not JobStatus.WAITING_FOR_UPLOAD)
        assert sum(len(client.leases) for client in self.world.clients.all()) <= MAX_ACTIVE_TOTAL

    @invariant()
    def the_end_is_the_end(self) -> None:
        for job in self._stored():
            if job.is_terminal:
                assert self.ends.setdefault(job.id, job.status) is job.status
            else:
                assert job.id not in self.ends
        for outcome in self.world.outcome_queue.told:
            assert self.ends.setdefault(outcome.job_id, JobStatus(outcome.status)) == outcome.status

    def teardown(self) -> None:
        """However it went: when the world behaves again, everything ends, is told, and nothing is held."""
        for number in range(100):
            # In between, the bytes that nobody has sent until then are given up.
            self.world.clock.advance(61 if number != 60 else INTAKE_GIVEN_UP_S)
            self.world.sweep.sweep()
            self.world.housekeeping.tidy()
            self.world.admission.admit([])
            for inference_id, order in self.lane.orders():
                if self.lane.beat(order, percent=100):
                    self.world.completion.complete(self.lane.answer(inference_id, order))
            for execution in self.executions.all():
                if current_job(self.world.jobs, execution.ref) is None:
                    execution.time_out()  # nobody beats for it any more
                execution.advance()
            for asked in self.world.erase_queue.asked:
                self.world.erasing.erase(*asked)
        self.slots_are_conserved()
        self.the_end_is_the_end()
        told = Counter(outcome.job_id for outcome in self.world.outcome_queue.told)
        for job in self.submitted:
            assert told[job.id] >= 1, f"nobody was told of {job.id}"
        assert set(self.ends) == {job.id for job in self.submitted}
        assert all(job.is_terminal for job in self._stored())
        assert not any(execution.is_running for execution in self.executions.all())
        self._nothing_is_left_of_deleted_assets()

    def _nothing_is_left_of_deleted_assets(self) -> None:
        for asset in self.assets:
            if self.world.asset_store.get(asset.client_id, asset.id) is None:
                assert not [key for key in self.world.storage.objects if asset.id in key]
                assert not self.world.jobs.of_asset(asset.client_id, asset.id)
            else:
                assert self._deleted(asset) is None

    def _living_assets(self) -> list[Asset]:
        found = [self.world.asset_store.get(asset.client_id, asset.id) for asset in self.assets]
        return [asset for asset in found if asset is not None]

    def _stored(self) -> list[Job]:
        found = [self.world.jobs.get(job.client_id, job.id) for job in self.submitted]
        return [job for job in found if job is not None]

    def _deleted(self, asset: Asset) -> Asset | None:
        stored = self.world.asset_store.get(asset.client_id, asset.id)
        return stored if stored and stored.is_deleted else None


def pick(things: list[T], which: int) -> T | None:
    return things[which % len(things)] if things else None


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(
    max_examples=100,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)
