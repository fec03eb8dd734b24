"""The synthesised local stacks: made once for each state of the sources, then filled in for one cloud."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from infra.config import (
    BASE_URL_PLACEHOLDER,
    PYTHON_PLACEHOLDER,
    S3_URL_PLACEHOLDER,
    SAGEMAKER_URL_PLACEHOLDER,
)
from scripts.local.emulator import clean_environment
from scripts.local.paths import REPO, Cloud, LauncherError

SOURCES = ("cdk.json", "pyproject.toml", "infra", "lambdas", "gpu_container")
"""Everything that a template or an asset is made of."""

SKIPPED_SUFFIXES = frozenset({".pyc", ".onnx", ".md"})
ASSEMBLIES = REPO / "build" / "local-assemblies"
"""Shared by all local clouds of this checkout: nothing in an assembly depends on home or ports."""

KEPT_ASSEMBLIES = 4
SCRATCH_PREFIX = ".partial-"
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def placeholders(cloud: Cloud) -> dict[str, str]:
    """Return what the templates leave open → its value on this machine."""
    return {
        BASE_URL_PLACEHOLDER: cloud.base_url,
        S3_URL_PLACEHOLDER: cloud.emulator_url,
        SAGEMAKER_URL_PLACEHOLDER: cloud.sagemaker_url,
        PYTHON_PLACEHOLDER: sys.executable,
    }


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return ``text`` with every placeholder replaced; raises if one is left over."""
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    start = text.find("@@")
    if start >= 0:
        raise LauncherError(f"The template holds a placeholder nobody fills: {text[start : start + 40]!r}")
    return text


def cache_key(root: Path = REPO, sources: Iterable[str] = SOURCES) -> str:
    """Return a digest of every source file's path and bytes."""
    digest = hashlib.sha256()
    for path in _files(root, sources):
        digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _files(root: Path, sources: Iterable[str]) -> list[Path]:
    found: list[Path] = []
    for source in sources:
        path = root / source
        candidates = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [
            file
            for file in candidates
            if file.is_file() and file.suffix not in SKIPPED_SUFFIXES and "__pycache__" not in file.parts
        ]
    return found


def synthesised(context: Mapping[str, str] | None = None) -> Path:
    """Return the assembly for the sources as they are now; synthesises only if there is none yet."""
    pairs = [f"{key}={value}" for key, value in sorted((context or {}).items())]
    target = ASSEMBLIES / "-".join((cache_key(), *(quote(pair, safe="=") for pair in pairs)))
    if not target.exists():
        ASSEMBLIES.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=ASSEMBLIES, prefix=SCRATCH_PREFIX) as scratch:
            made = Path(scratch) / target.name
            _synthesise(made, pairs)
            with contextlib.suppress(OSError):  # another launcher was quicker, with the same result
                made.rename(target)
        _forget_old()
    os.utime(target)
    return target


def _synthesise(target: Path, context: Iterable[str]) -> None:
    target.mkdir(parents=True)
    command = [sys.executable, "-m", "infra.app", "--local", "--out", str(target)]
    for pair in context:
        command += ["--context", pair]
    done = subprocess.run(command, cwd=REPO, env=clean_environment(), capture_output=True, text=True, check=False)
    if done.returncode or not (target / "manifest.json").exists():
        raise LauncherError(f"The stacks could not be synthesised:\n{(done.stdout + done.stderr)[-4000:]}")


def _forget_old() -> None:
    finished = [path for path in ASSEMBLIES.iterdir() if not path.name.startswith(SCRATCH_PREFIX)]
    for path in sorted(finished, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT_ASSEMBLIES:]:
        shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class Asset:
    """A file for S3; its key names its content."""

    bucket: str
    key: str
    body: bytes


@dataclass(frozen=True)
class Stack:
    """A stack ready to deploy; its last asset is the filled-in template, which is too long to send in a request."""

    name: str
    template: str
    assets: tuple[Asset, ...]

    @property
    def resources(self) -> dict[str, Any]:
        """Logical id → resource."""
        found: dict[str, Any] = json.loads(self.template)["Resources"]
        return found


def stacks(assembly: Path, values: Mapping[str, str], intrinsics: Mapping[str, str]) -> list[Stack]:
    """Return the stacks of an assembly in the order of their dependencies.

    Parameters
    ----------
    values
        Placeholder → value.
    intrinsics
        What ``${AWS::AccountId}`` and its like stand for in bucket names.
    """
    artifacts = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    names = [name for name, artifact in artifacts.items() if artifact["type"] == "aws:cloudformation:stack"]
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in ordered or name not in artifacts:
            return
        for dependency in artifacts[name].get("dependencies", ()):
            visit(dependency)
        if name in names and name not in ordered:
            ordered.append(name)

    for name in names:
        visit(name)
    return [_stack(assembly, name, artifacts[name]["properties"], values, intrinsics) for name in ordered]


def _stack(
    assembly: Path, name: str, properties: dict[str, Any], values: Mapping[str, str], intrinsics: Mapping[str, str]
) -> Stack:
    file_name = properties["templateFile"]
    template = filled((assembly / file_name).read_text(), values)
    files = json.loads((assembly / file_name.replace(".template.json", ".assets.json")).read_text())["files"]
    assets = [_asset(assembly, file, intrinsics) for file in files.values() if file["source"]["path"] != file_name]
    own = next(file for file in files.values() if file["source"]["path"] == file_name)
    bucket = filled(next(iter(own["destinations"].values()))["bucketName"], intrinsics)
    body = template.encode()
    assets.append(Asset(bucket, f"{hashlib.sha256(body).hexdigest()}.json", body))
    return Stack(properties.get("stackName", name), template, tuple(assets))


def _asset(assembly: Path, file: dict[str, Any], intrinsics: Mapping[str, str]) -> Asset:
    source = assembly / file["source"]["path"]
    destination = next(iter(file["destinations"].values()))
    body = _zip(source) if file["source"]["packaging"] == "zip" else source.read_bytes()
    return Asset(filled(destination["bucketName"], intrinsics), destination["objectKey"], body)


def _zip(folder: Path) -> bytes:
    """Return ``folder`` zipped reproducibly, executable files kept executable."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(str(path.relative_to(folder)), ZIP_EPOCH)
            entry.external_attr = (path.stat().st_mode & 0xFFFF) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()
