"""The zip that ships: small, complete, without an audio library, for the platform it runs on."""

from pathlib import Path

import pytest

from infra.code_assets import local_container_code, orchestration_code
from infra.config import Config

_LIMIT_BYTES = 80 * 1000**2


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_zip_is_small_and_knows_no_audio() -> None:
    folder = orchestration_code(Config())
    assert _size_bytes(folder) < _LIMIT_BYTES
    there = {path.name for path in folder.iterdir()}
    assert {"lambdas", "gpu_container", "aws_lambda_powertools", "pydantic", "jwt", "boto3"} <= there
    assert not there & {"numpy", "scipy", "av", "soundfile", "onnxruntime", "aws_cdk"}
    assert {path.name for path in (folder / "gpu_container").iterdir()} == {"__init__.py", "contract"}


@pytest.mark.slow
def test_zip_holds_wheels_of_the_lambda_platform() -> None:
    libraries = [path.name for path in orchestration_code(Config()).rglob("*.so")]
    assert any("cpython-313-aarch64-linux-gnu" in name for name in libraries)
    assert not any("x86_64" in name for name in libraries)


def test_bundle_is_built_once_for_the_same_content() -> None:
    assert orchestration_code(Config(local=True)) == orchestration_code(Config(local=True))


def test_local_code_holds_ours_alone() -> None:
    assert {path.name for path in orchestration_code(Config(local=True)).iterdir()} == {
        "bootstrap",
        "gpu_container",
        "lambdas",
    }
    assert {path.name for path in local_container_code().iterdir()} == {"bootstrap", "gpu_container"}
