"""The same request again, and twice at once: what was answered first stays true, and nothing is lost between them."""

from collections.abc import Callable, Sequence

import pytest

from lambdas.adapters.memory.webhooks import MemorySecretSealer
from lambdas.core.clients import Client
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.services.batches import BatchView, BatchWish
from lambdas.core.services.enhancements import Wish
from lambdas.core.services.listing import JobFilter
from lambdas.core.services.submission import JobWebhook, Submitted
from lambdas.core.services.webhooks import CreateWebhook, UpdateWebhook
from lambdas.core.webhooks import MAX_ENDPOINTS, new_secret
from tests.unit.world import World, an_upload

URL = "https://hooks.example.com/in"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    """Make a client one of whose jobs may wait, and no more."""
    return world.client(max_queued=1)[0]


def a_key(client: Client, request: str = "0" * 64) -> IdempotencyKey:
    return IdempotencyKey(client.id, "batch", "k1", request)


def jobs_of(world: World, client: Client) -> list[str]:
    return sorted(job.id for job in world.listing.page(client.id, JobFilter(), limit=100).items)


def job_ids(view: BatchView) -> list[str]:
    """Return the ids of the jobs that a client is shown."""
    return sorted(view.jobs)


def make_room(world: World, client: Client) -> None:
    assert world.admission.admit([client.id]) == 1


