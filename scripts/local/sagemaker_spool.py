"""Invocations on disk, one file each, so that a restart of the simulator loses none."""

import logging
import os
from pathlib import Path

from pydantic import ValidationError

from scripts.local.sagemaker_protocol import Invocation

_LOG = logging.getLogger("sagemaker_sim")


class Spool:
    """The queue's files; a file exists from the moment a client hears 202 until the end was published."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, invocation: Invocation) -> None:
        """Write an invocation whole or not at all."""
        target = self._path(invocation)
        draft = target.with_suffix(".tmp")
        with draft.open("w", encoding="utf-8") as stream:
            stream.write(invocation.model_dump_json())
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(target)

    def remove(self, invocation: Invocation) -> None:
        """Forget an invocation whose end has been published."""
        self._path(invocation).unlink(missing_ok=True)

    def pending(self) -> list[Invocation]:
        """Read what is left from before, in order of arrival."""
        found = [self._read(path) for path in sorted(self._folder.glob("*.json"))]
        return [invocation for invocation in found if invocation]

    def _path(self, invocation: Invocation) -> Path:
        return self._folder / f"{invocation.id}.json"

    def _read(self, path: Path) -> Invocation | None:
        try:
            return Invocation.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError:
            # Of another version: kept for a person to look at, out of the way of the rest.
            _LOG.warning("%s is not an invocation, ignored", path.name)
            return None
