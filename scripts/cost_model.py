"""What an hour of sound costs on each lane: ``python -m scripts.cost_model``; the table of ``docs/costs.md``.

Every number comes from `Inputs`: prices (list prices, to be checked before use), engine factors (measured, see
``docs/engine.md``) and assumptions (nobody has measured them here). The formulas are plain and tested by hand.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from lambdas.core.costs import MIB_PER_GB, PRICES, SECONDS_PER_HOUR, Prices
from lambdas.core.workflow import ASSET_INTAKE, END, ENHANCEMENT, FAN_OUT, FunctionName, Machine

BESIDE_THE_MACHINES = (
    FunctionName.ADMIT,
    FunctionName.ACCESS,
    FunctionName.COMPLETE,
    FunctionName.WEBHOOK,
    FunctionName.DELIVER,
)
"""What a job calls once each outside its state machines."""


@dataclass(frozen=True)
class Engine:
    """Measured: CPU seconds of one x86 core for a second of sound (``docs/engine.md``, ``make bench-engine``)."""

    network_cpu_s: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType(
            {"dfn3 mono": 0.011, "dfn3 stereo": 0.017, "dfn3-hq mono": 0.044, "dfn3-hq stereo": 0.068}
        )
    )
    report_cpu_s: float = 0.02
    """The full report; none of it with ``report=none``."""
    codec_cpu_s: float = 0.0115
    """Encoding MP3 with LAME, the dearest of the codecs; PCM costs next to nothing."""
    decode_cpu_s: float = 0.002
    """Decoding MP3, which each part of a fan-out does from the beginning of the file."""
    fan_out_warm_up_s: float = 60.0
    """Sound of the head and before each part that is computed and thrown away."""


@dataclass(frozen=True)
class Assumptions:
    """Not measured. Each is named in ``docs/costs.md``."""

    lambda_mib_per_vcpu: float = 1769.0
    """AWS: a function has one virtual CPU for each 1,769 MB."""
    lambda_efficiency: float = 0.7
    """Share of its virtual CPUs that one file keeps busy; fan-out and memory for one CPU alone: 1."""
    gpu_instance_type: str = "ml.g4dn.xlarge"
    gpu_vcpus: int = 4
    gpu_network_speed: float = 200.0
    """Seconds of sound in a second for dfn3 mono on the GPU. Not measured on this instance."""
    gpu_wake_s: float = 300.0
    gpu_linger_s: float = 600.0
    """An instance is paid for while it starts and until scaling lets it go."""
    fan_out_file_h: float = 4.0
    """Length of a file that is fanned out: the longer, the more of it is decoded for nothing."""
    part_s: float = 1800.0
    transitions_per_part: float = 2.0
    """Of the child execution of one part: start and task."""
    api_requests: int = 16
    """Of one job: asset, enhancement, a dozen polls, download."""
    api_function_gb_s: float = 0.05
    """1 GB for 50 ms."""
    step_function_gb_s: float = 0.05
    """0.5 GB for 100 ms."""
    probe_gb_s: float = 4.0
    """2 GB for 2 s."""
    write_units: int = 70
    read_units: int = 60
    """DynamoDB: transactions count twice, and each index of the table once more."""
    s3_puts: int = 12
    s3_gets: int = 20
    kms_requests: int = 12
    """With bucket keys a few requests for each job; one signature for each token."""
    sqs_fifo_requests: int = 6
    sqs_requests: int = 3
    log_bytes: int = 40_000
    gb_per_audio_hour: float = 0.115
    """Of one copy: MP3 at 256 kbit/s; a mono WAV at 48 kHz and 16 bit is 0.346."""
    copies: float = 2.0
    """Upload and result; the wet track lies a week and counts in ``wet_gb_per_audio_hour``."""
    wet_gb_per_audio_hour: float = 0.25
    wet_days: float = 7.0
    retention_days: float = 30.0


@dataclass(frozen=True)
class Inputs:
    """All that the model knows."""

    prices: Prices = PRICES
    engine: Engine = field(default_factory=Engine)
    assumptions: Assumptions = field(default_factory=Assumptions)


def cpu_s_per_audio_hour(engine: Engine, model: str, *, report: bool = True) -> float:
    """Return CPU seconds for an hour of sound: network, report and codec."""
    factor = engine.network_cpu_s[model] + engine.codec_cpu_s + (engine.report_cpu_s if report else 0.0)
    return factor * SECONDS_PER_HOUR


def lambda_usd_per_cpu_s(inputs: Inputs, *, arm: bool = False) -> float:
    """Return what a second of one virtual CPU of a function costs: its memory is what is paid for."""
    price = inputs.prices.lambda_arm_usd_per_gb_s if arm else inputs.prices.lambda_x86_usd_per_gb_s
    return price * inputs.assumptions.lambda_mib_per_vcpu / MIB_PER_GB


def cpu_lane_usd(inputs: Inputs, model: str, *, arm: bool = False, report: bool = True) -> float:
    """Return dollars per audio hour of the cpu lane, a whole file in one 10 GB function."""
    cpu_s = cpu_s_per_audio_hour(inputs.engine, model, report=report)
    return cpu_s * lambda_usd_per_cpu_s(inputs, arm=arm) / inputs.assumptions.lambda_efficiency


def fan_out_overhead_usd(inputs: Inputs, model: str) -> float:
    """Return what working in parts adds to an audio hour.

    Each part decodes what is before it and runs the network over its warm-up, the assembly decodes once more; and there
    are transitions, calls, and one GET and PUT a part.
    """
    assumed, prices = inputs.assumptions, inputs.prices
    engine, file_s = inputs.engine, assumed.fan_out_file_h * SECONDS_PER_HOUR
    parts = SECONDS_PER_HOUR / assumed.part_s
    decoded_s = parts * (file_s - assumed.part_s) / 2 + SECONDS_PER_HOUR
    cpu_s = decoded_s * engine.decode_cpu_s + parts * engine.fan_out_warm_up_s * engine.network_cpu_s[model]
    each = (
        assumed.transitions_per_part * prices.step_functions_usd_per_transition
        + prices.lambda_usd_per_request
        + prices.s3_usd_per_get
        + prices.s3_usd_per_put
    )
    machine = transitions(FAN_OUT) * prices.step_functions_usd_per_transition / assumed.fan_out_file_h
    return cpu_s * lambda_usd_per_cpu_s(inputs) / assumed.lambda_efficiency + parts * each + machine


def fan_out_usd(inputs: Inputs, model: str) -> float:
    """Return dollars per audio hour of the cpu lane's fan-out: the function once for each part, and for all."""
    return cpu_lane_usd(inputs, model) + fan_out_overhead_usd(inputs, model)


