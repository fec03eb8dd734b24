"""What a job leaves in the log as metrics (CloudWatch embedded metric format)."""

import json
from collections import defaultdict
from typing import Any

import pytest

from gpu_container.contract import ProbeResult
from lambdas.core.errors import TransientError
from lambdas.core.metrics import NAMESPACE, Dimension, Metric
from lambdas.core.services.housekeeping import HousekeepingService
from tests.integration.cloud import FREE, Cloud
from tests.integration.conftest import FACTS, POISON
from tests.integration.test_flow import ASSETS, enhance, upload

ARM_USD_PER_S = 0.0000133334 * 3008 / 1024
"""Of the functions of `Cloud`."""

Counted = dict[str, dict[tuple[str, ...], list[float]]]


@pytest.fixture
def caller(cloud: Cloud) -> dict[str, str]:
    return cloud.sign_in("acme")


def test_a_finished_job_is_counted_once_with_its_wait_sound_speed_and_price(
    cloud: Cloud, caller: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    enhance(cloud, caller, upload(cloud, caller))
    cloud.drain()
    for _ in range(2):
        cloud.sweep()
    counted = _counted(capsys)
    assert counted[Metric.SUCCEEDED] == {("stage=dev",): [1]}
    assert Metric.FAILED not in counted
    (wait_s,) = counted[Metric.QUEUE_WAIT]["stage=dev",]
    assert 0 <= wait_s < 60
    by_lane = ("lane=gpu", "stage=dev")
    assert counted[Metric.AUDIO] == {by_lane: [FACTS.duration_s]}
    assert counted[Metric.REAL_TIME_FACTOR][by_lane] == [pytest.approx(0.1 / FACTS.duration_s)]
    # 0.7364 $/h for an instance that works on two at a time.
    expected_usd = 0.7364 / 2 * 0.1 / FACTS.duration_s
    assert counted[Metric.USD_PER_AUDIO_HOUR][by_lane] == [pytest.approx(expected_usd)]


def test_a_function_is_priced_by_its_memory_and_processor(
    cloud: Cloud, caller: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEARTAKE_SPEEDS", json.dumps({"cpu": FREE}))
    enhance(cloud, caller, upload(cloud, caller))
    cloud.drain()
    counted = _counted(capsys)
    by_lane = ("lane=cpu", "stage=dev")
    expected_usd = ARM_USD_PER_S * 0.1 / FACTS.duration_s * 3600
    assert counted[Metric.USD_PER_AUDIO_HOUR] == {by_lane: [pytest.approx(expected_usd)]}


def test_a_recording_in_parts_costs_what_all_its_functions_did(
    cloud: Cloud, caller: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = FACTS.model_copy(update={"frames": 3600 * FACTS.rate_hz, "duration_s": 3600.0})
    work = cloud.work
    cloud.probe = lambda _order: ProbeResult(facts=hour).model_dump(mode="json")
    cloud.work = lambda order: work(order).model_copy(update={"facts": hour})
    monkeypatch.setenv(
        "CLEARTAKE_SPEEDS", json.dumps({"cpu": FREE | {"codecs": 1}, "cpu-fan-out": FREE | {"part_s": 900}})
    )
    enhance(cloud, caller, upload(cloud, caller))
    cloud.drain()
    counted = _counted(capsys)
    by_lane = ("lane=cpu-fan-out", "stage=dev")
    # A second for each of four parts, and a tenth for putting them together.
    assert counted[Metric.REAL_TIME_FACTOR] == {by_lane: [pytest.approx(4.1 / 3600)]}
    assert counted[Metric.USD_PER_AUDIO_HOUR] == {by_lane: [pytest.approx(ARM_USD_PER_S * 4.1)]}


def test_a_file_that_is_to_blame_is_not_our_failure(
    cloud: Cloud, caller: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    enhance(cloud, caller, upload(cloud, caller, POISON))
    cloud.drain()
    counted = _counted(capsys)
    assert counted[Metric.FAILED] == {("stage=dev",): [1], ("code=input_corrupt", "stage=dev"): [1]}
    assert counted[Metric.FAILED_BY_US] == {("stage=dev",): [0]}
    assert Metric.SUCCEEDED not in counted


def test_a_result_that_was_refused_is_our_failure(
    cloud: Cloud, caller: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    honest = cloud.work
    cloud.work = lambda order: honest(order).model_copy(update={"size_bytes": 1})
    enhance(cloud, caller, upload(cloud, caller))
    cloud.drain()
    counted = _counted(capsys)
    assert counted[Metric.FAILED_BY_US] == {("stage=dev",): [1]}
    assert counted[Metric.FAILED]["code=engine_failed", "stage=dev"] == [1]
    assert len(counted[Metric.QUEUE_WAIT]["stage=dev",]) == 3  # each attempt has waited


def test_each_sweep_tells_of_the_queue_even_when_nothing_is_wrong(
    cloud: Cloud, caller: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    enhance(cloud, caller, upload(cloud, caller))
    cloud.sweep()
    counted = _counted(capsys)
    assert counted[Metric.ACTIVE] == {("stage=dev",): [0]}
    assert counted[Metric.RECOVERED] == {("stage=dev",): [0]}
    assert Metric.OLDEST_QUEUED in counted


def test_what_was_seen_is_told_also_where_the_rest_fails(
    cloud: Cloud, caller: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    enhance(cloud, caller, upload(cloud, caller))
    capsys.readouterr()

    def fail(*_: object, **__: object) -> None:
        raise TransientError("the table is away")

    monkeypatch.setattr(HousekeepingService, "tidy", fail)
    with pytest.raises(TransientError):
        cloud.sweep()
    assert _counted(capsys)[Metric.ACTIVE] == {("stage=dev",): [0]}
    assert cloud.drain() == 1


def test_no_id_is_a_dimension(cloud: Cloud, caller: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    asset = upload(cloud, caller)
    job = enhance(cloud, caller, asset).body
    cloud.drain()
    cloud.sweep()
    assert cloud.call("GET", f"{ASSETS}/{asset['id']}", headers=caller).status == 200
    lines = _lines(capsys.readouterr().out)
    assert lines
    for line in lines:
        assert {name for (metrics,) in [line["_aws"]["CloudWatchMetrics"]] for name in metrics["Dimensions"][0]} <= {
            *Dimension
        }
        for hidden in (asset["id"], job["id"], caller["x-api-key"]):
            assert hidden not in json.dumps(line)


def _lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith('{"_aws"')]


def _counted(capsys: pytest.CaptureFixture[str]) -> Counted:
    """Return metric → dimensions → values, as CloudWatch would read them from the log."""
    counted: Counted = defaultdict(lambda: defaultdict(list))
    for line in _lines(capsys.readouterr().out):
        (metrics,) = line["_aws"]["CloudWatchMetrics"]
        assert metrics["Namespace"] == NAMESPACE
        key = tuple(sorted(f"{name}={line[name]}" for name in metrics["Dimensions"][0]))
        for metric in metrics["Metrics"]:
            counted[metric["Name"]][key] += line[metric["Name"]]
    return {name: dict(values) for name, values in counted.items()}
