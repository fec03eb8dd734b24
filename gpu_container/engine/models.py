"""Finding a model's file and making sure that it is the one that is meant."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from gpu_container.contract import ErrorCode
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.enhancer import Enhancer
from gpu_container.engine.errors import EngineError
from gpu_container.engine.fusion import high_quality
from gpu_container.model_files import default_directory, entries, is_intact


@lru_cache
def model_names() -> tuple[str, ...]:
    """Return the models that enhance; the lock's others only measure."""
    return tuple(name for name, entry in entries().items() if entry["kind"] == "enhancement")


def load_model(
    name: str, *, directory: Path | None = None, providers: Sequence[str] | None = None, threads: int = 1
) -> Enhancer:
    """Load a model, or an ensemble's members, after checking each file's SHA-256 against the lock.

    Raises
    ------
    EngineError
        MODEL_UNAVAILABLE: no such model, its file is missing, or it is another file.
    """
    if name not in model_names():
        raise EngineError(
            ErrorCode.MODEL_UNAVAILABLE, f"There is no model {name!r}; known: {', '.join(model_names())}."
        )
    members = entries()[name].get("ensemble", ())
    if members:
        loaded = [load_model(member, directory=directory, providers=providers, threads=threads) for member in members]
        return high_quality(*loaded, name=name)
    return DeepFilterNet(load_file(name, directory=directory), name=name, providers=providers, threads=threads)


def model_version(name: str) -> str:
    """Return what tells a model's weights from any others: a short digest of its files' SHA-256."""
    known = entries()
    files = [known[member]["sha256"] for member in known[name].get("ensemble", (name,))]
    return hashlib.sha256("".join(files).encode()).hexdigest()[:16]


def load_file(name: str, *, directory: Path | None = None) -> Path:
    """Return the path of a model's file, of whatever kind, after checking its SHA-256 against the lock.

    Raises
    ------
    EngineError
        MODEL_UNAVAILABLE: the file is missing, or it is another file.
    KeyError
        If the lock names no such file.
    """
    entry = entries()[name]
    path = (directory or default_directory()) / str(entry["file"])
    if not path.is_file():
        raise EngineError(ErrorCode.MODEL_UNAVAILABLE, f"The model {name} is not installed; run `make setup`.")
    if not is_intact(path, entry["sha256"]):
        raise EngineError(ErrorCode.MODEL_UNAVAILABLE, f"The file of model {name} is damaged; delete it: {path.name}.")
    return path
