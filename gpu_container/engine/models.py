"""Finding a model's file and making sure that it is the one that is meant."""

import hashlib
import os
import tomllib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from gpu_container.contract import ErrorCode
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.ensemble import Enhancer, Ensemble
from gpu_container.engine.errors import EngineError

LOCK = Path(__file__).resolve().parent.parent / "models.lock"
DIRECTORY_VARIABLE = "CLEARTAKE_MODELS"


def models_directory() -> Path:
    """Return where model files are kept: outside the checkout, shared by all of them."""
    return Path(os.environ.get(DIRECTORY_VARIABLE) or Path.home() / ".cache" / "cleartake" / "models")


@lru_cache
def model_names() -> tuple[str, ...]:
    """Return the models that the lock knows."""
    return tuple(tomllib.loads(LOCK.read_text())["models"])


def load_model(
    name: str, *, directory: Path | None = None, providers: Sequence[str] | None = None, threads: int = 1
) -> Enhancer:
    """Load a model, or an ensemble's members, after checking each file's SHA-256 against the lock.

    Raises
    ------
    EngineError
        MODEL_UNAVAILABLE: no such model, its file is missing, or it is another file.
    """
    entry = tomllib.loads(LOCK.read_text())["models"].get(name)
    if entry is None:
        raise EngineError(
            ErrorCode.MODEL_UNAVAILABLE, f"There is no model {name!r}; known: {', '.join(model_names())}."
        )
    if "ensemble" in entry:
        members = [
            load_model(member, directory=directory, providers=providers, threads=threads)
            for member in entry["ensemble"]
        ]
        return Ensemble(members, name=name)
    path = (directory or models_directory()) / entry["file"]
    if not path.is_file():
        raise EngineError(ErrorCode.MODEL_UNAVAILABLE, f"The model {name} is not installed; run `make setup`.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
        raise EngineError(ErrorCode.MODEL_UNAVAILABLE, f"The file of model {name} is damaged; delete it: {path.name}.")
    return DeepFilterNet(path, name=name, providers=providers, threads=threads)
