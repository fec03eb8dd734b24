"""``cleartake engine``: many files, one report, an exit status."""

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gpu_container.engine.stft import Real
from scripts.cli import engine
from tests.engine.files import write_lossy, write_pcm


def _run(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    engine.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["engine", *map(str, words)])
    return int(arguments.run(arguments))


def test_files_of_several_kinds_are_enhanced(tmp_path: Path, voice: Real) -> None:
    wav = write_pcm(tmp_path / "a.wav", voice, 48_000, container="WAV", subtype="PCM_16")
    mp3 = write_lossy(tmp_path / "b.mp3", voice, 48_000, kind="mp3")

    status = _run(wav, mp3, "--out", tmp_path / "out", "--strength", "90", "--report", tmp_path / "report.json")

    assert status == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.wav", "b.mp3"}
    reports = json.loads((tmp_path / "report.json").read_text())
    assert [report["output"]["container"] for report in reports] == ["wav", "mp3"]


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path, voice: Real, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"nothing")
    good = write_pcm(tmp_path / "good.wav", voice, 48_000, container="WAV", subtype="PCM_16")

    status = _run(bad, tmp_path / "missing.wav", good, "--out", tmp_path / "out", "--report", tmp_path / "report.json")

    assert status == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.wav"]
    assert "bad.wav" in capsys.readouterr().err
    reports = json.loads((tmp_path / "report.json").read_text())
    assert [report.get("error", {}).get("code") for report in reports] == ["input_corrupt", "storage_failed", None]


def test_an_unknown_model_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(tmp_path / "a.wav", "--out", tmp_path / "out", "--model", "dfn9") == 1
    assert "dfn9" in capsys.readouterr().err


@pytest.mark.parametrize("strength", ["-1", "101", "loud", "nan"])
def test_strength_is_0_to_100(tmp_path: Path, strength: str) -> None:
    with pytest.raises(SystemExit):
        _run(tmp_path / "a.wav", "--out", tmp_path / "out", "--strength", strength)


def test_a_result_never_replaces_an_input(tmp_path: Path, voice: Real, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_pcm(tmp_path / "a.wav", voice, 48_000, container="WAV", subtype="PCM_16")
    before = source.read_bytes()

    assert _run(source, "--out", tmp_path) == 1
    assert source.read_bytes() == before
    assert "a.wav" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_file_gets_a_result_of_its_own(tmp_path: Path, voice: Real, jobs: int) -> None:
    sources = [tmp_path / "x" / "a.wav", tmp_path / "y" / "a.wav", tmp_path / "1-a.wav"]
    for source in sources:
        source.parent.mkdir(exist_ok=True)
        write_pcm(source, voice[:, :24_000], 48_000, container="WAV", subtype="PCM_16")
    given = [*sources, sources[0]]

    assert _run(*given, "--out", tmp_path / "out", "--jobs", jobs, "--report", tmp_path / "report.json") == 0

    results = [report["result"] for report in json.loads((tmp_path / "report.json").read_text())]
    assert len(set(results)) == len(given)
    assert {str(path) for path in (tmp_path / "out").iterdir()} == set(results)


def test_a_report_that_cannot_be_written_is_known_before_the_work(tmp_path: Path, voice: Real) -> None:
    source = write_pcm(tmp_path / "a.wav", voice, 48_000, container="WAV", subtype="PCM_16")

    with pytest.raises(OSError, match="report"):
        _run(source, "--out", tmp_path / "out", "--report", tmp_path / "missing" / "report.json")

    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_ctrl_c_ends_what_is_under_way_and_leaves_nothing(tmp_path: Path, voice: Real) -> None:
    long = np.tile(voice, (2, 150))
    source = write_pcm(tmp_path / "a.wav", long, 48_000, container="WAV", subtype="PCM_16")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "scripts.cli.main", "engine", str(source), "--out", str(out), "--jobs", "2"]

    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline_s = time.monotonic() + 60
        while not (out.is_dir() and list(out.iterdir())):
            assert time.monotonic() < deadline_s, "it never began"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130

    assert not list(out.iterdir())
