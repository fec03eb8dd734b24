"""Somebody is told: every dead-letter queue has its alarm, every alarm its topic."""

import json
from typing import Any

import pytest

from lambdas.core.metrics import NAMESPACE, Metric
from tests.infra.templates import Assembly


def test_every_dead_letter_queue_is_watched(aws: Assembly) -> None:
    queues = [name for name in aws.of_type("AWS::SQS::Queue") if "DeadLetters" in name]
    watched = [
        alarm
        for alarm in aws.of_type("AWS::CloudWatch::Alarm").values()
        if alarm["Properties"].get("MetricName") == "ApproximateNumberOfMessagesVisible"
    ]
    assert len(watched) == len(queues) == 10
    assert all(alarm["Properties"]["Threshold"] == 0 for alarm in watched)


def test_every_alarm_of_the_ops_stack_publishes(aws: Assembly) -> None:
    alarms = {name: a for name, a in aws.of_type("AWS::CloudWatch::Alarm").items() if name.startswith("ops/")}
    assert alarms
    for name, alarm in alarms.items():
        assert "AlarmsTopic" in json.dumps(alarm["Properties"]["AlarmActions"]), name


@pytest.mark.parametrize(
    ("alarm", "metric", "dimensions", "threshold"),
    [
        ("QueuesOutcomeDeadLetters", "ApproximateNumberOfMessagesVisible", {"QueueName"}, 0),
        ("OldestQueued", "ApproximateAgeOfOldestMessage", {"QueueName"}, 15 * 60),
        ("OldestJob", Metric.OLDEST_QUEUED, {"stage"}, 15 * 60),
        ("LateOutcomes", "ApproximateAgeOfOldestMessage", {"QueueName"}, 5 * 60),
        ("NoGpu", "HasBacklogWithoutCapacity", {"EndpointName"}, 0),
        ("GpuUpForHours", "CPUUtilization", {"EndpointName", "VariantName"}, 0),
        ("Recovered", Metric.RECOVERED, {"stage"}, 0),
        ("FailedByUs", Metric.FAILED_BY_US, {"stage"}, 0),
        ("ServerErrors", "5XXError", {"ApiName"}, 0.01),
        ("SlotLeak", Metric.LEAKED_SLOTS, {"stage"}, 0),
        ("AdmitThrottled", "Throttles", {"FunctionName"}, 0),
        ("TableWriteThrottled", "WriteThrottleEvents", {"TableName"}, 0),
        ("EnhancementFailed", "ExecutionsFailed", {"StateMachineArn"}, 0),
        ("NativeApiEnhancementsLatency", "Latency", {"ApiName", "Stage", "Method", "Resource"}, 3000),
    ],
)
def test_what_wakes_somebody(aws: Assembly, alarm: str, metric: str, dimensions: set[str], threshold: float) -> None:
    found = aws.one("AWS::CloudWatch::Alarm", f"ops/Alarms{alarm}")
    assert found["MetricName"] == metric
    assert {one["Name"] for one in found["Dimensions"]} == dimensions
    assert (found["Threshold"], found["ComparisonOperator"]) == (threshold, "GreaterThanThreshold")


def test_calls_that_wait_because_they_asked_to_wake_nobody(aws: Assembly) -> None:
    """``GET /v1/enhancements/{id}?wait=20`` is held for up to twenty seconds: the API's own latency counts that."""
    slow = {name: alarm for name, alarm in _alarms(aws).items() if alarm.get("MetricName") == "Latency"}
    watched = {frozenset((one["Name"], one["Value"]) for one in alarm["Dimensions"]) for alarm in slow.values()}
    (stage,) = aws.one("AWS::ApiGateway::Stage")["MethodSettings"]
    assert stage["MetricsEnabled"] is True, "else the gateway counts by method nothing at all"
    assert watched == {
        frozenset({"ApiName": "Cleartake dev", "Stage": "dev", "Method": "POST", "Resource": path}.items())
        for path in (
            "/audio_services/v1/assets",
            "/audio_services/v1/assets/{asset_id}/speech_enhancements",
            "/v2/assets",
            "/v2/speech-enhancements",
            "/v1/assets",
            "/v1/enhancements",
            "/v1/runs",
        )
    }
    assert {(a["ExtendedStatistic"], a["Threshold"], a["EvaluationPeriods"]) for a in slow.values()} == {
        ("p95", 3000, 3)
    }


def test_alarms_may_publish_over_tls_only(aws: Assembly) -> None:
    policy = aws.one("AWS::SNS::TopicPolicy", "ops/")["PolicyDocument"]["Statement"]
    assert {statement["Effect"] for statement in policy} == {"Allow", "Deny"}
    assert {"Service": "cloudwatch.amazonaws.com"} in [statement.get("Principal") for statement in policy]


def test_our_metrics_are_watched_as_they_are_counted(aws: Assembly) -> None:
    """An alarm on a metric whose name or dimensions nobody writes would be silent for ever."""
    ours = [alarm for alarm in _alarms(aws).values() if alarm.get("Namespace") == NAMESPACE]
    assert {alarm["MetricName"] for alarm in ours} == {
        Metric.FAILED_BY_US,
        Metric.OLDEST_QUEUED,
        Metric.RECOVERED,
        Metric.LEAKED_SLOTS,
        Metric.ACTIVE,
    }
    assert all(alarm["Dimensions"] == [{"Name": "stage", "Value": "dev"}] for alarm in ours)
    for name, function in aws.functions().items():
        if name in {"JobSteps", "Admit", "Sweep", "Erase"}:
            assert function["Environment"]["Variables"]["CLEARTAKE_STAGE"] == "dev"


def test_a_sweeper_that_is_silent_is_an_alarm(aws: Assembly) -> None:
    (alarm,) = (alarm for name, alarm in _alarms(aws).items() if "NoSweep" in name)
    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    others = [alarm for name, alarm in _alarms(aws).items() if "NoSweep" not in name and name.startswith("ops/")]
    assert {alarm["TreatMissingData"] for alarm in others} == {"notBreaching"}


def test_throttles_server_errors_and_a_forgotten_gpu_are_watched(aws: Assembly) -> None:
    alarms = _alarms(aws)
    throttled = [alarm for alarm in alarms.values() if alarm.get("MetricName") == "Throttles"]
    assert len(throttled) >= len(aws.functions()) - 1
    named = {alarm.get("MetricName") for alarm in alarms.values()}
    assert {"ReadThrottleEvents", "WriteThrottleEvents", "5XXError", "HasBacklogWithoutCapacity"} <= named
    (gpu,) = (alarm for name, alarm in alarms.items() if "GpuUpForHours" in name)
    assert (gpu["Period"], gpu["EvaluationPeriods"]) == (3600, 6)


def test_the_dashboard_shows_every_metric_of_ours(aws: Assembly) -> None:
    shown = json.dumps(aws.one("AWS::CloudWatch::Dashboard")["DashboardBody"])
    assert [metric for metric in Metric if metric.value not in shown and metric is not Metric.LEAKED_SLOTS] == []


def test_every_stack_is_tagged_for_the_bill(aws: Assembly) -> None:
    manifest = json.loads((aws.folder / "manifest.json").read_text())
    stacks = [one for one in manifest["artifacts"].values() if one["type"] == "aws:cloudformation:stack"]
    assert len(stacks) == len(aws.templates)
    for stack in stacks:
        assert {"product", "stage", "part"} <= stack["properties"]["tags"].keys()


def _alarms(assembly: Assembly) -> dict[str, dict[str, Any]]:
    return {name: one["Properties"] for name, one in assembly.of_type("AWS::CloudWatch::Alarm").items()}
