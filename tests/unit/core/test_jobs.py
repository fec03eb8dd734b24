"""The status machine: any sequence of calls, in any order and any number, ends with all slots conserved."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from lambdas.core.errors import DomainError
from lambdas.core.jobs import HOLDS_SLOT, TERMINAL, TRANSITIONS, Job, JobStatus, TransitionError
from lambdas.core.services.failures import classify
from tests.unit.world import World, ref_of


def test_every_status_has_a_row_and_only_terminal_ones_are_dead_ends() -> None:
    assert set(TRANSITIONS) == set(JobStatus)
    assert {JobStatus.SUCCEEDED, JobStatus.FAILED} == TERMINAL
    assert not HOLDS_SLOT & TERMINAL


def test_a_finished_job_cannot_change() -> None:
    world = World()
    client, _ = world.client()
    job = world.queued_job(client.id)
    failed = job.failed(error_code="internal", error_message="", now=world.clock.now())
    with pytest.raises(TransitionError):
        failed.admitted(world.clock.now())


class Lifecycle(RuleBasedStateMachine):
    """Admission, dispatch, completion, failure and sweeps in any order, each possibly late and repeated."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.client, _ = self.world.client(max_active=2)
        self.asset = self.world.ready_asset(self.client.id)
        self.strengths = iter(range(1, 100))
        self.all: list[Job] = []
        self.terminal: dict[str, JobStatus] = {}
        self.seen: dict[str, list[Job]] = {}

    @rule(target=jobs)
    def request(self) -> Job:
        job = self.world.queued_job(self.client.id, strength=next(self.strengths), asset=self.asset)
        self.all.append(job)
        return job

    @rule()
    def admit(self) -> None:
        self.world.admission.admit_client(self.client.id)

    @rule(job=jobs)
    def dispatch(self, job: Job) -> None:
        attempt = self._some_attempt(job)
        try:
            self.world.dispatch.dispatch(ref_of(attempt), f"token-{job.id}")
        except DomainError:
            now = self.world.job(job)
            assert now.attempt != attempt.attempt or now.status is not JobStatus.ADMITTED

    @rule(job=jobs)
    def succeed(self, job: Job) -> None:
        attempt = self._some_attempt(job)
        if self.world.job(attempt).status is not JobStatus.ADMITTED:
            self.world.execution.succeed(ref_of(attempt), self.world.result_for(attempt))

    @rule(job=jobs, error=st.sampled_from(["input_corrupt", "engine_failed", "States.HeartbeatTimeout", "Surprise"]))
    def fail(self, job: Job, error: str) -> None:
        self.world.execution.fail(ref_of(self._some_attempt(job)), classify(error, ""))

    @rule(job=jobs)
    def lose_the_execution(self, job: Job) -> None:
        self.world.workflow.executions[self.world.job(job).execution_name] = "ABORTED"

    @rule(seconds=st.sampled_from([1, 61, 2000]))
    def sweep(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        self.world.sweep.sweep()

    def _some_attempt(self, job: Job) -> Job:
        """Return the first attempt for even ids, as a late message would; the present one for the others."""
        return job if int(job.id[-1], 16) % 2 == 0 else self.world.job(job)

    @invariant()
    def slots_are_conserved(self) -> None:
        client = self.world.clients.get(self.client.id)
        assert client is not None
        holding = {job.id for job in map(self.world.job, self.all) if job.status in HOLDS_SLOT}
        assert set(client.leases) == holding
        assert len(holding) <= client.max_active

    @invariant()
    def the_end_is_the_end(self) -> None:
        for job in map(self.world.job, self.all):
            if job.id in self.terminal:
                assert job.status is self.terminal[job.id]
            elif job.is_terminal:
                self.terminal[job.id] = job.status

    def teardown(self) -> None:
        """However it went, everything that is left ends well when the world behaves."""
        for _ in range(4 * len(self.all) + 4):
            self.world.workflow.executions.clear()
            self.world.clock.advance(1)
            self.world.admission.admit_client(self.client.id)
            for job in map(self.world.job, self.all):
                if job.status is JobStatus.ADMITTED:
                    self.world.dispatch.dispatch(ref_of(job), "token")
                    self.world.execution.succeed(ref_of(job), self.world.result_for(job))
                elif job.status in HOLDS_SLOT:
                    self.world.execution.succeed(ref_of(job), self.world.result_for(job))
        assert all(self.world.job(job).is_terminal for job in self.all)
        client = self.world.clients.get(self.client.id)
        assert client is not None
        assert not client.leases


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
