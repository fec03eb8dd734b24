"""Webhooks as a client sees them: endpoints, secrets, what it is told, and how long we try."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from standardwebhooks import Webhook, WebhookVerificationError

from lambdas.adapters.memory.webhooks import (
    MemoryDeliveryQueue,
    MemoryDeliveryStore,
    MemoryReceiver,
    MemorySecretSealer,
    MemoryWebhookStore,
    Posted,
)
from lambdas.adapters.memory.world import ManualClock, SequentialIds
from lambdas.core.egress import EgressPolicy, ForbiddenUrlError, NoAnswerError
from lambdas.core.errors import DomainError, DomainErrorCode, TransientError
from lambdas.core.jobs import TERMINAL
from lambdas.core.ports import JobOutcome
from lambdas.core.services.deliveries import BUSY_S, LEASE, AnnounceService, DeliveryService
from lambdas.core.services.webhooks import CreateWebhook, UpdateWebhook, WebhookService, WebhookWithSecret
from lambdas.core.webhook_ports import Answer, DeliveryRef
from lambdas.core.webhooks import (
    ENDS,
    KEPT_ATTEMPTS,
    MAX_ENDPOINTS,
    MAX_RETRY_AFTER_S,
    RETRY_DELAYS_S,
    Delivery,
    DeliveryStatus,
    DisabledReason,
    EventType,
    WebhookEndpoint,
    new_secret,
    retry_after_s,
)

NOW = ManualClock().now()
URL = "https://hooks.example.com/in"


class Clock(ManualClock):
    """The library that receivers verify with goes by the machine's own time."""

    def __init__(self) -> None:
        from lambdas.adapters.system import SystemClock

        super().__init__(SystemClock().now())


@dataclass
class House:
    clock: ManualClock = field(default_factory=Clock)
    endpoints: MemoryWebhookStore = field(default_factory=MemoryWebhookStore)
    log: MemoryDeliveryStore = field(default_factory=MemoryDeliveryStore)
    queue: MemoryDeliveryQueue = field(default_factory=MemoryDeliveryQueue)
    receiver: MemoryReceiver = field(default_factory=MemoryReceiver)
    delays_s: tuple[float, ...] = RETRY_DELAYS_S

    def __post_init__(self) -> None:
        sealer, ids = MemorySecretSealer(), SequentialIds()
        self.webhooks = WebhookService(self.endpoints, self.log, self.queue, sealer, EgressPolicy(), self.clock, ids)
        self.announcing = AnnounceService(self.endpoints, self.log, self.queue, self.clock)
        self.sending = DeliveryService(
            self.endpoints,
            self.log,
            self.queue,
            self.receiver,
            sealer,
            self.clock,
            self.delays_s,
            uniform=lambda low, high: (low + high) / 2,
        )

    def outcome(self, job_id: str = "j1", status: str = "succeeded", client_id: str = "c1") -> JobOutcome:
        error = "input_corrupt" if status == "failed" else None
        return JobOutcome(client_id, job_id, "a1", status, self.clock.now(), error)

    def endpoint(self, *event_types: str, client_id: str = "c1") -> tuple[WebhookEndpoint, str]:
        made = self.webhooks.create(CreateWebhook(client_id, URL, event_types or ("*",)))
        return made.endpoint, made.secret

    def of_job(self, job_id: str, url: str, *, base_url: str = "") -> WebhookWithSecret:
        made = self.webhooks.for_job("c1", job_id, url=url, base_url=base_url)
        self.endpoints.add(made.endpoint)
        return made

    def sent(self) -> DeliveryRef:
        """Take the one message that waits in the queue."""
        (ref,) = self.queue.sent
        self.queue.sent.clear()
        return ref

    def delivery(self, ref: DeliveryRef) -> Delivery:
        found = self.log.get(ref)
        assert found is not None
        return found

    def run(self, ref: DeliveryRef, *, at_most: int = 100) -> float:
        """Deliver as the queue would, waiting as long as it is told to; returns how long it took."""
        began_at = self.clock.now()
        for _ in range(at_most):
            wait_s = self.sending.deliver(ref)
            if wait_s is None:
                break
            self.clock.advance(wait_s)
        return (self.clock.now() - began_at).total_seconds()


