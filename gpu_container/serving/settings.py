"""Everything that can be set from outside, read from the environment in this one place."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

PREFIX = "CLEARTAKE_"


class ServingSettings(BaseModel):
    """Settings of the server and of the Lambda handlers; field ``x`` is read from ``CLEARTAKE_X``.

    The AWS endpoint, region and credentials are boto3's own business (``AWS_ENDPOINT_URL`` and its siblings).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    serve_host: str = "0.0.0.0"  # noqa: S104  # nosec B104
    serve_port: int = Field(8080, ge=1, le=65535)
    max_concurrent: int = Field(4, ge=1, le=64)
    """Orders worked on at once; the endpoint's MaxConcurrentInvocationsPerInstance must not be higher."""
    shutdown_s: int = Field(20, ge=1)
    """How long running orders get to stop after SIGTERM; SageMaker kills the container after 30 s."""

    preload_models: tuple[str, ...] = ("dfn3",)
    """Models loaded before /ping answers 200; others are loaded on their first order."""
    needs_gpu: bool = False
    """Refuse to work where no GPU computes: ONNX Runtime would fall back to the CPU without an error."""
    work_dir: Path = Path(tempfile.gettempdir())

    heartbeat_s: float = Field(30, gt=0)
    probe_limit_s: float = Field(840, gt=0)
    """For one upload, from its first byte to its last; below what ends the function, so that it can say so."""
    probe_memory_bytes: int = Field(3 * 2**29, gt=0)
    """Below the probe function's own 2 GiB, so that the file is refused and not the function killed."""

    access_function: str = ""
    """The function that lends the keys to each order; empty: the process's own credentials reach what orders name."""
    s3_addressing: Literal["auto", "path", "virtual"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "ServingSettings":
        """Read the settings; an unset or empty variable leaves its default."""
        source = os.environ if env is None else env
        values: dict[str, object] = {
            name: value for name in cls.model_fields if (value := source.get(PREFIX + name.upper(), ""))
        }
        if "preload_models" in values:
            values["preload_models"] = tuple(str(values["preload_models"]).replace(",", " ").split())
        return cls.model_validate(values)
