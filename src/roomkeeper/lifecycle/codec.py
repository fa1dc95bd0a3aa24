"""Events, actions and sessions as JSON, and back: what the journal, the outbox and the store hold.

1. Every field is written, also one that has its default: a default that changes must not change what was.
2. Reading takes the default of a field that an older version did not write, and passes over what a newer one did.
3. What is written carries `v`, the version of this format, and `type`, the name of its class. Names are for ever.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, Final, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from roomkeeper.errors import IllegalCall
from roomkeeper.lifecycle.actions import Action
from roomkeeper.lifecycle.events import Event, SessionOpened
from roomkeeper.lifecycle.policy import Policy, plain, read_policy
from roomkeeper.lifecycle.state import Session

VERSION: Final = 1

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Reader: TypeAlias = Callable[[Any], Any]
_T = TypeVar("_T")

_EVENTS: Final = {kind.__name__: kind for kind in (SessionOpened, *get_args(Event))}
_ACTIONS: Final = {kind.__name__: kind for kind in get_args(Action)}


def dump_event(event: SessionOpened | Event) -> dict[str, Json]:
    """Turn an event into JSON."""
    return _dump(event)


def load_event(data: Mapping[str, Json]) -> SessionOpened | Event:
    """Read an event that `dump_event` wrote, in this version or an earlier one.

    Raises:
        IllegalCall: it was written by a newer version, or is no event.
    """
    return cast("SessionOpened | Event", _load(data, _EVENTS))


def dump_action(action: Action) -> dict[str, Json]:
    """Turn an action into JSON."""
    return _dump(action)


def load_action(data: Mapping[str, Json]) -> Action:
    """Read an action that `dump_action` wrote.

    Raises:
        IllegalCall: it was written by a newer version, or is no action.
    """
    return cast("Action", _load(data, _ACTIONS))


def dump_session(session: Session) -> dict[str, Json]:
    """Turn a session into JSON."""
    return _dump(session)


def load_session(data: Mapping[str, Json]) -> Session:
    """Read a session that `dump_session` wrote.

    Raises:
        IllegalCall: it was written by a newer version, or is no session.
    """
    return cast("Session", _load(data, {"Session": Session}))


def dump_body(session: Session) -> dict[str, Json]:
    """Turn what moves of a session into JSON: everything but its policy, which never changes and is half of it."""
    return {"v": VERSION, "type": Session.__name__, **_body_writer()(session)}


def body_values(session: Session) -> dict[str, object]:
    """Return what `dump_body` does, for a writer of JSON that takes dataclasses, tuples and enumerations."""
    timers = {str(kind): at for kind, at in session.timers.items()}
    values = {"v": VERSION, "type": Session.__name__, **vars(session), "timers": timers}
    del values["policy"]
    return values


def load_body(data: Mapping[str, Json], policy: Policy) -> Session:
    """Read a session that `dump_body` wrote, or `dump_session`; the policy is the given one.

    Raises:
        IllegalCall: it was written by a newer version, or is no session.
    """
    return cast("Session", _load({**data, "policy": cast("Any", policy)}, {Session.__name__: Session}))


def _dump(value: SessionOpened | Event | Action | Session) -> dict[str, Json]:
    return {"v": VERSION, "type": type(value).__name__, **_writer(cast("Any", type(value)))(value)}


def _load(data: Mapping[str, Json], known: Mapping[str, type]) -> object:
    version, name = data.get("v"), data.get("type")
    if version != VERSION:
        detail = f"version {version!r} of {name!r} was written by another Roomkeeper; this one reads version {VERSION}"
        raise IllegalCall(detail)
    if name not in known:
        detail = f"{name!r} is none of {', '.join(known)}"
        raise IllegalCall(detail)
    return _reader(known[str(name)])(data)


# Readers and writers are made once for each annotation: a transition is stored thousands of times a second.


@cache
def _writer(hint: Any) -> Reader:  # noqa: ANN401 - annotations have no common type
    """Make what writes values of an annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Policy:
        return plain
    if is_dataclass(hint):
        return _dataclass_writer(cast("type", hint))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return str
    if origin is tuple:
        return _list_writer(_writer(arguments[0]))
    if origin is Mapping:
        return _mapping_reader(str, _writer(arguments[1]))
    if origin in {Union, types.UnionType}:
        return _optional_reader(_writer(_present(arguments)))
    return _as_it_is


@cache
def _reader(hint: Any) -> Reader:  # noqa: ANN401 - annotations have no common type
    """Make what reads values of an annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Policy:
        return lambda value: value if isinstance(value, Policy) else read_policy(value)
    if is_dataclass(hint):
        return _dataclass_reader(cast("type", hint))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint
    if origin is tuple:
        return _tuple_reader(_reader(arguments[0]))
    if origin is Mapping:
        return _mapping_reader(_reader(arguments[0]), _reader(arguments[1]))
    if origin in {Union, types.UnionType}:
        return _optional_reader(_reader(_present(arguments)))
    return _as_it_is


def _present(arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401 - annotations have no common type
    """Take the one type of a union that is not None."""
    (present,) = (argument for argument in arguments if argument is not types.NoneType)
    return present


def _as_it_is(value: Any) -> Any:  # noqa: ANN401 - JSON is what it is
    return value


def _list_writer(write: Reader) -> Reader:
    return list if write is _as_it_is else lambda values: [write(value) for value in values]


def _tuple_reader(read: Reader) -> Reader:
    return tuple if read is _as_it_is else lambda values: tuple(read(value) for value in values)


def _mapping_reader(read_key: Reader, read: Reader) -> Reader:
    return lambda values: {read_key(key): read(value) for key, value in values.items()}


def _optional_reader(read: Reader) -> Reader:
    return read if read is _as_it_is else lambda value: None if value is None else read(value)


@cache
def _body_writer() -> Reader:
    return _dataclass_writer(Session, without="policy")


def _dataclass_writer(kind: type, without: str = "") -> Reader:
    hints = get_type_hints(kind)
    writers = {line.name: _writer(hints[line.name]) for line in fields(cast("Any", kind)) if line.name != without}
    names, several = tuple(writers), len(writers) > 1
    # Most fields are written as they are: all are taken at once, and only the others one by one.
    converted = [(name, write) for name, write in writers.items() if write is not _as_it_is]
    take = attrgetter(*names)

    def write(value: Any) -> dict[str, Json]:  # noqa: ANN401 - any dataclass
        data = dict(zip(names, take(value) if several else (take(value),), strict=True))
        for name, convert in converted:
            data[name] = convert(data[name])
        return data

    return write


def _dataclass_reader(kind: type[_T]) -> Callable[[Mapping[str, Any]], _T]:
    hints = get_type_hints(kind)
    readers = {line.name: _reader(hints[line.name]) for line in fields(cast("Any", kind))}
    converted = [(name, reader) for name, reader in readers.items() if reader is not _as_it_is]

    def read(data: Mapping[str, Any]) -> _T:
        values = {name: value for name, value in data.items() if name in readers}
        for name, reader in converted:
            if name in values:
                values[name] = reader(values[name])
        return kind(**values)

    return read
