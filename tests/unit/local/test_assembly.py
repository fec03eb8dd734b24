"""Templates are synthesised once a state of the sources, and filled in for one cloud."""

import io
import json
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from infra.config import PLACEHOLDERS
from scripts.local import assembly
from scripts.local.paths import Cloud, LauncherError

INTRINSICS = {"${AWS::AccountId}": "000000000000", "${AWS::Region}": "us-east-1"}


def test_every_placeholder_of_the_templates_is_known() -> None:
    assert set(assembly.placeholders(Cloud(Path("/home")))) == set(PLACEHOLDERS)


def test_placeholders_are_filled_for_this_cloud() -> None:
    values = assembly.placeholders(Cloud(Path("/home"), port=8081, emulator_port=4711, sagemaker_port=4712))
    text = assembly.filled("@@BASE_URL@@ @@S3_URL@@ @@SAGEMAKER_URL@@ @@PYTHON@@", values)
    assert text == f"http://127.0.0.1:8081 http://127.0.0.1:4711 http://127.0.0.1:4712 {sys.executable}"


def test_a_placeholder_nobody_fills_is_refused() -> None:
    with pytest.raises(LauncherError, match="@@NEW@@"):
        assembly.filled("x @@NEW@@", {"@@OLD@@": "y"})


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for name in ("infra/app.py", "lambdas/core/workflow.py", "gpu_container/models.lock", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["infra/app.py", "lambdas/core/workflow.py", "gpu_container/models.lock", "pyproject.toml"]
)
def test_the_key_changes_with_every_source(sources: Path, name: str) -> None:
    before = assembly.cache_key(sources)
    (sources / name).write_text("changed")
    assert assembly.cache_key(sources) != before


def test_the_key_changes_with_a_new_or_renamed_file(sources: Path) -> None:
    before = assembly.cache_key(sources)
    (sources / "infra/app.py").rename(sources / "infra/main.py")
    assert assembly.cache_key(sources) != before


def test_the_key_ignores_what_python_leaves_behind(sources: Path) -> None:
    before = assembly.cache_key(sources)
    (sources / "infra/__pycache__").mkdir()
    (sources / "infra/__pycache__/app.cpython-311.pyc").write_bytes(b"x")
    (sources / "infra/README.md").write_text("words")
    assert assembly.cache_key(sources) == before


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "ASSEMBLIES", tmp_path / "assemblies")


class Synthesis:
    """Stands for the subprocess; writes a manifest, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails, self.runs = fails, 0

    def __call__(self, command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        self.runs += 1
        if self.fails:
            return subprocess.CompletedProcess(command, 1, "", "SyntaxError: no")
        Path(command[-1]).mkdir(exist_ok=True)
        (Path(command[-1]) / "manifest.json").write_text("{}")
        return subprocess.CompletedProcess(command, 0, "", "")


def test_a_warm_start_synthesises_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthesis = Synthesis()
    monkeypatch.setattr(assembly.subprocess, "run", synthesis)
    monkeypatch.setattr(assembly, "cache_key", lambda: "k1")
    first, second = assembly.synthesised(), assembly.synthesised()
    assert first == second == tmp_path / "assemblies" / "k1"
    assert synthesis.runs == 1


def test_only_a_few_old_assemblies_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly.subprocess, "run", Synthesis())
    for number in range(6):
        monkeypatch.setattr(assembly, "cache_key", lambda number=number: f"k{number}")
        newest = assembly.synthesised()
    assert newest.exists()
    assert len(list((tmp_path / "assemblies").iterdir())) == assembly.KEPT_ASSEMBLIES


def test_a_failed_synthesis_says_why_and_leaves_no_assembly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly.subprocess, "run", Synthesis(fails=True))
    monkeypatch.setattr(assembly, "cache_key", lambda: "k1")
    with pytest.raises(LauncherError, match="SyntaxError: no"):
        assembly.synthesised()
    assert not (tmp_path / "assemblies" / "k1").exists()


def test_stacks_come_in_the_order_of_their_dependencies_with_their_assets(tmp_path: Path) -> None:
    code = tmp_path / "asset.c0de"
    code.mkdir()
    (code / "bootstrap").write_text("#!/bin/sh")
    (code / "bootstrap").chmod(0o755)
    artifacts: dict[str, Any] = {"Tree": {"type": "cdk:tree"}}
    for name, needs in (("api", ["data"]), ("data", [])):
        (tmp_path / f"{name}.template.json").write_text(json.dumps({"Resources": {}, "Url": "@@BASE_URL@@"}))
        files = {
            "c0de": {"packaging": "zip", "path": "asset.c0de", "key": "c0de.zip"},
            "beef": {"packaging": "file", "path": f"{name}.template.json", "key": "beef.json"},
        }
        listing = {
            digest: {
                "source": {"packaging": file["packaging"], "path": file["path"]},
                "destinations": {"here": {"bucketName": "assets-${AWS::AccountId}", "objectKey": file["key"]}},
            }
            for digest, file in files.items()
        }
        (tmp_path / f"{name}.assets.json").write_text(json.dumps({"files": listing}))
        properties = {"templateFile": f"{name}.template.json"}
        artifacts[name] = {"type": "aws:cloudformation:stack", "dependencies": needs, "properties": properties}
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))

    data, api = assembly.stacks(tmp_path, {"@@BASE_URL@@": "http://here"}, INTRINSICS)

    assert (data.name, api.name) == ("data", "api")
    packed, template = api.assets
    assert (packed.bucket, packed.key) == ("assets-000000000000", "c0de.zip")
    assert template.body == api.template.encode()
    assert b"http://here" in template.body
    entry = zipfile.ZipFile(io.BytesIO(packed.body)).getinfo("bootstrap")
    assert entry.external_attr >> 16 & stat.S_IXUSR
