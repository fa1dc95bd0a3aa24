"""What is written of sessions, events and actions, and read back.

The policy of a session is half of its JSON, and is the same for thousands of them: it has a column of its own, is
written once, and is read once for all sessions that share it.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import TYPE_CHECKING, assert_never

import orjson

from roomkeeper.lifecycle.actions import (
    AcceptJob,
    CancelTimer,
    CreateDispatch,
    DeleteRoom,
    EmitEvent,
    EndAgent,
    FenceJob,
    Ignored,
    LookAtRoom,
    MuteAgent,
    RemoveParticipant,
    SendReport,
    SetTimer,
    StopEgress,
    Warn,
    WriteRoomState,
)
from roomkeeper.lifecycle.codec import body_values, dump_action, dump_body, dump_event, load_body
from roomkeeper.lifecycle.policy import plain, read_policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from roomkeeper.lifecycle.actions import Action
    from roomkeeper.lifecycle.events import Event, SessionOpened
    from roomkeeper.lifecycle.policy import Policy
    from roomkeeper.lifecycle.state import Session

ALARM = "timer"
"""Kind of the rows that are alarms."""

_patiently: Callable[[object], str] = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def to_json(value: object, patiently: Callable[[], object] | None = None) -> str:
    """Write JSON.

    Args:
        value: What the fast writer takes, dataclasses among it.
        patiently: Returns the same as plain JSON, where `value` is not that.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # halves of characters, integers of more than 64 bits: rare, and somebody said them
        return _patiently(value if patiently is None else patiently())


class Read:
    """Sessions that were read or written lately, so that the same text is not read again.

    A session is known by its whole text: what another replica wrote meanwhile is another text.

    Args:
        most: How many are kept; one takes about 6 KB, its text included.
    """

    def __init__(self, most: int = 16_384) -> None:
        self._most = most
        self._sessions: dict[str, tuple[str, Session]] = {}

    def session(self, name: str, body: str, policy: str) -> Session:
        """Read a session."""
        known = self._sessions.get(name)
        if known is not None and known[0] == body:
            return known[1]
        session = session_of(body, policy)
        self.keep(body, session)
        return session

    def keep(self, body: str, session: Session) -> None:
        """Remember what a session was written as."""
        self._sessions.pop(session.id, None)
        self._sessions[session.id] = (body, session)
        if len(self._sessions) > self._most:
            del self._sessions[next(iter(self._sessions))]


def session_of(body: str, policy: str) -> Session:
    """Read a session.

    Args:
        body: The column.
        policy: The column.
    """
    return load_body(json.loads(body), _policy_of(policy))


def body_of(session: Session) -> str:
    """Write what moves of a session."""
    return to_json(body_values(session), lambda: dump_body(session))


def policy_of(session: Session) -> str:
    """Write a session's policy."""
    return to_json(plain(session.policy))


def line_of(event: SessionOpened | Event) -> str:
    """Write a line of the journal."""
    return to_json(dump_event(event))


def action_of(action: Action) -> str:
    """Write what is to be done."""
    return to_json(dump_action(action))


def key_of(action: Action, line: str) -> str:
    """Name what a session asks for: asking again for what is pending under one name replaces it.

    Args:
        action: What is asked for.
        line: Tells this moment of the session from every other.
    """
    kind = type(action).__name__
    match action:
        case SetTimer(kind=timer) | CancelTimer(kind=timer):
            return f"{ALARM}:{timer}"
        case WriteRoomState() | LookAtRoom() | DeleteRoom():
            return kind  # what counts is how things are when it is carried out
        case AcceptJob(job=name) | FenceJob(job=name) | MuteAgent(job=name) | EndAgent(job=name):
            return _short(kind, name)
        case RemoveParticipant(identity=name) | StopEgress(egress=name):
            return _short(kind, name)
        case CreateDispatch(epoch=number) | SendReport(revision=number):
            return f"{kind}:{number}"
        case EmitEvent() | Warn() | Ignored():
            return f"{kind}:{line}"  # each of them happened
        case _:
            assert_never(action)


def _short(kind: str, name: str) -> str:
    # Names come from outside: as long as they like, with characters that not every database takes.
    return f"{kind}:{hashlib.blake2s(name.encode(errors='surrogatepass'), digest_size=16).hexdigest()}"


@lru_cache(maxsize=1024)
def _policy_of(text: str) -> Policy:
    return read_policy(json.loads(text))