def gpu_speed(inputs: Inputs, model: str, *, report: bool = True) -> float:
    """Return seconds of sound in a second of a fed GPU instance: the slower of its GPU and its CPUs sets it.

    The GPU's speed falls with the network's work, and codecs and the report run on the instance's few CPUs.
    """
    engine, assumed = inputs.engine, inputs.assumptions
    network = assumed.gpu_network_speed * engine.network_cpu_s["dfn3 mono"] / engine.network_cpu_s[model]
    return min(network, assumed.gpu_vcpus / (engine.codec_cpu_s + (engine.report_cpu_s if report else 0.0)))


def gpu_usd_per_hour(inputs: Inputs) -> float:
    """Return the price of an hour of the instance."""
    return inputs.prices.gpu_instance_usd_per_h[inputs.assumptions.gpu_instance_type]


def gpu_warm_usd(inputs: Inputs, model: str, *, report: bool = True) -> float:
    """Return dollars per audio hour of an instance that is up and never waits for work."""
    return gpu_usd_per_hour(inputs) / gpu_speed(inputs, model, report=report)


def gpu_wake_usd(inputs: Inputs) -> float:
    """Return what one start from zero costs before and after its work."""
    assumed = inputs.assumptions
    return gpu_usd_per_hour(inputs) * (assumed.gpu_wake_s + assumed.gpu_linger_s) / SECONDS_PER_HOUR


def gpu_cold_usd(inputs: Inputs, model: str, *, audio_hours: float) -> float:
    """Return dollars per audio hour where one wake serves ``audio_hours`` of sound."""
    return gpu_warm_usd(inputs, model) + gpu_wake_usd(inputs) / audio_hours


def break_even_audio_hours(inputs: Inputs, model: str) -> float | None:
    """Return the backlog from which waking a GPU is cheaper than functions; None where it never is."""
    saved = cpu_lane_usd(inputs, model) - gpu_warm_usd(inputs, model)
    return gpu_wake_usd(inputs) / saved if saved > 0 else None


def transitions(machine: Machine) -> int:
    """Return the state transitions of a run that goes well: each step, its branching, start and end."""
    name, count = machine.steps[0].name, 2
    while name != END:
        step = machine.step(name)
        count += 2 if step.branches else 1
        name = step.next
    return count


