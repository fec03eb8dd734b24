"""What computing costs: list prices, and what a lane's work on one recording comes to. The only place with prices."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from lambdas.core.routing import Lane

SECONDS_PER_HOUR = 3600.0
MIB_PER_GB = 1024.0


@dataclass(frozen=True)
class Prices:
    """List prices in US dollars, without free tiers, discounts, tax or transfer out of the region.

    Written down from memory on the day in ``as_of``: **check before use** against the price list of your region.
    """

    as_of: str = "2026-11-21"
    region: str = "us-east-1"

    gpu_instance_usd_per_h: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({"ml.g4dn.xlarge": 0.7364, "ml.g5.xlarge": 1.408})
    )
    """SageMaker hosting, by instance type."""
    lambda_x86_usd_per_gb_s: float = 0.0000166667
    lambda_arm_usd_per_gb_s: float = 0.0000133334
    lambda_usd_per_request: float = 0.20e-6
    step_functions_usd_per_transition: float = 25e-6
    api_gateway_usd_per_request: float = 3.50e-6
    event_usd_per_event: float = 1.00e-6
    sqs_fifo_usd_per_request: float = 0.50e-6
    sqs_usd_per_request: float = 0.40e-6
    s3_usd_per_put: float = 5.0e-6
    s3_usd_per_get: float = 0.4e-6
    s3_usd_per_gb_month: float = 0.023
    dynamodb_usd_per_write_unit: float = 0.625e-6
    dynamodb_usd_per_read_unit: float = 0.125e-6
    kms_usd_per_request: float = 3.0e-6
    logs_usd_per_gb: float = 0.50


PRICES = Prices()


@dataclass(frozen=True)
class Hardware:
    """What the lanes run on, as it was deployed; both of the cpu lane's run in one function."""

    gpu_instance_type: str
    gpu_concurrency: int
    cpu_memory_mib: int
    cpu_is_arm: bool


def busy_usd_per_s(hardware: Hardware, prices: Prices = PRICES) -> Mapping[Lane, float | None]:
    """Return what a second of one worker's time costs on each lane.

    An instance that works on several attempts at a time is shared by them; what it costs while it starts or idles is
    no attempt's and is not in here. None for an instance type whose price is not known.
    """
    per_hour = prices.gpu_instance_usd_per_h.get(hardware.gpu_instance_type)
    per_gb_s = prices.lambda_arm_usd_per_gb_s if hardware.cpu_is_arm else prices.lambda_x86_usd_per_gb_s
    function = per_gb_s * hardware.cpu_memory_mib / MIB_PER_GB
    return MappingProxyType(
        {
            Lane.GPU: None if per_hour is None else per_hour / SECONDS_PER_HOUR / hardware.gpu_concurrency,
            Lane.CPU: function,
            Lane.CPU_FAN_OUT: function,
        }
    )


def usd_per_audio_hour(*, usd_per_s: float, work_s: float, audio_s: float) -> float:
    """Return the cost of an hour of sound from that of one recording's ``work_s`` for ``audio_s``."""
    return usd_per_s * work_s / audio_s * SECONDS_PER_HOUR
