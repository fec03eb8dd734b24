"""Notes of uploads in parts that are under way, so that a later process can go on with them.

A note holds no link and no credentials: what is still missing, and where to put it, the service is asked.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from cleartake_client.files import LocalFile


@dataclass(frozen=True)
class UploadNote:
    """Which asset a file is on its way to."""

    base_url: str
    caller_sha256: str
    asset_id: str
    path: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class UploadNotes:
    """The notes of one caller of one service, a file each."""

    folder: Path
    base_url: str
    caller_sha256: str

    def find(self, file: LocalFile) -> str | None:
        """Return the asset that this very file is on its way to; None for no note, or one of an earlier content."""
        try:
            note = UploadNote(**json.loads(self._path(file).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return note.asset_id if note == self._note(file, note.asset_id) else None

    def keep(self, file: LocalFile, asset_id: str) -> None:
        """Note where a file is on its way to."""
        path = self._path(file)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = path.with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps(asdict(self._note(file, asset_id)), indent=2))
        scratch.replace(path)

    def drop(self, file: LocalFile) -> None:
        """Forget a file: it has arrived, or never will."""
        self._path(file).unlink(missing_ok=True)

    def _note(self, file: LocalFile, asset_id: str) -> UploadNote:
        return UploadNote(self.base_url, self.caller_sha256, asset_id, str(file.path), file.size_bytes, file.mtime_ns)

    def _path(self, file: LocalFile) -> Path:
        name = hashlib.sha256("\n".join((self.base_url, self.caller_sha256, str(file.path))).encode()).hexdigest()
        return self.folder / f"{name[:32]}.json"


def state_folder() -> Path:
    """Return where this user's programs keep their state (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "cleartake" / "uploads"
