"""Where one local cloud lives: its folder, its ports, and the environment variables that choose them."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]

HOST = "127.0.0.1"
DEFAULT_PORT = 8080
DEFAULT_EMULATOR_PORT = 4566


class LauncherError(Exception):
    """Something a person can put right; the message says what went wrong and what to do."""


def lane_concurrency() -> int:
    """Return how many files the endpoint's look-alike works on at once: half of the machine carries the cloud."""
    return max(1, (os.cpu_count() or 2) // 2)


@dataclass(frozen=True)
class Cloud:
    """One local cloud. Several live side by side as long as their homes and ports differ."""

    home: Path
    port: int = DEFAULT_PORT
    emulator_port: int = DEFAULT_EMULATOR_PORT
    sagemaker_port: int = DEFAULT_EMULATOR_PORT + 1
    has_gpu: bool = True
    """False: no look-alike of the GPU's endpoint, every job on the CPU lane's function."""
    timer_scale: float = 1.0
    """What the sweep's waiting times are multiplied with; less than 1 in a drill."""
    cors_origins: str = ""
    """Origins, with commas between, of the pages that may call from a browser."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Cloud":
        """Read ``CLEARTAKE_HOME``, ``…_PORT`` and its siblings, and what else is named ``CLEARTAKE_…`` below."""
        given = os.environ if environment is None else environment
        emulator_port = _port(given, "CLEARTAKE_EMULATOR_PORT", DEFAULT_EMULATOR_PORT)
        return cls(
            home=Path(given.get("CLEARTAKE_HOME") or REPO / ".cleartake").absolute(),
            port=_port(given, "CLEARTAKE_PORT", DEFAULT_PORT),
            emulator_port=emulator_port,
            sagemaker_port=_port(given, "CLEARTAKE_SAGEMAKER_PORT", emulator_port + 1),
            has_gpu=_has_gpu(given),
            timer_scale=_timer_scale(given),
            cors_origins=given.get("CLEARTAKE_CORS_ORIGINS", ""),
        )

    @property
    def context(self) -> dict[str, str]:
        """What the app is configured with: the size of this machine's lane, from which slots follow, and the rest."""
        lane = {"maxGpuInstances": "1", "gpuConcurrency": str(lane_concurrency())}
        backend = lane if self.has_gpu else {"gpuBackend": "none"}
        drill = {} if self.timer_scale == 1 else {"timerScale": str(self.timer_scale)}
        browsers = {"corsOrigins": self.cors_origins} if self.cors_origins else {}
        return {**backend, **drill, **browsers}

    @property
    def base_url(self) -> str:
        """What clients call: the edge."""
        return f"http://{HOST}:{self.port}"

    @property
    def emulator_url(self) -> str:
        """The AWS endpoint; presigned S3 links point here as well."""
        return f"http://{HOST}:{self.emulator_port}"

    @property
    def sagemaker_url(self) -> str:
        """The look-alike of the asynchronous endpoint."""
        return f"http://{HOST}:{self.sagemaker_port}"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """Process records and the lock."""
        return self.home / "run"

    @property
    def state(self) -> Path:
        """The data that survives ``down``."""
        return self.home / "state"

    @property
    def credentials_file(self) -> Path:
        """Base URL and credentials of the two local clients."""
        return self.home / "local.json"

    @property
    def outputs_file(self) -> Path:
        """What the last deployment answered."""
        return self.home / "outputs.json"


def outputs_of(cloud: Cloud) -> dict[str, str]:
    """Return what the last deployment answered."""
    try:
        found: dict[str, str] = json.loads(cloud.outputs_file.read_text())
    except (OSError, ValueError):
        raise LauncherError("There is no local cloud here yet. Start it: make up") from None
    return found


def _has_gpu(environment: Mapping[str, str]) -> bool:
    backend = environment.get("CLEARTAKE_GPU_BACKEND") or "sagemaker"
    if backend not in {"sagemaker", "none"}:
        raise LauncherError(f"CLEARTAKE_GPU_BACKEND must be sagemaker or none, not {backend!r}.")
    return backend != "none"


def _timer_scale(environment: Mapping[str, str]) -> float:
    text = environment.get("CLEARTAKE_TIMER_SCALE") or "1"
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= 1:
        raise LauncherError(f"CLEARTAKE_TIMER_SCALE must be a number above 0 and up to 1, not {text!r}.")
    return scale


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name)
    if not text:
        return default
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise LauncherError(f"{name} must be a port number from 1 to 65535, not {text!r}.")
    return int(text)
