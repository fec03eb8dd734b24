"""JSON to the values of `models` and back; their annotations are the only description of both."""

import types
import typing
from dataclasses import MISSING, asdict, fields, is_dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, TypeVar

from cleartake_client.errors import CleartakeError

T = TypeVar("T")


class UnreadableAnswerError(CleartakeError):
    """The service answered something else than its interface says."""


def read(kind: type[T], data: Any) -> T:
    """Return ``data`` as a ``kind``, one of the dataclasses of `models`.

    Raises
    ------
    UnreadableAnswerError
        Where a field is missing or of another kind.
    """
    try:
        return typing.cast("T", _read(kind, data))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableAnswerError(f"the service's answer is no {kind.__name__}: {error}") from error


def written(value: Any) -> dict[str, Any]:
    """Return a value of `models` as JSON's types; what is None is left out."""
    return {name: one for name, one in asdict(value).items() if one is not None}


def _read(kind: Any, data: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {types.UnionType, typing.Union}:
        (known,) = (one for one in arguments if one is not types.NoneType)
        return None if data is None else _read(known, data)
    if origin is tuple:
        return tuple(_read(arguments[0], one) for one in data)
    if origin is dict:
        return {str(name): _read(arguments[1], one) for name, one in data.items()}
    if is_dataclass(kind):
        return _read_fields(kind, data)
    return _read_plain(kind, data)


def _read_fields(kind: Any, data: Any) -> Any:
    hints = _hints(kind)
    given = {one.name: one for one in fields(kind) if one.name in data or one.default is MISSING}
    return kind(**{name: _read(hints[name], data[name]) for name in given})


def _read_plain(kind: Any, data: Any) -> Any:
    if kind in {date, datetime}:
        return kind.fromisoformat(data)
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind):
        msg = f"{data!r:.40} is no {kind.__name__}"
        raise TypeError(msg)
    return data


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
