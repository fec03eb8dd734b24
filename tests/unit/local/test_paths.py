"""The environment chooses home and ports."""

from pathlib import Path

import pytest

from infra.config import Config
from scripts.local.paths import REPO, Cloud, LauncherError, lane_concurrency


def test_defaults() -> None:
    cloud = Cloud.from_environment({})
    assert cloud == Cloud(home=REPO / ".cleartake", port=8080, emulator_port=4566, sagemaker_port=4567)
    assert cloud.base_url == "http://127.0.0.1:8080"


def test_two_clouds_share_nothing(tmp_path: Path) -> None:
    first = Cloud.from_environment({})
    second = Cloud.from_environment(
        {"CLEARTAKE_HOME": str(tmp_path), "CLEARTAKE_PORT": "8081", "CLEARTAKE_EMULATOR_PORT": "4666"}
    )
    ports = {first.port, first.emulator_port, first.sagemaker_port, second.port, second.emulator_port}
    assert len(ports | {second.sagemaker_port}) == 6
    assert second.state == tmp_path / "state"


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_wrong_port_is_named(port: str) -> None:
    with pytest.raises(LauncherError, match="CLEARTAKE_PORT"):
        Cloud.from_environment({"CLEARTAKE_PORT": port})


def test_a_gpu_is_there_unless_somebody_wants_none() -> None:
    assert Cloud.from_environment({}).has_gpu
    assert not Cloud.from_environment({"CLEARTAKE_GPU_BACKEND": "none"}).has_gpu
    with pytest.raises(LauncherError, match="sagemaker or none, not 'cuda'"):
        Cloud.from_environment({"CLEARTAKE_GPU_BACKEND": "cuda"})


def test_the_slots_of_this_machine_are_twice_what_its_lane_works_on() -> None:
    config = Config.from_context(Cloud.from_environment({}).context)
    assert config.active_total == 2 * lane_concurrency()


def test_a_drill_shortens_the_timers_and_nothing_else() -> None:
    assert "timerScale" not in Cloud.from_environment({}).context
    drill = Cloud.from_environment({"CLEARTAKE_TIMER_SCALE": "0.25", "CLEARTAKE_GPU_BACKEND": "none"})
    assert drill.context == {"gpuBackend": "none", "timerScale": "0.25"}


@pytest.mark.parametrize("scale", ["0", "2", "-1", "soon", "nan"])
def test_timers_are_never_lengthened(scale: str) -> None:
    with pytest.raises(LauncherError, match="CLEARTAKE_TIMER_SCALE"):
        Cloud.from_environment({"CLEARTAKE_TIMER_SCALE": scale})


def test_pages_that_may_call_are_named_in_the_environment() -> None:
    assert "corsOrigins" not in Cloud.from_environment({}).context
    named = Cloud.from_environment({"CLEARTAKE_CORS_ORIGINS": "http://localhost:3000,https://app.example.com"})
    config = Config.from_context({"local": "1", **named.context})
    assert config.cors_origins == ("http://localhost:3000", "https://app.example.com")
