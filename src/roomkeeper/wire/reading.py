"""Frozen dataclasses as JSON objects from outside, read by their annotations. Pure.

Read strictly where it matters (a field that is missing or of a wrong kind is refused with its name), leniently where it
may grow (an unknown field is passed over). What an application said is mended where no database could store it.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Final, TypeGuard, Union, cast, get_args, get_origin, get_type_hints

from roomkeeper.errors import RoomkeeperError

MAX_OBJECTS: Final = 500
MAX_NAMES: Final = 1_000
"""Entries of a list of objects, and of one of names."""
MAX_NAME: Final = 512
"""Characters of an id, an identity or a name."""


class InvalidFrame(RoomkeeperError):
    """A frame of the agent link cannot be read; send what docs/agent-link.md says."""


def is_name(value: object) -> TypeGuard[str]:
    """Say whether something from outside will do as an id, an identity or a name."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and not _UNFIT.search(value)


def read_object(text: str | bytes, limit: int) -> dict[str, Any]:
    """Read a JSON object of at most `limit` bytes.

    Raises:
        InvalidFrame: It is larger, or none.
    """
    size = len(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    if size > limit:
        raise InvalidFrame(f"It has {size} bytes; {limit} are allowed.")
    try:
        said = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise InvalidFrame("It is not JSON.") from None
    if not isinstance(said, dict):
        raise InvalidFrame("It is not a JSON object.")
    return said


def read_as(kind: type, said: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401 - the callers know
    """Read an object as a dataclass whose data can be stored and written again.

    Args:
        kind: The dataclass.
        said: The object.
        where: Comes before the names of fields in what is said of them.

    Raises:
        InvalidFrame: A field is missing or wrong, or the whole is nested too deeply.
    """
    read = _read(kind, said, where)
    try:
        try:
            _to_json(_deeper(said)).encode()
        except ValueError:  # of the data: a name would have been refused
            return _read(kind, _repaired(said), where)
    except RecursionError:
        raise InvalidFrame("It is nested too deeply.") from None
    return read


def to_text(said: Mapping[str, Any]) -> str:
    """Write JSON that everybody can read, whatever an application put into it."""
    try:
        text = _to_json(said)
        text.encode()
    except ValueError:
        return _to_json(_repaired(said))
    return text


_to_json: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _deeper(said: object) -> object:
    """Wrap an object, so that what is read here can still be written by whoever has a deeper stack."""
    for _ in range(_MARGIN):
        said = [said]
    return said


def _repaired(said: object) -> Any:  # noqa: ANN401 - of the same kind as it was
    match said:
        case str():
            return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case float():
            return said if math.isfinite(said) else None
        case Mapping():
            return {_repaired(name): _repaired(value) for name, value in said.items()}
        case list() | tuple():
            return [_repaired(value) for value in said]
        case _:
            return said


def _no_number(name: str) -> None:
    """Refuse NaN and the infinities, which Python reads and no database takes.

    Raises:
        ValueError: always.
    """
    raise ValueError(name)


def plain(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """Turn a dataclass into what JSON has; so far as lists of such are in it, them too."""
    return {
        line.name: [plain(each) for each in said]
        if isinstance(said, tuple) and said and is_dataclass(said[0])
        else said
        for line in fields(value)
        for said in [getattr(value, line.name)]
    }


@cache
def _shape(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (line.name, hints[line.name], line.default is MISSING and line.default_factory is MISSING)
        for line in fields(kind)
    )


def _read(kind: type, said: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401 - the callers know
    values = {}
    for name, hint, needed in _shape(kind):
        if name in said:
            values[name] = _value(hint, said[name], f"{where}{name}")
        elif needed:
            raise InvalidFrame(f"`{where}{name}` is missing.")
    return kind(**values)


def _value(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - one answer for each kind of field
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in {Union, types.UnionType}:
        return None if value is None else _value(arguments[0], value, where)
    if origin is tuple:
        limit = MAX_OBJECTS if is_dataclass(arguments[0]) else MAX_NAMES
        if not isinstance(value, list) or len(value) > limit:
            raise InvalidFrame(f"`{where}` has to be a list of at most {limit}.")
        return tuple(_value(arguments[0], each, where) for each in value)
    if is_dataclass(hint):
        if not isinstance(value, dict):
            raise InvalidFrame(f"`{where}` has to hold objects.")
        return _read(cast("type", hint), value, f"{where}.")
    if origin is not None:
        if not isinstance(value, dict):
            raise InvalidFrame(f"`{where}` has to be an object.")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise InvalidFrame(f"`{where}` has to be {_WORDS[hint]}.")
    if hint is int and not -_LARGEST <= value <= _LARGEST:
        raise InvalidFrame(f"`{where}` is out of range.")
    if hint is str and where.rpartition(".")[2] in _SHORT:
        if len(value) > MAX_NAME:
            raise InvalidFrame(f"`{where}` has more than {MAX_NAME} characters.")
        if _UNFIT.search(value):
            raise InvalidFrame(f"`{where}` has a character that no name has.")
    return value


_WORDS: Final = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
_LARGEST: Final = 2**53
_MARGIN: Final = 200
"""Levels by which the stack of a later writer may be deeper than a reader's."""
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters and halves of characters: no database takes all of them as a key."""
_SHORT: Final = {"worker", "agent_name", "job", "room", "room_sid", "identity", "session", "reason", "type"}
