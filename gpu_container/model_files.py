"""The lock of model files: where they are kept, and whether a file is the one that is meant.

Standard library only: the image build runs it before anything is installed.
"""

import hashlib
import os
import tomllib
from pathlib import Path
from typing import Any, Final

LOCK: Final = Path(__file__).resolve().parent / "models.lock"
DIRECTORY_VARIABLE: Final = "CLEARTAKE_MODELS"


def default_directory() -> Path:
    """Return where model files are kept: outside the checkout, shared by all of them."""
    return Path(os.environ.get(DIRECTORY_VARIABLE) or Path.home() / ".cache" / "cleartake" / "models")


def entries() -> dict[str, dict[str, Any]]:
    """Return what the lock says of each model, by name."""
    models: dict[str, dict[str, Any]] = tomllib.loads(LOCK.read_text(encoding="utf-8"))["models"]
    return models


def is_intact(path: Path, sha256: str) -> bool:
    """Return whether the file has exactly the bytes that were locked."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
