"""Notes of uploads in parts that are under way, so that a later process can go on with them.

A note holds no link and no credentials: what is still missing, and where to put it, the service is asked. Where no
notes can be kept, in a container with a read-only disk say, an interrupted upload begins anew.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from cleartake_client.files import LocalFile


@dataclass(frozen=True)
class UploadNote:
    """Which asset a file is on its way to, and what was asked for with it."""

    base_url: str
    caller_sha256: str
    asset_id: str
    path: str
    size_bytes: int
    mtime_ns: int
    content_type: str
    retain_hours: int | None


@dataclass(frozen=True)
class UploadNotes:
    """The notes of one caller of one service, a file each.

    Attributes
    ----------
    folder
        None where this user has none.
    """

    folder: Path | None
    base_url: str
    caller_sha256: str

    def find(self, file: LocalFile, retain_hours: int | None) -> str | None:
        """Return the asset that this very file is on its way to, to be kept for as long; None where there is none."""
        if self.folder is None:
            return None
        try:
            note = UploadNote(**json.loads(self._path(self.folder, file).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return note.asset_id if note == self._note(file, note.asset_id, retain_hours) else None

    def keep(self, file: LocalFile, asset_id: str, retain_hours: int | None) -> None:
        """Note where a file is on its way to, if that is possible."""
        if self.folder is None:
            return
        path, note = self._path(self.folder, file), self._note(file, asset_id, retain_hours)
        scratch = path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            scratch.write_text(json.dumps(asdict(note), indent=2))
            scratch.replace(path)

    def drop(self, file: LocalFile) -> None:
        """Forget a file: it has arrived, or never will."""
        if self.folder is not None:
            with suppress(OSError):
                self._path(self.folder, file).unlink(missing_ok=True)

    def _note(self, file: LocalFile, asset_id: str, retain_hours: int | None) -> UploadNote:
        return UploadNote(
            self.base_url,
            self.caller_sha256,
            asset_id,
            str(file.path),
            file.size_bytes,
            file.mtime_ns,
            file.content_type,
            retain_hours,
        )

    def _path(self, folder: Path, file: LocalFile) -> Path:
        name = hashlib.sha256("\n".join((self.base_url, self.caller_sha256, str(file.path))).encode()).hexdigest()
        return folder / f"{name[:32]}.json"


def state_folder() -> Path | None:
    """Return where this user's programs keep their state (XDG Base Directory Specification); None without a home."""
    if home := os.environ.get("XDG_STATE_HOME"):
        return Path(home) / "cleartake" / "uploads"
    try:
        return Path.home() / ".local" / "state" / "cleartake" / "uploads"
    except RuntimeError:  # a user that the system does not know, as in some containers
        return None