@pytest.fixture
def house() -> House:
    return House()


def verified(posted: Posted, secret: str) -> dict[str, object]:
    found: dict[str, object] = Webhook(secret).verify(posted.body, dict(posted.headers))
    return found


class TestEndpoints:
    def test_created_shown_listed_changed_and_deleted(self, house: House) -> None:
        first, secret = house.endpoint()
        house.clock.advance(1)
        second, _ = house.endpoint("enhancement.failed")
        assert secret.startswith("whsec_")
        assert house.webhooks.list("c1") == [first, second]
        changed = house.webhooks.update(
            "c1", first.id, UpdateWebhook(url=f"{URL}2", event_types=("enhancement.succeeded",), description="mine")
        )
        assert house.webhooks.show("c1", first.id) == changed
        assert (changed.url, changed.description) == (f"{URL}2", "mine")
        assert changed.event_types == {EventType.ENHANCEMENT_SUCCEEDED}
        house.webhooks.delete("c1", first.id)
        assert house.webhooks.list("c1") == [second]

    def test_another_clients_endpoint_is_not_there(self, house: House) -> None:
        endpoint, _ = house.endpoint()
        ref = ("c2", endpoint.id)
        attempts: list[Callable[[], object]] = [
            lambda: house.webhooks.show(*ref),
            lambda: house.webhooks.update(*ref, UpdateWebhook(enabled=False)),
            lambda: house.webhooks.rotate_secret(*ref),
            lambda: house.webhooks.delete(*ref),
            lambda: house.webhooks.send_test(*ref),
            lambda: house.webhooks.list_deliveries(*ref),
            lambda: house.webhooks.redeliver(*ref, "msg_1"),
            lambda: house.webhooks.show_delivery(*ref, "msg_1"),
        ]
        for attempt in attempts:
            with pytest.raises(DomainError) as raised:
                attempt()
            assert raised.value.code is DomainErrorCode.NOT_FOUND
        assert house.webhooks.list("c2") == []

    @pytest.mark.parametrize(
        "url", ["http://hooks.example.com/", "https://10.0.0.1/", "https://localhost/", "nonsense"]
    )
    def test_a_forbidden_url_is_refused_at_once(self, house: House, url: str) -> None:
        endpoint, _ = house.endpoint()
        with pytest.raises(ForbiddenUrlError):
            house.webhooks.create(CreateWebhook("c1", url))
        with pytest.raises(ForbiddenUrlError):
            house.webhooks.update("c1", endpoint.id, UpdateWebhook(url=url))
        with pytest.raises(ForbiddenUrlError):
            house.webhooks.for_job("c1", "j1", url=url)

    @pytest.mark.parametrize(
        "command",
        [
            CreateWebhook("c1", URL, ("enhancement.exploded",)),
            CreateWebhook("c1", URL, ()),
            CreateWebhook("c1", URL, ("webhook.test",)),
            CreateWebhook("c1", URL, description="x" * 201),
            CreateWebhook("c1", URL, secret="whsec_"),
            CreateWebhook("c1", URL, secret="whsec_c2hvcnQ="),
            CreateWebhook("c1", URL, secret="whsec_!!!!"),
            CreateWebhook("c1", URL, secret=new_secret().removeprefix("whsec_")),
        ],
    )
    def test_nonsense_is_refused(self, house: House, command: CreateWebhook) -> None:
        with pytest.raises(DomainError) as raised:
            house.webhooks.create(command)
        assert raised.value.code is DomainErrorCode.PARAMETER_INVALID
        assert house.webhooks.list("c1") == []

    def test_there_is_a_limit(self, house: House) -> None:
        for _ in range(MAX_ENDPOINTS):
            house.endpoint()
        house.endpoint(client_id="c2")
        with pytest.raises(DomainError) as raised:
            house.endpoint()
        assert raised.value.code is DomainErrorCode.WEBHOOK_LIMIT

    def test_no_secret_lies_in_a_row(self, house: House) -> None:
        endpoint, secret = house.endpoint()
        assert secret not in repr(house.endpoints.get("c1", endpoint.id))


class TestSecrets:
    def told(self, house: House) -> Posted:
        house.announcing.announce(house.outcome(f"j{len(house.receiver.posted)}"))
        assert house.sending.deliver(house.sent()) is None
        return house.receiver.posted[-1]

    def test_two_live_secrets_sign_and_the_third_ends_the_first(self, house: House) -> None:
        endpoint, first = house.endpoint()
        second = house.webhooks.rotate_secret("c1", endpoint.id).secret
        posted = self.told(house)
        assert len(posted.headers["webhook-signature"].split(" ")) == 2
        assert verified(posted, first) == verified(posted, second)
        third = house.webhooks.rotate_secret("c1", endpoint.id).secret
        posted = self.told(house)
        assert verified(posted, second) == verified(posted, third)
        with pytest.raises(WebhookVerificationError):
            verified(posted, first)

    def test_a_secret_that_got_out_ends_at_once(self, house: House) -> None:
        endpoint, leaked = house.endpoint()
        fresh = house.webhooks.rotate_secret("c1", endpoint.id, keep_previous=False).secret
        posted = self.told(house)
        assert verified(posted, fresh)
        with pytest.raises(WebhookVerificationError):
            verified(posted, leaked)

    def test_a_secret_of_the_clients_own(self, house: House) -> None:
        own = new_secret()
        made = house.webhooks.create(CreateWebhook("c1", URL, secret=own))
        assert made.secret == own
        assert verified(self.told(house), own)


