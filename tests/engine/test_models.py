"""The lock of models: only the locked bytes are ever loaded or kept."""

import subprocess
import sys
from pathlib import Path

import pytest

from gpu_container.contract import ErrorCode
from gpu_container.engine.errors import EngineError
from gpu_container.engine.models import load_file, load_model, model_names
from gpu_container.model_files import DIRECTORY_VARIABLE, default_directory, entries, is_intact


def test_the_lock_knows_the_default_and_the_low_latency_model() -> None:
    assert {"dfn3", "dfn3-ll"} <= set(model_names())


def test_networks_that_only_measure_are_not_offered(tmp_path: Path) -> None:
    assert {"silero-vad", "dnsmos"} <= set(entries())
    assert not {"silero-vad", "dnsmos"} & set(model_names())
    with pytest.raises(EngineError, match="no model 'dnsmos'"):
        load_model("dnsmos", directory=tmp_path)


@pytest.mark.parametrize("name", ["silero-vad", "dnsmos"])
def test_their_files_are_the_locked_ones(name: str) -> None:
    assert is_intact(load_file(name), entries()[name]["sha256"])


def test_every_entry_names_its_licence_and_kind() -> None:
    for entry in entries().values():
        assert entry["licence"]
        assert entry["kind"] in {"enhancement", "measurement"}
        assert ("ensemble" in entry) != ("file" in entry)


def test_the_directory_may_be_named_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))

    assert default_directory() == tmp_path
    with pytest.raises(EngineError, match="dnsmos is not installed"):
        load_file("dnsmos")


def test_the_script_that_fetches_runs_without_any_package() -> None:
    repository = Path(__file__).resolve().parents[2]
    code = "import sys; sys.path.insert(0, '.'); import scripts.models as m; m.default_directory()"

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=repository, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no model 'dfn9'") as caught:
        load_model("dfn9", directory=tmp_path)

    assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="make setup") as caught:
        load_model("dfn3", directory=tmp_path)

    assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE


def test_other_bytes_under_the_right_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "DeepFilterNet3_onnx.tar.gz").write_bytes(b"something else")

    with pytest.raises(EngineError) as caught:
        load_model("dfn3", directory=tmp_path)

    assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE
