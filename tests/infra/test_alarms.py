"""Somebody is told: every dead-letter queue has its alarm, every alarm its topic."""

import json

from tests.infra.templates import Assembly


def test_every_dead_letter_queue_is_watched(aws: Assembly) -> None:
    queues = [name for name in aws.of_type("AWS::SQS::Queue") if "DeadLetters" in name]
    watched = [
        alarm
        for alarm in aws.of_type("AWS::CloudWatch::Alarm").values()
        if alarm["Properties"].get("MetricName") == "ApproximateNumberOfMessagesVisible"
    ]
    assert len(watched) == len(queues) == 7
    assert all(alarm["Properties"]["Threshold"] == 0 for alarm in watched)


def test_every_alarm_of_the_ops_stack_publishes(aws: Assembly) -> None:
    alarms = {name: a for name, a in aws.of_type("AWS::CloudWatch::Alarm").items() if name.startswith("ops/")}
    assert len(alarms) >= 12
    for name, alarm in alarms.items():
        assert "AlarmsTopic" in json.dumps(alarm["Properties"]["AlarmActions"]), name


def test_alarms_may_publish_over_tls_only(aws: Assembly) -> None:
    policy = aws.one("AWS::SNS::TopicPolicy", "ops/")["PolicyDocument"]["Statement"]
    assert {statement["Effect"] for statement in policy} == {"Allow", "Deny"}
    assert {"Service": "cloudwatch.amazonaws.com"} in [statement.get("Principal") for statement in policy]