class TestAnnouncing:
    def test_every_end_of_a_job_has_its_event(self) -> None:
        assert set(ENDS) == TERMINAL
        assert [ENDS[status].value for status in ENDS] == [f"enhancement.{status.value}" for status in ENDS]

    def test_what_a_receiver_reads(self, house: House) -> None:
        _, secret = house.endpoint()
        outcome = house.outcome("j7", "failed")
        assert house.announcing.announce(outcome) == 1
        ref = house.sent()
        assert house.sending.deliver(ref) is None
        (posted,) = house.receiver.posted
        body = verified(posted, secret)
        assert posted.url == URL
        assert posted.headers["webhook-id"] == ref.message_id
        assert posted.headers["Content-Type"] == "application/json"
        assert body["type"] == "enhancement.failed"
        data = body["data"]
        assert isinstance(data, dict)
        assert body["timestamp"] == data["finished_at"]
        assert {name: data[name] for name in ("enhancement_id", "asset_id", "status", "error_code")} == {
            "enhancement_id": "j7",
            "asset_id": "a1",
            "status": "failed",
            "error_code": "input_corrupt",
        }
        assert data["links"] == {"enhancement": "/v1/enhancements/j7", "asset": "/v1/assets/a1"}
        assert len(posted.body) < 1000

    def test_links_begin_with_the_address_that_each_webhook_was_made_at(self, house: House) -> None:
        origins = ("https://speech.example.com", "https://abc.execute-api.eu-west-1.amazonaws.com/dev")
        listed = house.webhooks.create(CreateWebhook("c1", URL, base_url=origins[0]))
        own = house.of_job("j1", URL, base_url=origins[1])
        assert house.announcing.announce(house.outcome("j1")) == 2
        found = {ref.endpoint_id: json.loads(house.delivery(ref).payload)["data"]["links"] for ref in house.queue.sent}
        for made, origin in ((listed, origins[0]), (own, origins[1])):
            expected = {"enhancement": f"{origin}/v1/enhancements/j1", "asset": f"{origin}/v1/assets/a1"}
            assert found[made.endpoint.id] == expected

    def test_only_who_asked_for_it_is_told(self, house: House) -> None:
        everything, _ = house.endpoint()
        failures, _ = house.endpoint("enhancement.failed", "enhancement.cancelled")
        off, _ = house.endpoint()
        house.webhooks.update("c1", off.id, UpdateWebhook(enabled=False))
        house.endpoint(client_id="c2")
        assert house.announcing.announce(house.outcome("j1")) == 1
        assert house.announcing.announce(house.outcome("j2", "failed")) == 2
        told = [(ref.endpoint_id, house.delivery(ref).event_type) for ref in house.queue.sent]
        assert told == [
            (everything.id, EventType.ENHANCEMENT_SUCCEEDED),
            (everything.id, EventType.ENHANCEMENT_FAILED),
            (failures.id, EventType.ENHANCEMENT_FAILED),
        ]

    def test_what_came_while_it_was_off_can_be_redelivered(self, house: House) -> None:
        endpoint, secret = house.endpoint()
        house.endpoint("enhancement.failed")
        house.webhooks.update("c1", endpoint.id, UpdateWebhook(enabled=False))
        outcome = house.outcome()
        assert [house.announcing.announce(outcome) for _ in range(2)] == [0, 0]
        assert house.queue.sent == []
        (missed,) = house.webhooks.list_deliveries("c1", endpoint.id)
        assert (missed.status, missed.next_attempt_at) == (DeliveryStatus.DISCARDED, None)
        house.webhooks.update("c1", endpoint.id, UpdateWebhook(enabled=True))
        assert house.announcing.announce(outcome) == 0
        house.webhooks.redeliver("c1", endpoint.id, missed.message_id)
        assert house.sending.deliver(house.sent()) is None
        (posted,) = house.receiver.posted
        assert verified(posted, secret)["type"] == "enhancement.succeeded"

    def test_the_same_outcome_twice_is_one_delivery(self, house: House) -> None:
        house.endpoint()
        outcome = house.outcome()
        assert house.announcing.announce(outcome) == 1
        assert house.sending.deliver(house.sent()) is None
        assert house.announcing.announce(outcome) == 0
        assert (house.queue.sent, len(house.receiver.posted)) == ([], 1)

    def test_a_delivery_that_was_made_and_never_sent_is_sent(self, house: House) -> None:
        house.endpoint()
        outcome = house.outcome()
        house.announcing.announce(outcome)
        lost = house.sent()
        assert house.announcing.announce(outcome) == 1
        assert house.sent() == lost

    def test_a_job_with_a_webhook_of_its_own(self, house: House) -> None:
        listed, _ = house.endpoint("enhancement.failed")
        own = house.of_job("j1", f"{URL}/j1")
        assert house.webhooks.list("c1") == [listed]
        assert house.announcing.announce(house.outcome("j1")) == 1
        assert house.sending.deliver(house.sent()) is None
        (posted,) = house.receiver.posted
        assert posted.url == f"{URL}/j1"
        assert verified(posted, own.secret)
        assert house.announcing.announce(house.outcome("j2")) == 0
        (logged,) = house.webhooks.list_deliveries("c1", "j1")
        assert logged.status is DeliveryStatus.DELIVERED

    def test_a_test_event_goes_to_one_endpoint_whatever_it_asked_for(self, house: House) -> None:
        endpoint, secret = house.endpoint("enhancement.failed")
        house.endpoint()
        delivery = house.webhooks.send_test("c1", endpoint.id)
        assert house.sending.deliver(house.sent()) is None
        (posted,) = house.receiver.posted
        assert verified(posted, secret) == {
            "type": "webhook.test",
            "timestamp": json.loads(delivery.payload)["timestamp"],
            "data": {"endpoint_id": endpoint.id},
        }
        house.webhooks.update("c1", endpoint.id, UpdateWebhook(enabled=False))
        with pytest.raises(DomainError) as raised:
            house.webhooks.send_test("c1", endpoint.id)
        assert raised.value.code is DomainErrorCode.WEBHOOK_DISABLED


