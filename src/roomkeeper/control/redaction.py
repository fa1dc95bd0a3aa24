"""A journal without what people said and who they are, to be shown to others. Pure.

Words become their length, people become numbers (the same person the same number), rooms' names too. Kinds, times, raw
reasons, ids of LiveKit and settings stay: they are what an explanation rests on.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final

from roomkeeper.lifecycle.codec import dump_event
from roomkeeper.lifecycle.events import (
    AgentAttached,
    EndAsked,
    EvidenceGiven,
    Noted,
    ParticipantJoined,
    ParticipantLeft,
    RoomSeen,
    SessionOpened,
)
from roomkeeper.lifecycle.vocabulary import MACHINES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from roomkeeper.lifecycle.events import Event

_PLAIN: Final = frozenset(
    {"type", "role", "id", "item_id", "call_id", "who", "old", "new", "reason", "recoverable", "source", "event"}
    | {"epoch", "seq", "version", "is_error", "interrupted", "created_at", "check", "kind", "resumed", "sdk", "by"}
)
"""Keys of a line whose values are no words of people."""
_TOKEN: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*|whsec_[\w+/=]+")
_SHORTEST: Final = 3
"""Characters: a shorter identity is not searched for in texts, it would be found in every other word."""


class Redaction:
    """Redacts one session.

    Args:
        journal: All of it; who was a machine is known from the whole.
    """

    def __init__(self, journal: Sequence[SessionOpened | Event]) -> None:
        self._journal = journal
        self._names: dict[str, str] = {}
        machines = {person.identity for event in journal for person in _people(event) if person.kind in MACHINES}
        machines |= {event.identity for event in journal if isinstance(event, AgentAttached)}
        for event in journal:
            if isinstance(event, SessionOpened):
                self._names[event.room] = "room-1"
            for identity in _identities(event):
                if identity and identity not in machines:
                    self._names.setdefault(identity, f"person-{len(self._names)}")

    def events(self) -> list[SessionOpened | Event]:
        """Return the journal, redacted; it replays to the same decisions."""
        return [self._redacted(event) for event in self._journal]

    def lines(self) -> list[dict[str, Any]]:
        """Return it as JSON."""
        return [dict(dump_event(event)) for event in self.events()]

    def text(self, text: str) -> str:
        """Redact a line of a log: names of people and rooms, and whatever looks like a token or a secret."""
        for name in sorted(self._names, key=len, reverse=True):
            if len(name) >= _SHORTEST:
                text = text.replace(name, self._names[name])
        return _TOKEN.sub("…", text)

    def _redacted(self, event: SessionOpened | Event) -> SessionOpened | Event:
        names = {field.name for field in fields(event)}
        changes: dict[str, Any] = {
            name: self._names.get(value, value)
            for name in ("identity", "room", "host", "on_behalf")
            if name in names and isinstance(value := getattr(event, name), str)
        }
        match event:
            case SessionOpened():
                metadata = None if event.metadata is None else _length(event.metadata)
                changes |= {"metadata": metadata, "policy": replace(event.policy, message={}, away_say="")}
                changes["policy"] = replace(changes["policy"], counts=tuple(map(self.text, event.policy.counts)))
            case Noted() | EvidenceGiven():
                changes["data"] = _words(event.data)
            case EndAsked():
                changes |= {"detail": event.detail and _length(event.detail), "data": None}
            case ParticipantJoined():
                changes["attributes"] = {name: _length(value) for name, value in event.attributes.items()}
            case RoomSeen():
                changes["people"] = tuple(
                    replace(
                        person,
                        identity=self._names.get(person.identity, person.identity),
                        attributes={name: _length(value) for name, value in person.attributes.items()},
                    )
                    for person in event.people
                )
            case _:
                pass
        return replace(event, **changes)


def _people(event: SessionOpened | Event) -> Iterable[Any]:
    if isinstance(event, ParticipantJoined | ParticipantLeft):
        return (event,)
    return event.people if isinstance(event, RoomSeen) else ()


def _identities(event: SessionOpened | Event) -> list[str]:
    if isinstance(event, RoomSeen):
        return [person.identity for person in event.people]
    return [getattr(event, name, "") for name in ("host", "identity", "on_behalf")]


def _words(data: Mapping[str, object]) -> dict[str, object]:
    return {key: _blank(value) if key not in _PLAIN else value for key, value in data.items()}


def _blank(value: object) -> object:
    match value:
        case str():
            return _length(value)
        case dict():
            return _words(value)
        case list():
            return [_blank(each) for each in value]
        case _:
            return value


def _length(text: str) -> str:
    return f"<{len(text)} characters>"
