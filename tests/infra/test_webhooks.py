"""Webhooks wait for days, give up in sight of somebody, and call this machine only on this machine."""

import json

from lambdas.adapters.egress import POST_TIMEOUT_S
from lambdas.core.services.deliveries import LEASE
from lambdas.core.webhooks import RETRY_DELAYS_S
from lambdas.entrypoints.deliver import MAX_DELAY_S
from tests.infra.templates import Assembly, Resource


def the_queue(assembly: Assembly) -> Resource:
    return assembly.one("AWS::SQS::Queue", "WebhooksDeliveryQueue")


def test_deliveries_are_kept_longer_than_they_are_tried(aws: Assembly) -> None:
    """Those too that an earlier release left hidden for their whole wait."""
    assert the_queue(aws)["MessageRetentionPeriod"] > 2 * sum(RETRY_DELAYS_S)


def test_an_end_outlasts_two_days_without_room_and_is_kept_for_longer(aws: Assembly) -> None:
    """A throttled receive counts; the row says "told" already, so that nobody sends an end again."""
    outcomes = aws.one("AWS::SQS::Queue", "QueuesOutcomeQueue")
    dead = aws.one("AWS::SQS::Queue", "QueuesOutcomeDeadLetters")
    tried_s = (outcomes["RedrivePolicy"]["maxReceiveCount"] - 1) * outcomes["VisibilityTimeout"]
    assert tried_s > 2 * 86_400
    # Among the dead letters the clock runs on that started when it was sent.
    assert min(outcomes["MessageRetentionPeriod"], dead["MessageRetentionPeriod"]) - tried_s > 7 * 86_400


def test_an_end_that_nobody_announces_is_an_alarm_before_the_queue_stops_counting_it(aws: Assembly) -> None:
    alarm = aws.one("AWS::CloudWatch::Alarm", "LateOutcomes")
    assert alarm["MetricName"] == "ApproximateAgeOfOldestMessage"
    assert "QueuesOutcomeQueue" in json.dumps(alarm["Dimensions"])
    assert alarm["Threshold"] < 2 * aws.one("AWS::SQS::Queue", "QueuesOutcomeQueue")["VisibilityTimeout"]


def test_an_attempt_ends_before_anybody_makes_the_next_one(aws: Assembly) -> None:
    timeout_s = aws.functions()["Deliver"]["Timeout"]
    assert LEASE.total_seconds() > POST_TIMEOUT_S
    assert POST_TIMEOUT_S < timeout_s <= LEASE.total_seconds()
    assert the_queue(aws)["VisibilityTimeout"] >= 6 * timeout_s


def test_no_receiver_takes_all_the_functions_of_an_account(aws: Assembly) -> None:
    sources = aws.of_type("AWS::Lambda::EventSourceMapping").items()
    (deliveries,) = (source["Properties"] for name, source in sources if "WebhooksDeliver" in name)
    assert deliveries["ScalingConfig"] == {"MaximumConcurrency": 10}
    assert deliveries["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_a_delivery_that_nobody_sends_is_an_alarm_and_one_that_waits_is_none(aws: Assembly) -> None:
    alarm = aws.one("AWS::CloudWatch::Alarm", "LateDeliveries")
    assert alarm["MetricName"] == "ApproximateAgeOfOldestMessage"
    assert alarm["Threshold"] > MAX_DELAY_S


def test_receivers_on_the_machine_itself_are_called_on_one_machine_only(aws: Assembly, local: Assembly) -> None:
    def given(assembly: Assembly) -> dict[str, str]:
        variables: dict[str, str] = assembly.functions()["Deliver"]["Environment"]["Variables"]
        return variables

    assert given(local)["CLEARTAKE_ALLOW_LOOPBACK"] == "true"
    assert "CLEARTAKE_ALLOW_LOOPBACK" not in given(aws)
    assert "CLEARTAKE_WEBHOOK_RETRY_DELAYS_S" not in given(aws)


def test_the_key_that_seals_secrets_turns(aws: Assembly) -> None:
    key = aws.one("AWS::KMS::Key", "WebhookKey")
    assert key["EnableKeyRotation"] is True