class TestBatches:
    @pytest.fixture
    def items(self, world: World, client: Client) -> Sequence[BatchWish]:
        return [BatchWish(world.ready_asset(client.id).id, Wish(strength=50)) for _ in range(2)]

    def test_what_was_refused_stays_refused_when_there_is_room_again(
        self, world: World, client: Client, items: Sequence[BatchWish]
    ) -> None:
        first = world.batches.create(client.id, items, key=a_key(client))
        assert [item.error_code for item in first.batch.items] == [None, "queue_full"]
        make_room(world, client)
        again = world.batches.create(client.id, items, key=a_key(client))
        assert again.batch == first.batch
        assert job_ids(again) == job_ids(first) == jobs_of(world, client)
        assert len(jobs_of(world, client)) == 1

    def test_what_one_of_two_at_once_has_accepted_both_show(
        self, world: World, client: Client, items: Sequence[BatchWish], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second is answered while the first, to which an item was refused, has not stored its batch."""
        others: list[BatchView] = []

        def meanwhile() -> None:
            make_room(world, client)
            others.append(world.batches.create(client.id, items, key=a_key(client)))

        _before(monkeypatch, world.batches.batches, "add", call=1, do=meanwhile)
        view = world.batches.create(client.id, items, key=a_key(client))
        assert job_ids(view) == job_ids(others[0]) == jobs_of(world, client)
        assert len(jobs_of(world, client)) == 2

    def test_what_is_accepted_after_the_other_has_stored_it_as_refused_is_shown(
        self, world: World, client: Client, items: Sequence[BatchWish], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        others: list[BatchView] = []

        def meanwhile() -> None:
            others.append(world.batches.create(client.id, items, key=a_key(client)))
            make_room(world, client)

        _before(monkeypatch, world.jobs, "add", call=2, do=meanwhile)
        view = world.batches.create(client.id, items, key=a_key(client))
        assert [item.error_code for item in others[0].batch.items] == [None, "queue_full"]
        assert len(jobs_of(world, client)) == 2
        for seen in (view, world.batches.show(client.id, view.batch.id)):
            assert job_ids(seen) == jobs_of(world, client)

    def test_another_request_under_the_key_is_refused_also_at_once(
        self, world: World, client: Client, items: Sequence[BatchWish], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def meanwhile() -> None:
            world.batches.create(client.id, items, key=a_key(client))

        _before(monkeypatch, world.batches.batches, "add", call=1, do=meanwhile)
        for _ in range(2):
            with pytest.raises(DomainError) as refused:
                world.batches.create(client.id, items[:1], key=a_key(client, "1" * 64))
            assert refused.value.code is DomainErrorCode.IDEMPOTENCY_MISMATCH

    def test_who_died_before_it_was_stored_goes_on(
        self, world: World, client: Client, items: Sequence[BatchWish], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def die() -> None:
            raise RuntimeError("the function died")

        with monkeypatch.context() as broken:
            _before(broken, world.batches.batches, "add", call=1, do=die)
            with pytest.raises(RuntimeError):
                world.batches.create(client.id, items, key=a_key(client))
        make_room(world, client)
        view = world.batches.create(client.id, items, key=a_key(client))
        assert job_ids(view) == jobs_of(world, client)
        assert len(jobs_of(world, client)) == 2

    def test_links_are_fresh_and_secrets_work_when_it_is_sent_again(self, world: World, client: Client) -> None:
        items = [BatchWish(an_upload(client.id), Wish(strength=50), JobWebhook(URL))]
        first = world.batches.create(client.id, items, key=a_key(client))
        again = world.batches.create(client.id, items, key=a_key(client))
        (job_id,) = jobs_of(world, client)
        links = [view.made[job_id].asset for view in (first, again)]
        assert all(link and link.upload_url for link in links)
        assert links[0] != links[1]
        shown = [view.made[job_id].webhook_secret for view in (first, again)]
        assert shown == live_secrets(world, client, job_id)

    def test_a_deleted_recording_takes_no_answer_with_it(self, world: World, client: Client) -> None:
        items = [BatchWish(an_upload(client.id), Wish(strength=50)) for _ in range(2)]
        first = world.batches.create(client.id, items, key=a_key(client))
        gone = first.jobs[first.batch.items[0].job_id or ""]
        world.deletion.delete(client.id, gone.asset_id)
        again = world.batches.create(client.id, items, key=a_key(client))
        assert again.batch == first.batch
        assert list(again.made) == [first.batch.items[1].job_id]


class TestWebhooksOfJobs:
    def submit(self, world: World, client: Client, asset_id: str, url: str = URL, request: str = "0" * 64) -> Submitted:
        wish = Wish(strength=50, idempotency=a_key(client, request))
        return world.submissions.submit(client.id, asset_id, wish, JobWebhook(url))

    def test_a_request_that_was_refused_is_told_a_secret_once_it_is_accepted(
        self, world: World, client: Client
    ) -> None:
        waits = world.queued_job(client.id)
        asset = world.ready_asset(client.id)
        with pytest.raises(DomainError) as full:
            self.submit(world, client, asset.id)
        assert full.value.code is DomainErrorCode.QUEUE_FULL
        world.cancelling.cancel(client.id, waits.id)
        made = self.submit(world, client, asset.id)
        assert live_secrets(world, client, made.job.id) == [made.webhook_secret]

    def test_the_address_is_that_of_the_request_that_was_accepted(self, world: World, client: Client) -> None:
        asset = world.waiting_asset(client.id)
        with pytest.raises(DomainError):
            self.submit(world, client, asset.id, f"{URL}/first")
        ready = world.ready_asset(client.id)
        made = self.submit(world, client, ready.id, f"{URL}/second", "1" * 64)
        assert world.webhooks.show(client.id, made.job.id).url == f"{URL}/second"

    def test_a_mismatch_hangs_nothing_on_the_job(self, world: World, client: Client) -> None:
        asset = world.ready_asset(client.id)
        job = world.submissions.submit(client.id, asset.id, Wish(strength=50, idempotency=a_key(client))).job
        with pytest.raises(DomainError) as refused:
            self.submit(world, client, asset.id, request="1" * 64)
        assert refused.value.code is DomainErrorCode.IDEMPOTENCY_MISMATCH
        with pytest.raises(DomainError) as nothing:
            world.webhooks.show(client.id, job.id)
        assert nothing.value.code is DomainErrorCode.NOT_FOUND

    def test_every_answer_shows_a_secret_of_which_the_first_and_the_latest_sign(
        self, world: World, client: Client
    ) -> None:
        asset = world.ready_asset(client.id)
        answers = [self.submit(world, client, asset.id) for _ in range(3)]
        (job,) = {answer.job.id for answer in answers}
        shown = [answer.webhook_secret for answer in answers]
        assert live_secrets(world, client, job) == [shown[0], shown[2]]

    def test_two_repetitions_at_once_leave_each_a_secret_or_none(
        self, world: World, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asset = world.ready_asset(client.id)
        first = self.submit(world, client, asset.id)
        others: list[Submitted] = []
        _before(
            monkeypatch,
            world.jobs.webhooks,
            "save",
            call=1,
            do=lambda: others.append(self.submit(world, client, asset.id)),
        )
        again = self.submit(world, client, asset.id)
        assert others[0].webhook_secret is not None
        assert live_secrets(world, client, first.job.id) == [first.webhook_secret, again.webhook_secret]

    def test_a_secret_of_the_clients_own_is_its_only_one(self, world: World, client: Client) -> None:
        own, asset = new_secret(), world.ready_asset(client.id)
        wish = Wish(strength=50, idempotency=a_key(client))
        answers = [world.submissions.submit(client.id, asset.id, wish, JobWebhook(URL, own)) for _ in range(2)]
        assert [answer.webhook_secret for answer in answers] == [own, own]
        assert live_secrets(world, client, answers[0].job.id) == [own]


class TestWebhooks:
    def create(self, world: World, client: Client, url: str = URL, request: str = "0" * 64) -> tuple[str, str | None]:
        endpoint, secret = world.webhooks.create_once(CreateWebhook(client.id, url), a_key(client, request))
        return endpoint.id, secret

    def test_the_same_key_makes_one_endpoint(self, world: World, client: Client) -> None:
        first, again = self.create(world, client), self.create(world, client)
        assert first[0] == again[0]
        assert [one.id for one in world.webhooks.list(client.id)] == [first[0]]
        assert live_secrets(world, client, first[0]) == [first[1], again[1]]

    def test_another_request_under_the_key_is_refused(self, world: World, client: Client) -> None:
        self.create(world, client)
        with pytest.raises(DomainError) as refused:
            self.create(world, client, f"{URL}2", "1" * 64)
        assert refused.value.code is DomainErrorCode.IDEMPOTENCY_MISMATCH

    def test_what_was_rotated_or_changed_since_is_left_alone(self, world: World, client: Client) -> None:
        endpoint_id, _ = self.create(world, client)
        world.clock.advance(1)
        world.webhooks.rotate_secret(client.id, endpoint_id, keep_previous=False)
        live = live_secrets(world, client, endpoint_id)
        assert self.create(world, client) == (endpoint_id, None)
        assert live_secrets(world, client, endpoint_id) == live
        world.webhooks.update(client.id, endpoint_id, UpdateWebhook(url=f"{URL}3"))
        assert self.create(world, client) == (endpoint_id, None)

    def test_the_last_one_allowed_may_be_asked_for_again(self, world: World, client: Client) -> None:
        first = self.create(world, client)
        for _ in range(MAX_ENDPOINTS - 1):
            world.webhooks.create(CreateWebhook(client.id, URL))
        assert self.create(world, client)[0] == first[0]
        other = IdempotencyKey(client.id, "webhook", "k2", "0" * 64)
        with pytest.raises(DomainError) as refused:
            world.webhooks.create_once(CreateWebhook(client.id, URL), other)
        assert refused.value.code is DomainErrorCode.WEBHOOK_LIMIT


def live_secrets(world: World, client: Client, endpoint_id: str) -> list[str | None]:
    """Return what signs for an endpoint, the oldest first."""
    endpoint, sealer = world.webhooks.show(client.id, endpoint_id), MemorySecretSealer()
    return [sealer.open(one.sealed, client_id=client.id, endpoint_id=endpoint_id) for one in endpoint.secrets]


def _before(monkeypatch: pytest.MonkeyPatch, store: object, method: str, *, call: int, do: Callable[[], None]) -> None:
    """Have something happen right before the n-th call of a method, and before no other one."""
    write, calls = getattr(store, method), 0

    def hooked(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            do()
        return write(*arguments, **named)

    monkeypatch.setattr(store, method, hooked)
