"""Storage: bytes go and come by short-lived links that carry their own signature, never our credentials."""

import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from email.message import Message
from pathlib import Path

import httpx

from cleartake_client.calls import words
from cleartake_client.errors import StorageError, UnreachableError

BLOCK_BYTES = 256 * 1024

Advance = Callable[[str, float], None]
"""Told the step (``check``, ``upload``, ``enhance``, ``download``) and the share of it that is done, 0 to 1."""


def silent(_step: str, _share: float) -> None:
    """Tell nobody."""


def put(http: httpx.Client, url: str, headers: Mapping[str, str], blocks: Iterable[bytes], size_bytes: int) -> None:
    """PUT bytes, once.

    Raises
    ------
    StorageError
        Where storage refuses them.
    UnreachableError
        Where it cannot be reached, or not to the end.
    """
    try:
        answer = http.put(url, headers={**headers, "Content-Length": str(size_bytes)}, content=blocks)
    except httpx.TransportError as error:
        raise UnreachableError(f"storage did not take the upload: {words(error)}") from error
    if answer.is_error:
        raise StorageError(answer.status_code, "upload")


def save(http: httpx.Client, url: str, to: Path, advance: Advance) -> Path:
    """GET bytes, once, into a file: it is there whole or not at all.

    Parameters
    ----------
    to
        The file, or a folder in which the result gets the name that it comes with.

    Raises
    ------
    StorageError
        Where storage refuses.
    UnreachableError
        Where it cannot be reached, or not to the end.
    """
    try:
        with http.stream("GET", url) as answer:
            if not answer.is_success:
                raise StorageError(answer.status_code, "download")
            target = to / filename(answer) if to.is_dir() else to
            return _written(answer, target, advance)
    except httpx.TransportError as error:
        raise UnreachableError(f"storage did not send the result: {words(error)}") from error


def load(http: httpx.Client, url: str) -> bytes:
    """GET a few bytes, once. Raises as `save`."""
    try:
        answer = http.get(url)
    except httpx.TransportError as error:
        raise UnreachableError(f"storage did not send the result: {words(error)}") from error
    if not answer.is_success:
        raise StorageError(answer.status_code, "download")
    return answer.content


def filename(answer: httpx.Response) -> str:
    """Return the name in Content-Disposition, reduced to a plain file name."""
    disposition = Message()
    disposition["Content-Disposition"] = answer.headers.get("content-disposition", "")
    name = Path(disposition.get_filename() or "").name
    return name if name not in {"", ".", ".."} else "result"


def _written(answer: httpx.Response, target: Path, advance: Advance) -> Path:
    size_bytes = int(answer.headers.get("content-length", 0))
    # In the same folder: a rename within a file system is the only step that others can see.
    scratch = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.part")
    try:
        with scratch.open("xb") as file:
            for block in answer.iter_bytes(BLOCK_BYTES):
                file.write(block)
                advance("download", file.tell() / size_bytes if size_bytes else 0.0)
        scratch.replace(target)
    except BaseException:
        with suppress(OSError):
            scratch.unlink()
        raise
    return target
