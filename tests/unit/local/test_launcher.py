"""The launcher keeps what runs as wanted, replaces what does not, and refuses to mix two sets of ports."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.outputs import Output
from scripts.local import launcher, logs, observe, processes
from scripts.local.paths import Cloud, LauncherError, outputs_of

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    cloud = Cloud(home=tmp_path, port=1, emulator_port=2, sagemaker_port=3)  # nothing ever listens there
    yield cloud
    launcher.down(cloud)


def start(cloud: Cloud, name: str, port: int, command: list[str] = SLEEP) -> processes.Process:
    return processes.start(name, command, port=port, run=cloud.run, logs=cloud.logs)


def test_a_process_that_runs_as_wanted_is_kept(cloud: Cloud) -> None:
    edge = start(cloud, launcher.EDGE, cloud.port)
    assert launcher._keeps_running(cloud, launcher.EDGE, SLEEP)
    assert edge.alive


def test_a_process_that_runs_otherwise_is_stopped(cloud: Cloud) -> None:
    edge = start(cloud, launcher.EDGE, cloud.port)
    assert not launcher._keeps_running(cloud, launcher.EDGE, [*SLEEP, "--api-id", "new"])
    assert not edge.alive


def test_other_ports_in_the_same_home_are_refused(cloud: Cloud) -> None:
    start(cloud, launcher.EMULATOR, cloud.emulator_port)
    launcher._require_same_ports(cloud)
    with pytest.raises(LauncherError, match="CLEARTAKE_HOME"):
        launcher._require_same_ports(replace(cloud, emulator_port=4))


def test_down_stops_everything_in_order_and_tells_what_ran(cloud: Cloud) -> None:
    for name in (launcher.EMULATOR, launcher.EDGE):
        start(cloud, name, 1)
    assert launcher.down(cloud) == [launcher.EDGE, launcher.EMULATOR]
    assert launcher.down(cloud) == []


def test_a_process_that_dies_at_its_start_is_reported_with_its_last_words(cloud: Cloud) -> None:
    start(cloud, launcher.EDGE, cloud.port, [sys.executable, "-c", "raise SystemExit('no such api')"])
    with pytest.raises(LauncherError, match=r"(?s)edge ended at its start.*no such api.*edge\.log"):
        launcher._wait_until_healthy(cloud, launcher.EDGE, cloud.base_url, 10)


def test_a_process_that_never_answers_is_reported(cloud: Cloud) -> None:
    start(cloud, launcher.EDGE, cloud.port)
    with pytest.raises(LauncherError, match="did not answer"):
        launcher._wait_until_healthy(cloud, launcher.EDGE, cloud.base_url, 0.2)


def test_data_of_a_running_cloud_is_not_deleted(cloud: Cloud) -> None:
    (cloud.state / "s3").mkdir(parents=True)
    start(cloud, launcher.EDGE, cloud.port)
    with pytest.raises(LauncherError, match="make down"):
        launcher.delete_data(cloud)
    launcher.down(cloud)
    launcher.delete_data(cloud)
    assert not cloud.state.exists()


def test_the_outputs_of_a_cloud_that_never_ran(cloud: Cloud) -> None:
    with pytest.raises(LauncherError, match="make up"):
        outputs_of(cloud)
    cloud.outputs_file.write_text('{"TableName": "jobs"}')
    assert outputs_of(cloud)[Output.TABLE_NAME] == "jobs"


def test_status_of_a_cloud_half_up(cloud: Cloud) -> None:
    edge = start(cloud, launcher.EDGE, cloud.port)
    seen = observe.look(cloud)
    assert not seen.up
    assert seen.work is None
    assert {part.name: part.pid for part in seen.parts} == {"emulator": None, "sagemaker": None, "edge": edge.pid}


def test_without_a_gpu_its_endpoint_is_neither_wanted_nor_missed(cloud: Cloud) -> None:
    assert launcher.parts(replace(cloud, has_gpu=False)) == (launcher.EDGE, launcher.EMULATOR)
    cloud.outputs_file.parent.mkdir(parents=True, exist_ok=True)
    cloud.outputs_file.write_text(json.dumps({Output.TABLE_NAME: "jobs"}))
    assert [part.name for part in observe.look(cloud).parts] == ["emulator", "edge"]


def test_logs_come_with_their_names_and_only_once(cloud: Cloud) -> None:
    log = processes.log_file(cloud.logs, "edge")
    log.write_text("one\ntwo\nhal")
    reader = logs.Reader(cloud)
    assert reader.process_lines() == [("edge", "one"), ("edge", "two")]
    with log.open("a") as file:
        file.write("f\n")
    assert reader.process_lines() == [("edge", "half")]
    log.write_text("new\n")  # started anew
    assert reader.process_lines() == [("edge", "new")]
    assert reader.function_lines() == []
