"""What belongs together in a request's body, as JSON Schema says it.

As conditions and not as alternatives (``oneOf``), of which generators of clients would make classes.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from pydantic.config import JsonDict

from lambdas.core.uploads import MAX_PUT_BYTES

SOURCES: Final = {"asset_id": "string", "upload": "object", "url": "object", "s3": "object"}
"""Where a recording may come from, with the type of what says so."""

NEEDED: Final = {"filename": "string", "size_bytes": "integer", "content_type": "string"}
"""What has to be said of a file that is going to be uploaded."""

OF_A_FILE: Final = (*NEEDED, "checksum_md5", "checksum_sha256")
FETCHED: Final = ("url", "s3")


def _types(kind: str, names: Iterable[str]) -> JsonDict:
    return {name: {"type": kind} for name in names}


def _given(kinds: Mapping[str, str]) -> JsonDict:
    return {"properties": {name: {"type": kind} for name, kind in kinds.items()}, "required": list(kinds)}


def _exactly_one(kinds: Mapping[str, str]) -> JsonDict:
    (name, kind), *others = kinds.items()
    if not others:
        return _given({name: kind})
    rest = dict(others)
    nothing_else: JsonDict = {"properties": _types("null", rest)}
    return {"if": _given({name: kind}), "then": nothing_else, "else": _exactly_one(rest)}


def _fetched_or(otherwise: JsonDict, *names: str) -> JsonDict:
    if not names:
        return otherwise
    name, *others = names
    nothing_else: JsonDict = {**_types("null", (*OF_A_FILE, *others)), "in_parts": {"const": False}}
    return {
        "if": _given({name: "object"}),
        "then": {"properties": nothing_else},
        "else": _fetched_or(otherwise, *others),
    }


EXACTLY_ONE: Final = _exactly_one(SOURCES)
UPLOADED_OR_FETCHED: Final = _fetched_or(_given(NEEDED), *FETCHED)

LARGE_ONES_COME_IN_PARTS: Final[JsonDict] = {
    "if": {"properties": {"size_bytes": {"exclusiveMinimum": MAX_PUT_BYTES}}},
    "then": {"properties": {"in_parts": {"const": True}}, "required": ["in_parts"]},
}

RETENTION_IS_A_NEW_RECORDINGS: Final[JsonDict] = {
    "if": {"properties": {"retain_hours": {"type": "integer"}}, "required": ["retain_hours"]},
    "then": {"properties": {"source": {"properties": {"asset_id": {"type": "null"}}}}},
}
