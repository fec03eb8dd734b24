"""What is read from the environment, and what a log line looks like."""

import json
import logging
from pathlib import Path

import pytest
from pydantic import ValidationError

from gpu_container.serving.logs import JsonFormatter, about
from gpu_container.serving.settings import ServingSettings


def test_defaults_are_sagemakers() -> None:
    settings = ServingSettings.from_env({})

    assert (settings.serve_host, settings.serve_port, settings.heartbeat_s) == ("0.0.0.0", 8080, 30)  # noqa: S104


def test_every_field_has_its_variable() -> None:
    settings = ServingSettings.from_env(
        {
            "CLEARTAKE_SERVE_PORT": "9000",
            "CLEARTAKE_PRELOAD_MODELS": "dfn3, dfn3-ll",
            "CLEARTAKE_WORK_DIR": "/scratch",
            "CLEARTAKE_S3_ADDRESSING": "path",
            "CLEARTAKE_MAX_CONCURRENT": "",
            "CLEARTAKE_PORT": "somebody else's",
        }
    )

    assert settings == ServingSettings(
        serve_port=9000, preload_models=("dfn3", "dfn3-ll"), work_dir=Path("/scratch"), s3_addressing="path"
    )


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValidationError):
        ServingSettings.from_env({"CLEARTAKE_MAX_CONCURRENT": "many"})


def test_log_line_is_json_with_job_and_extras() -> None:
    record = logging.makeLogRecord({"name": "n", "levelname": "INFO", "msg": "done %s", "args": ("now",), "seconds": 2})
    with about(job_id="job", attempt=3):
        line = json.loads(JsonFormatter().format(record))

    assert line.pop("time")
    assert line == {
        "level": "INFO", "logger": "n", "message": "done now", "job_id": "job", "attempt": 3, "seconds": 2,
    }  # fmt: skip
    assert "job_id" not in json.loads(JsonFormatter().format(record))