def job_usd(inputs: Inputs) -> Mapping[str, float]:
    """Return what one job costs besides its computing and storage, by service."""
    assumed, prices = inputs.assumptions, inputs.prices
    steps = transitions(ASSET_INTAKE) + transitions(ENHANCEMENT)
    calls = len(ASSET_INTAKE.steps) + len(ENHANCEMENT.steps) + len(BESIDE_THE_MACHINES)
    lambda_gb_s = assumed.api_requests * assumed.api_function_gb_s + calls * assumed.step_function_gb_s
    return MappingProxyType(
        {
            "API Gateway": assumed.api_requests * prices.api_gateway_usd_per_request,
            "Step Functions": steps * prices.step_functions_usd_per_transition,
            "Lambda": (assumed.api_requests + calls) * prices.lambda_usd_per_request
            + lambda_gb_s * prices.lambda_arm_usd_per_gb_s
            + assumed.probe_gb_s * prices.lambda_x86_usd_per_gb_s,
            "DynamoDB": assumed.write_units * prices.dynamodb_usd_per_write_unit
            + assumed.read_units * prices.dynamodb_usd_per_read_unit,
            "S3 requests": assumed.s3_puts * prices.s3_usd_per_put + assumed.s3_gets * prices.s3_usd_per_get,
            "KMS": assumed.kms_requests * prices.kms_usd_per_request,
            "SQS and events": assumed.sqs_fifo_requests * prices.sqs_fifo_usd_per_request
            + assumed.sqs_requests * prices.sqs_usd_per_request
            + prices.event_usd_per_event,
            "Logs": assumed.log_bytes / 1e9 * prices.logs_usd_per_gb,
        }
    )


def storage_usd(inputs: Inputs) -> float:
    """Return dollars per audio hour of keeping upload and result for the retention, and the wet track for a week."""
    assumed = inputs.assumptions
    gb_days = assumed.gb_per_audio_hour * assumed.copies * assumed.retention_days
    gb_days += assumed.wet_gb_per_audio_hour * assumed.wet_days
    return gb_days / 30.0 * inputs.prices.s3_usd_per_gb_month


def lane_rows(inputs: Inputs) -> list[tuple[str, list[float]]]:
    """Return lane → dollars per audio hour for each model of `Engine.network_cpu_s`, in its order."""
    models = list(inputs.engine.network_cpu_s)
    return [
        ("cpu, whole file, x86", [cpu_lane_usd(inputs, model) for model in models]),
        ("cpu, whole file, arm64 (at the same speed)", [cpu_lane_usd(inputs, model, arm=True) for model in models]),
        ("cpu, whole file, x86, no report", [cpu_lane_usd(inputs, model, report=False) for model in models]),
        ("cpu, fan-out of a long file", [fan_out_usd(inputs, model) for model in models]),
        ("… of which for its parts", [fan_out_overhead_usd(inputs, model) for model in models]),
        ("gpu, warm and fed", [gpu_warm_usd(inputs, model) for model in models]),
        ("gpu, warm and fed, no report", [gpu_warm_usd(inputs, model, report=False) for model in models]),
        ("gpu, one wake for 1 audio hour", [gpu_cold_usd(inputs, model, audio_hours=1) for model in models]),
        ("gpu, one wake for 100 audio hours", [gpu_cold_usd(inputs, model, audio_hours=100) for model in models]),
    ]


def render(inputs: Inputs) -> str:
    """Return the tables in Markdown."""
    models = list(inputs.engine.network_cpu_s)
    prices = inputs.prices
    lines = [
        f"List prices of {prices.region}, written down from memory on {prices.as_of}: **check before use**.",
        "",
        "| computing, USD per audio hour | " + " | ".join(models) + " |",
        "|---|" + "---:|" * len(models),
        *(f"| {name} | " + " | ".join(f"{usd:.4f}" for usd in row) + " |" for name, row in lane_rows(inputs)),
        "| backlog that pays a wake, audio hours | " + " | ".join(_hours(inputs, model) for model in models) + " |",
        "",
        "| besides, USD | |",
        "|---|---:|",
        *(f"| each job: {name} | {usd:.6f} |" for name, usd in job_usd(inputs).items()),
        f"| **each job, sum** | **{sum(job_usd(inputs).values()):.5f}** |",
        f"| storage, each audio hour | {storage_usd(inputs):.4f} |",
        f"| one wake of a GPU | {gpu_wake_usd(inputs):.3f} |",
    ]
    return "\n".join(lines)


def _hours(inputs: Inputs, model: str) -> str:
    hours = break_even_audio_hours(inputs, model)
    return f"{hours:.0f}" if hours is not None else "never"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    argparse.ArgumentParser(prog="python -m scripts.cost_model", description=__doc__).parse_args(arguments)
    print(render(Inputs()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
