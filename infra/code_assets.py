"""Puts together the code of the zip functions, outside the CDK and cached by the hash of what goes in.

AWS: our own modules with their dependencies, resolved for the Lambda platform without Docker.
One machine: our own modules and a ``bootstrap``; the dependencies are those of the interpreter that runs them.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from infra.config import CODE_ASSETS, LAMBDA_PYTHON_PLATFORM, LAMBDA_RUNTIME, REPOSITORY, Config

REQUIREMENTS = REPOSITORY / "requirements" / "lambda.txt"

_ORCHESTRATION = ("lambdas", "gpu_container/__init__.py", "gpu_container/contract")
"""What every zip function gets: neither numpy nor a codec among it."""

_CONTAINER = (
    "gpu_container/__init__.py",
    "gpu_container/contract",
    "gpu_container/engine",
    "gpu_container/serving",
    "gpu_container/model_files.py",
    "gpu_container/models.lock",
)
"""What stands in for the container image on one machine."""

_BOOTSTRAP = """\
#!/bin/sh
# AWS's own runtime client under the checkout's interpreter: handlers run as they do in Lambda, errors keep their type.
cd "$LAMBDA_TASK_ROOT" || exit 1
PYTHONPATH="$LAMBDA_TASK_ROOT" exec "$CLEARTAKE_LOCAL_PYTHON" -m awslambdaric "$_HANDLER"
"""

_IGNORED_SUFFIXES = (".pyc", ".md")
_KEPT = 4


def orchestration_code(config: Config) -> Path:
    """Return the folder with the code of every zip function."""
    if config.local:
        return _cached("local-orchestration", _ORCHESTRATION, _BOOTSTRAP, _add_bootstrap)
    if not config.bundle:
        return _cached("bare-orchestration", _ORCHESTRATION, "", lambda _: None)
    lock = REQUIREMENTS.read_text(encoding="utf-8")
    return _cached("orchestration", _ORCHESTRATION, lock + LAMBDA_RUNTIME + LAMBDA_PYTHON_PLATFORM, _add_dependencies)


def local_container_code() -> Path:
    """Return the folder that runs the container's Lambda handler without a container."""
    return _cached("local-container", _CONTAINER, _BOOTSTRAP, _add_bootstrap)


def _cached(name: str, parts: tuple[str, ...], recipe: str, finish: Callable[[Path], None]) -> Path:
    """Build the folder once for each content; a build that dies half way leaves nothing behind under its name."""
    target = CODE_ASSETS / f"{name}-{_digest(parts, recipe)}"
    if target.exists():
        return target
    CODE_ASSETS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CODE_ASSETS) as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        _copy(parts, folder)
        finish(folder)
        folder.chmod(0o755)
        try:
            folder.rename(target)
        except OSError:
            if not target.exists():  # else another synthesis built the same folder at the same time
                raise
    _prune(name)
    return target


def _prune(name: str) -> None:
    """Remove the oldest folders of this name; the few kept serve other branches, and syntheses that run right now."""
    folders = sorted(CODE_ASSETS.glob(f"{name}-*"), key=lambda folder: folder.stat().st_mtime)
    for folder in folders[:-_KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


def _digest(parts: tuple[str, ...], recipe: str) -> str:
    digest = hashlib.sha256(recipe.encode())
    for path in _files(parts):
        digest.update(path.relative_to(REPOSITORY).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _files(parts: tuple[str, ...]) -> Iterator[Path]:
    for part in parts:
        top = REPOSITORY / part
        found = sorted(top.rglob("*")) if top.is_dir() else [top] if top.exists() else []
        for path in found:
            if path.is_file() and path.suffix not in _IGNORED_SUFFIXES:
                yield path


def _copy(parts: tuple[str, ...], folder: Path) -> None:
    for path in _files(parts):
        target = folder / path.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _add_bootstrap(folder: Path) -> None:
    bootstrap = folder / "bootstrap"
    bootstrap.write_text(_BOOTSTRAP, encoding="utf-8")
    bootstrap.chmod(0o755)


def _add_dependencies(folder: Path) -> None:
    """Install the locked wheels for the Lambda platform; nothing is built, so nothing needs that platform here."""
    from uv import find_uv_bin  # noqa: PLC0415 - only a real bundle needs it

    command = [
        os.fsdecode(find_uv_bin()), "pip", "install", "--quiet", "--no-config",
        "--target", str(folder),
        "--python-version", LAMBDA_RUNTIME.removeprefix("python"),
        "--python-platform", LAMBDA_PYTHON_PLATFORM,
        "--only-binary", ":all:",
        "--require-hashes", "--requirement", str(REQUIREMENTS),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    shutil.rmtree(folder / "bin", ignore_errors=True)
