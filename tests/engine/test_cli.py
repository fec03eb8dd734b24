"""``cleartake engine``: many files, one report, an exit status."""

import argparse
import json
from pathlib import Path

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
