"""The model of costs, against numbers worked out by hand."""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from lambdas.core.costs import Hardware, Prices, busy_usd_per_s, usd_per_audio_hour
from lambdas.core.routing import Lane
from lambdas.core.workflow import ASSET_INTAKE, ENHANCEMENT, FAN_OUT
from scripts import cost_model
from scripts.cost_model import Assumptions, Engine, Inputs

MODEL = "dfn3 mono"

ROUND = Inputs(
    prices=Prices(
        gpu_instance_usd_per_h=MappingProxyType({"gpu": 1.0}),
        lambda_x86_usd_per_gb_s=2e-5,
        lambda_arm_usd_per_gb_s=1e-5,
        lambda_usd_per_request=1e-6,
        step_functions_usd_per_transition=1e-5,
        s3_usd_per_put=1e-5,
        s3_usd_per_get=1e-6,
        s3_usd_per_gb_month=0.02,
    ),
    engine=Engine(
        network_cpu_s=MappingProxyType({"dfn3 mono": 0.01, "dfn3-hq mono": 0.04}),
        report_cpu_s=0.02,
        codec_cpu_s=0.02,
        decode_cpu_s=0.001,
        fan_out_warm_up_s=10.0,
    ),
    assumptions=Assumptions(
        lambda_mib_per_vcpu=2048.0,
        lambda_efficiency=0.5,
        gpu_instance_type="gpu",
        gpu_vcpus=4,
        gpu_network_speed=200.0,
        gpu_wake_s=600.0,
        gpu_linger_s=1200.0,
        fan_out_file_h=2.0,
        part_s=600.0,
        transitions_per_part=3.0,
        gb_per_audio_hour=0.1,
        copies=2.0,
        wet_gb_per_audio_hour=0.3,
        wet_days=10.0,
        retention_days=30.0,
    ),
)
"""Round numbers: a CPU second of a function costs 2 GB x 2e-5 = 4e-5."""


def test_the_cpu_lane_pays_for_its_cpu_seconds_and_for_those_it_idles() -> None:
    # (0.01 + 0.02 + 0.02) x 3600 = 180 CPU seconds, at 4e-5, half of them busy.
    assert cost_model.cpu_lane_usd(ROUND, MODEL) == pytest.approx(0.0144)
    assert cost_model.cpu_lane_usd(ROUND, MODEL, arm=True) == pytest.approx(0.0072)
    # Without the report 108.
    assert cost_model.cpu_lane_usd(ROUND, MODEL, report=False) == pytest.approx(0.00864)


def test_parts_add_decoding_warm_up_transitions_and_requests() -> None:
    # Six parts an hour: each decodes 3300 s before it on average, and has 10 s x 0.01 of network again; the assembly
    # decodes the hour. 6 x 3.3 + 6 x 0.1 + 3.6 = 24 CPU seconds at 4e-5, half of them busy.
    machine = cost_model.transitions(FAN_OUT) * 1e-5 / 2
    overhead = 24 * 4e-5 * 2 + 6 * 4.2e-5 + machine
    assert cost_model.fan_out_overhead_usd(ROUND, MODEL) == pytest.approx(overhead)
    assert cost_model.fan_out_usd(ROUND, MODEL) == pytest.approx(0.0144 + overhead)


def test_the_slower_of_a_gpu_and_its_cpus_sets_its_speed() -> None:
    assert cost_model.gpu_speed(ROUND, MODEL) == pytest.approx(100)  # 4 CPUs at 0.04 each
    assert cost_model.gpu_speed(ROUND, MODEL, report=False) == pytest.approx(200)  # the GPU
    assert cost_model.gpu_speed(ROUND, "dfn3-hq mono") == pytest.approx(50)  # the GPU, four times the work
    assert cost_model.gpu_warm_usd(ROUND, MODEL) == pytest.approx(0.01)


def test_a_wake_is_shared_by_what_it_serves() -> None:
    assert cost_model.gpu_wake_usd(ROUND) == pytest.approx(0.5)
    assert cost_model.gpu_cold_usd(ROUND, MODEL, audio_hours=1) == pytest.approx(0.51)
    assert cost_model.gpu_cold_usd(ROUND, MODEL, audio_hours=50) == pytest.approx(0.02)


def test_the_backlog_that_pays_a_wake() -> None:
    busy = replace(ROUND, assumptions=replace(ROUND.assumptions, lambda_efficiency=1.0))
    assert cost_model.break_even_audio_hours(busy, MODEL) is None  # 0.01 warm, 0.0072 in functions
    fast = replace(ROUND, assumptions=replace(ROUND.assumptions, gpu_vcpus=16))
    # 200x: 0.005 warm, 0.0144 in functions.
    assert cost_model.break_even_audio_hours(fast, MODEL) == pytest.approx(0.5 / 0.0094)


def test_storage_is_gigabyte_months() -> None:
    # 0.1 GB twice for a month and 0.3 GB for a third of one.
    assert cost_model.storage_usd(ROUND) == pytest.approx(0.3 * 0.02)


def test_transitions_are_counted_from_the_tables_of_steps() -> None:
    # Locate, Probe and MarkReady with a choice each; Claim with one, Dispatch, Verify, Succeed, Notify. Start and end.
    assert cost_model.transitions(ASSET_INTAKE) >= 8
    assert cost_model.transitions(ENHANCEMENT) >= 8
    usd = cost_model.job_usd(ROUND)["Step Functions"]
    assert usd == pytest.approx((cost_model.transitions(ASSET_INTAKE) + cost_model.transitions(ENHANCEMENT)) * 1e-5)


def test_the_metric_shares_an_instance_between_what_it_works_on() -> None:
    prices = Prices(gpu_instance_usd_per_h=MappingProxyType({"gpu": 3.6}), lambda_x86_usd_per_gb_s=1e-5)
    hardware = Hardware(gpu_instance_type="gpu", gpu_concurrency=4, cpu_memory_mib=10_240, cpu_is_arm=False)
    assert busy_usd_per_s(hardware, prices) == {
        Lane.GPU: pytest.approx(0.00025),
        Lane.CPU: pytest.approx(1e-4),
        Lane.CPU_FAN_OUT: pytest.approx(1e-4),
    }
    assert busy_usd_per_s(replace(hardware, gpu_instance_type="unknown"), prices)[Lane.GPU] is None
    assert usd_per_audio_hour(usd_per_s=1e-4, work_s=60, audio_s=1800) == pytest.approx(0.012)


@pytest.mark.parametrize(("memory_mib", "is_arm", "usd_per_s"), [(2048, False, 4e-5), (2048, True, 2e-5)])
def test_the_metric_has_the_functions_own_memory_and_price(memory_mib: int, is_arm: bool, usd_per_s: float) -> None:
    hardware = Hardware(gpu_instance_type="gpu", gpu_concurrency=4, cpu_memory_mib=memory_mib, cpu_is_arm=is_arm)
    priced = busy_usd_per_s(hardware, ROUND.prices)
    assert priced[Lane.CPU] == priced[Lane.CPU_FAN_OUT] == pytest.approx(usd_per_s)


def test_the_printed_table_is_the_documented_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes a price or a factor renews ``docs/costs.md``; the state machines may gain a step in between."""
    assert cost_model.main([]) == 0
    printed = capsys.readouterr().out
    assert "check before use" in printed
    documented = (Path(__file__).parents[3] / "docs" / "costs.md").read_text()
    rows = [line for line in printed.splitlines() if line.startswith(("| cpu", "| gpu", "| …", "| one wake"))]
    assert len(rows) >= 9
    assert [row for row in rows if row not in documented] == []
