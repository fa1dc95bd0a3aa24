"""How single values of a policy are read. A ValueError says what was expected; `policy` adds key and value."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_E = TypeVar("_E", bound=StrEnum)

_LONGEST = 100 * 365 * 24 * 3600.0
"""Seconds; the end of what takes no longer can still be written as a date."""


def seconds(value: object) -> float:
    """Read a duration in seconds, zero or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST:
        msg = "expected seconds, a number of zero or more, at most a hundred years"
        raise ValueError(msg)
    return value


def seconds_or_none(value: object) -> float | None:
    """Read a duration in seconds, or `none` for never."""
    if value is None or value == "none":
        return None
    try:
        return seconds(value)
    except ValueError:
        msg = "expected seconds, a number of zero or more, or 'none'"
        raise ValueError(msg) from None


def many_seconds(value: object) -> tuple[float, ...]:
    """Read a list of durations; the longest comes first, each once."""
    if not isinstance(value, list | tuple):
        msg = "expected a list of seconds, such as [120, 30]"
        raise ValueError(msg)  # noqa: TRY004 - the caller turns ValueError into a ConfigError
    return tuple(sorted({seconds(item) for item in value}, reverse=True))


def count(value: object) -> int:
    """Read a whole number, zero or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        msg = "expected a whole number of zero or more"
        raise ValueError(msg)
    return value


def text(value: object) -> str:
    """Read a text."""
    if not isinstance(value, str):
        msg = "expected a text"
        raise ValueError(msg)  # noqa: TRY004 - the caller turns ValueError into a ConfigError
    return value


def texts(value: object) -> tuple[str, ...]:
    """Read a list of texts."""
    if not isinstance(value, list | tuple) or not value:
        msg = "expected a list of texts with at least one entry"
        raise ValueError(msg)
    return tuple(text(item) for item in value)


def one_of(choices: type[_E]) -> Callable[[object], _E]:
    """Make a reader of one word out of several."""

    def read(value: object) -> _E:
        try:
            return choices(text(value))
        except ValueError:
            msg = f"expected one of {', '.join(choices)}"
            raise ValueError(msg) from None

    return read


def messages(names: frozenset[str]) -> Callable[[object], Mapping[str, Mapping[str, str]]]:
    """Make a reader of texts by name and language, as `by_language` leaves them."""

    def read(value: object) -> Mapping[str, Mapping[str, str]]:
        if not isinstance(value, Mapping):
            msg = "expected a table of texts by reason"
            raise ValueError(msg)  # noqa: TRY004 - the caller turns ValueError into a ConfigError
        for name in value:
            if name not in names:
                raise ValueError(unknown(str(name), names))
        return {
            str(name): {str(language): text(said) for language, said in words.items()} for name, words in value.items()
        }

    return read


def by_language(tree: object) -> object:
    """Take bare texts for English ones."""
    if not isinstance(tree, Mapping):
        return tree
    return {name: words if isinstance(words, Mapping) else {"en": words} for name, words in tree.items()}


def unknown(key: str, known: Iterable[str]) -> str:
    """Say that a key is no setting, and which one may have been meant."""
    near = difflib.get_close_matches(key, list(known), n=1)
    return f"{key} is not a setting" + (f"; did you mean {near[0]}?" if near else "")


def nest(path: list[str], value: object) -> object:
    """Wrap a value into tables, the last name innermost."""
    for name in reversed(path):
        value = {name: value}
    return value


def overlay(below: object, above: object) -> object:
    """Lay one table over another, table by table; anything else is simply replaced."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{key: overlay(below.get(key), value) for key, value in above.items()}}


def bare(value: object) -> object:
    """Turn a setting's value into what JSON has."""
    match value:
        case tuple():
            return list(value)
        case StrEnum():
            return str(value)
        case Mapping():
            return {key: dict(words) for key, words in value.items()}
        case _:
            return value