class TestDelivering:
    @pytest.fixture
    def ref(self, house: House) -> DeliveryRef:
        house.endpoint()
        house.announcing.announce(house.outcome())
        return house.sent()

    def test_a_receiver_that_fails_five_times_still_gets_it(self, house: House, ref: DeliveryRef) -> None:
        house.receiver.answers += [
            Answer(500),
            NoAnswerError("no answer in time"),
            Answer(404),
            Answer(302),
            Answer(503),
        ]
        house.run(ref)
        delivery = house.delivery(ref)
        assert delivery.status is DeliveryStatus.DELIVERED
        assert [one.status_code for one in delivery.attempts] == [500, None, 404, 302, 503, 204]
        assert delivery.attempts[1].error == "no answer in time"
        assert {posted.headers["webhook-id"] for posted in house.receiver.posted} == {ref.message_id}
        gaps = [b.at - a.at for a, b in zip(delivery.attempts, delivery.attempts[1:], strict=False)]
        assert gaps == [timedelta(seconds=delay_s) for delay_s in RETRY_DELAYS_S[:5]]

    def test_the_schedule_spans_days_and_then_gives_up(self, house: House, ref: DeliveryRef) -> None:
        house.receiver.answers += [Answer(500)] * 100
        took_s = house.run(ref)
        assert timedelta(days=2.5) < timedelta(seconds=took_s) < timedelta(days=3.5)
        assert len(house.receiver.posted) == len(RETRY_DELAYS_S) + 1
        delivery = house.delivery(ref)
        assert (delivery.status, delivery.next_attempt_at) == (DeliveryStatus.FAILED, None)
        assert house.queue.buried == [ref]
        assert house.webhooks.show("c1", ref.endpoint_id).disabled_reason is DisabledReason.FAILING

    def test_one_lost_delivery_among_others_disables_nobody(self, house: House, ref: DeliveryRef) -> None:
        house.receiver.answers += [Answer(400)] * len(RETRY_DELAYS_S)
        house.run(ref, at_most=len(RETRY_DELAYS_S))
        house.announcing.announce(house.outcome("j2"))
        assert house.sending.deliver(house.sent()) is None
        house.receiver.answers.append(Answer(400))
        house.run(ref)
        assert house.delivery(ref).status is DeliveryStatus.FAILED
        assert house.webhooks.show("c1", ref.endpoint_id).is_enabled

    def test_gone_is_gone(self, house: House, ref: DeliveryRef) -> None:
        house.receiver.answers.append(Answer(410))
        assert house.sending.deliver(ref) is None
        assert house.delivery(ref).status is DeliveryStatus.FAILED
        endpoint = house.webhooks.show("c1", ref.endpoint_id)
        assert (endpoint.disabled_reason, endpoint.disabled_at) == (DisabledReason.GONE, house.clock.now())
        assert house.announcing.announce(house.outcome("j2")) == 0
        assert house.webhooks.update("c1", endpoint.id, UpdateWebhook(enabled=True)).is_enabled
        assert house.announcing.announce(house.outcome("j3")) == 1

    @pytest.mark.parametrize("how", ["disabled", "deleted"])
    def test_what_waits_for_an_endpoint_that_is_off_is_discarded(
        self, house: House, ref: DeliveryRef, how: str
    ) -> None:
        house.receiver.answers.append(Answer(500))
        wait_s = house.sending.deliver(ref)
        assert wait_s is not None
        house.clock.advance(wait_s)
        if how == "disabled":
            house.webhooks.update("c1", ref.endpoint_id, UpdateWebhook(enabled=False))
        else:
            house.webhooks.delete("c1", ref.endpoint_id)
        assert house.sending.deliver(ref) is None
        assert house.delivery(ref).status is DeliveryStatus.DISCARDED
        assert len(house.receiver.posted) == 1

    def test_a_receiver_may_ask_for_patience(self, house: House, ref: DeliveryRef) -> None:
        house.receiver.answers += [Answer(429, "77"), Answer(503, "999999"), Answer(503, "1")]
        waits = []
        for _ in range(3):
            wait_s = house.sending.deliver(ref)
            assert wait_s is not None
            waits.append(wait_s)
            house.clock.advance(wait_s)
        assert waits == [77, MAX_RETRY_AFTER_S, RETRY_DELAYS_S[2]]

    def test_an_address_that_became_private_is_never_called(self, house: House, ref: DeliveryRef) -> None:
        house.receiver.answers.append(ForbiddenUrlError("the host has an address that is not a public one"))
        assert house.sending.deliver(ref) == RETRY_DELAYS_S[0]
        (attempt,) = house.delivery(ref).attempts
        assert attempt.error == "the host has an address that is not a public one"

    def test_a_message_that_comes_twice_makes_one_attempt(self, house: House, ref: DeliveryRef) -> None:
        class Reentrant(MemoryReceiver):
            def post(self, *arguments: object) -> Answer:
                """Have the queue deliver the message again while the receiver is being called."""
                waits.append(house.sending.deliver(ref))
                return Answer(500)

        waits: list[float | None] = []
        object.__setattr__(house.sending, "sender", Reentrant())
        first = house.sending.deliver(ref)
        assert waits == [LEASE.total_seconds()]
        assert first == RETRY_DELAYS_S[0] == house.sending.deliver(ref)
        assert len(house.delivery(ref).attempts) == 1

    def test_an_attempt_that_died_is_made_again_after_its_lease(self, house: House, ref: DeliveryRef) -> None:
        object.__setattr__(house.sending, "sender", _Dying())
        with pytest.raises(RuntimeError):
            house.sending.deliver(ref)
        object.__setattr__(house.sending, "sender", house.receiver)
        assert house.sending.deliver(ref) == LEASE.total_seconds()
        house.run(ref)
        assert house.delivery(ref).status is DeliveryStatus.DELIVERED

    def test_redelivery_begins_anew_under_the_old_id(self, house: House, ref: DeliveryRef) -> None:
        house.receiver.answers += [Answer(500)] * (len(RETRY_DELAYS_S) + 1)
        house.run(ref)
        with pytest.raises(DomainError) as raised:
            house.webhooks.redeliver("c1", ref.endpoint_id, ref.message_id)
        assert raised.value.code is DomainErrorCode.WEBHOOK_DISABLED
        house.webhooks.update("c1", ref.endpoint_id, UpdateWebhook(enabled=True))
        again = house.webhooks.redeliver("c1", ref.endpoint_id, ref.message_id)
        assert (again.status, again.tries) == (DeliveryStatus.PENDING, 0)
        assert house.sent() == ref
        house.receiver.answers.append(Answer(500))
        assert house.sending.deliver(ref) == RETRY_DELAYS_S[0]
        house.run(ref)
        delivery = house.delivery(ref)
        assert (delivery.status, delivery.message_id) == (DeliveryStatus.DELIVERED, ref.message_id)
        assert len(delivery.attempts) == len(RETRY_DELAYS_S) + 3 <= KEPT_ATTEMPTS
        assert house.webhooks.redeliver("c1", ref.endpoint_id, ref.message_id).status is DeliveryStatus.PENDING

    def test_what_cannot_be_sent_is_not_promised_by_the_log(
        self, house: House, ref: DeliveryRef, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        house.run(ref)

        def away(_ref: DeliveryRef, *, delay_s: int = 0) -> None:
            raise TransientError(f"SQS is away, {delay_s}")

        monkeypatch.setattr(house.queue, "send", away)
        with pytest.raises(TransientError):
            house.webhooks.redeliver("c1", ref.endpoint_id, ref.message_id)
        with pytest.raises(TransientError):
            house.webhooks.send_test("c1", ref.endpoint_id)
        logged = {one.message_id: one.status for one in house.webhooks.list_deliveries("c1", ref.endpoint_id)}
        assert logged.pop(ref.message_id) is DeliveryStatus.DELIVERED
        assert list(logged.values()) == [DeliveryStatus.FAILED]

    def test_the_log_is_read_page_by_page_newest_first(self, house: House, ref: DeliveryRef) -> None:
        for number in range(4):
            house.clock.advance(1)
            house.announcing.announce(house.outcome(f"later-{number}"))
        pages: list[str] = []
        before = None
        while page := house.webhooks.list_deliveries("c1", ref.endpoint_id, limit=2, before=before):
            pages += [one.message_id for one in page]
            before = pages[-1]
        assert pages == sorted(pages, reverse=True)
        assert (len(pages), pages[-1]) == (5, ref.message_id)


class _Dying:
    """A sender whose function dies under it."""

    def post(self, *arguments: object) -> Answer:
        raise RuntimeError("the function died")


@given(st.text(max_size=20), st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001 - made aware below
def test_any_retry_after_is_bounded(text: str, moment: datetime) -> None:
    stamp = moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
    for value in (text, stamp, stamp.replace("GMT", "-0000"), None):
        assert 0 <= retry_after_s(value, now=NOW) <= MAX_RETRY_AFTER_S


@pytest.mark.parametrize(
    "nonsense",
    [
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 -9999",
        "9" * 400 + ".5",
        "Mon, 99 Jan 2024 00:00:00 GMT",
    ],
)
def test_no_retry_after_breaks_anything(nonsense: str) -> None:
    assert retry_after_s(nonsense, now=NOW) == 0


def test_retry_after_as_a_date() -> None:
    assert retry_after_s("Tue, 09 Apr 2024 21:40:00 GMT", now=NOW.replace(microsecond=0)) == 84
    assert retry_after_s("Tue, 09 Apr 2024 21:00:00 GMT", now=NOW) == 0


class Deliveries(RuleBasedStateMachine):
    """Whatever receivers do, whatever comes twice, and whenever: a settled delivery stays, a pending one ends."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House(clock=ManualClock(), delays_s=(5.0, 30.0, 120.0))
        self.ids = [self.house.endpoint()[0].id, self.house.endpoint("enhancement.failed")[0].id]
        self.refs: set[DeliveryRef] = set()
        self.outcomes: list[JobOutcome] = []

    @rule(status=st.sampled_from(["succeeded", "failed", "cancelled"]))
    def a_job_ends(self, status: str) -> None:
        outcome = self.house.outcome(f"j{len(self.outcomes)}", status)
        self.outcomes.append(outcome)
        self.tell(outcome)

    @precondition(lambda self: self.outcomes)
    @rule(data=st.data())
    def it_is_told_again(self, data: st.DataObject) -> None:
        self.tell(data.draw(st.sampled_from(self.outcomes)))

    def tell(self, outcome: JobOutcome) -> None:
        self.house.announcing.announce(outcome)
        self.refs |= set(self.house.queue.sent)
        self.house.queue.sent.clear()

    @precondition(lambda self: self.refs)
    @rule(data=st.data(), status=st.sampled_from([200, 500, 410, None]), later_s=st.floats(0, 200))
    def a_message_comes(self, data: st.DataObject, status: int | None, later_s: float) -> None:
        house, ref = self.house, data.draw(st.sampled_from(sorted(self.refs, key=repr)))
        house.clock.advance(later_s)
        before, calls = house.delivery(ref), len(house.receiver.posted)
        house.receiver.answers = [Answer(status) if status else NoAnswerError("no connection")]
        wait_s = house.sending.deliver(ref)
        after = house.delivery(ref)
        assert (wait_s is None) == (not after.is_pending)
        if not before.is_pending:
            assert after == before
        if not before.is_pending or before.wait_s(house.clock.now()) > 0:
            assert len(house.receiver.posted) == calls
        if wait_s is not None:
            assert 0 < wait_s <= 132 or wait_s == BUSY_S

    @rule(index=st.integers(0, 1), enabled=st.booleans())
    def the_client_switches(self, index: int, enabled: bool) -> None:
        self.house.webhooks.update("c1", self.ids[index], UpdateWebhook(enabled=enabled))

    @invariant()
    def every_delivery_belongs_to_one_outcome(self) -> None:
        logged = [one for end in self.ids for one in self.house.log.newest("c1", end, limit=10_000)]
        assert len({(one.endpoint_id, one.message_id) for one in logged}) == len(logged)
        # What came while an endpoint was off is written down and never sent.
        sent = [one for one in logged if one.attempts or one.is_pending]
        assert {one.message_id for one in sent} <= {ref.message_id for ref in self.refs}
        for one in logged:
            assert one.tries <= len(self.house.delays_s) + 1
            assert len([a for a in one.attempts if a.status_code == 200]) <= 1


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=40, stateful_step_count=25, deadline=None, derandomize=True)
