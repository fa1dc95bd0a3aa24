"""The words that events, actions and sessions share."""

from __future__ import annotations

from enum import StrEnum


class Origin(StrEnum):
    """How a session began, which decides whether its room's name may be used again."""

    TOKEN = "token"  # noqa: S105 - a word, no secret
    API = "api"
    SIP = "sip"
    ADOPTED = "adopted"


class Dispatcher(StrEnum):
    """Who sends the first agent."""

    ROOM = "room"
    """The room's configuration: LiveKit dispatches when the room is created; Roomkeeper does if that brings nobody."""
    ROOMKEEPER = "roomkeeper"
    """Roomkeeper, as soon as a user is there."""
    NOBODY = "nobody"
    """The application; Roomkeeper never dispatches, so a lost agent is not replaced."""


class ParticipantKind(StrEnum):
    """LiveKit's kinds of participants."""

    STANDARD = "standard"
    INGRESS = "ingress"
    EGRESS = "egress"
    SIP = "sip"
    AGENT = "agent"
    CONNECTOR = "connector"
    BRIDGE = "bridge"


MACHINES = frozenset({ParticipantKind.AGENT, ParticipantKind.EGRESS})
"""Kinds that never keep a room alive; LiveKit does not count them either."""


class TimerKind(StrEnum):
    """The alarms a session can set; each kind at most once at a time."""

    JOIN = "join"
    """No user came within the join timeout."""
    AGENT = "agent"
    """A user has waited for an agent long enough."""
    DISPATCH = "dispatch"
    """The dispatch brought nobody: repeat it."""
    HOLD = "hold"
    """Nobody returned."""
    WORD = "word"
    """An inferred end has waited long enough for the agent's own word."""
    AGENT_BACK = "agent_back"
    """An agent that left the room did not come back and said nothing."""
    HAND_OVER = "hand_over"
    """The old agent found no pause in the talk."""
    WARNING = "warning"
    """The time limit is near."""
    LIMIT = "limit"
    """The time limit."""
    LOOK = "look"
    """Time for the next listing of the room."""
    GOODBYE = "goodbye"
    """The goodbye takes too long."""
    LINGER = "linger"
    """The room outlived the end long enough."""
    SETTLE = "settle"
    """Late facts had their time: send the report."""
