"""Every event in words, for people who ask what happened. Pure; the conversation itself is not repeated here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, assert_never

from roomkeeper.lifecycle.events import (
    AgentAttached,
    AgentDone,
    AgentLost,
    AgentYielded,
    ControlStarted,
    DispatchAnswered,
    DispatchFailed,
    EgressEnded,
    EgressStarted,
    EndAsked,
    EvidenceGiven,
    GoodbyeOver,
    LeaseExpired,
    LinkLost,
    LookFailed,
    Noted,
    ParticipantAborted,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantRemoved,
    RoomFinished,
    RoomSeen,
    RoomStarted,
    SessionOpened,
    TimerFired,
    TokenAsked,
    UserAway,
    UserBack,
)
from roomkeeper.lifecycle.evidence import CLOSINGS, call_meaning, departure, exit_meaning
from roomkeeper.lifecycle.vocabulary import ParticipantKind, TimerKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roomkeeper.lifecycle.events import Event

LONGEST_DATA: Final = 300
"""Characters of what a browser says beside its word."""

WHO: Final[Mapping[ParticipantKind, str]] = {
    ParticipantKind.STANDARD: "user",
    ParticipantKind.INGRESS: "ingress",
    ParticipantKind.EGRESS: "recorder",
    ParticipantKind.SIP: "caller",
    ParticipantKind.AGENT: "agent",
    ParticipantKind.CONNECTOR: "connector",
    ParticipantKind.BRIDGE: "bridge",
}

ALARMS: Final[Mapping[TimerKind, str]] = {
    TimerKind.JOIN: "join_timeout is over: nobody who counts has joined",
    TimerKind.AGENT: "agent_timeout is over: a user has waited long enough",
    TimerKind.DISPATCH: "the dispatch brought no agent",
    TimerKind.HOLD: "the hold is over: nobody returned",
    TimerKind.WORD: "the agent's own word did not come",
    TimerKind.AGENT_BACK: "the agent that left the room did not come back and said nothing",
    TimerKind.HAND_OVER: "the old agent found no pause to hand over in",
    TimerKind.WARNING: "the time limit is near",
    TimerKind.LIMIT: "time_limit is over",
    TimerKind.LOOK: "time for another look at the room",
    TimerKind.GOODBYE: "the goodbye took too long",
    TimerKind.LINGER: "the room has outlived the end long enough",
    TimerKind.SETTLE: "late facts have had their time",
}


def words(event: SessionOpened | Event) -> str:
    """Say an event in one line, with the raw word of LiveKit, SIP or the system beside its meaning."""
    match event:
        case SessionOpened():
            agent = f"agent {event.agent_name}" if event.agent_name else "whatever agent comes"
            return f"session {event.session} opened in room {event.room}, generation {event.generation}, for {agent}"
        case RoomStarted():
            return f"room {event.sid} was created"
        case RoomFinished():
            return f"room {event.sid} ended"
        case ParticipantJoined():
            behalf = f", speaking for {event.on_behalf}" if event.on_behalf else ""
            return f"{_who(event.kind, event.identity, hidden=event.hidden)} joined{behalf}"
        case ParticipantLeft():
            meaning = "handed the call elsewhere (SIP REFER)" if event.referred else departure(event.raw).meaning
            who = _who(event.kind, event.identity, hidden=event.hidden)
            return f"{who} left: {meaning} ({event.raw}){_call(event.sip_status)}"
        case ParticipantAborted():
            who = _who(event.kind, event.identity)
            return f"{who} could not join: {departure(event.raw).meaning} ({event.raw}){_call(event.sip_status)}"
        case ParticipantRemoved():
            return f"{event.identity} was taken out of the room by Roomkeeper"
        case EgressStarted():
            return f"recording {event.egress} began"
        case EgressEnded():
            return f"recording {event.egress} ended"
        case RoomSeen():
            return _listing(event)
        case LookFailed():
            return f"the room could not be looked at: {event.error}"
        case AgentAttached():
            return f"job {event.job} asked to be in charge, as {event.identity}"
        case AgentLost():
            return f"the process of job {event.job} {exit_meaning(event.exit)}"
        case AgentDone():
            return f"job {event.job} is done; all it wrote is here"
        case AgentYielded():
            return f"the worker of job {event.job} is leaving and asked for a successor"
        case LeaseExpired():
            return f"the worker of job {event.job} sent no heartbeat: its lease expired"
        case LinkLost():
            return f"the link of job {event.job} broke; that is a suspicion only"
        case GoodbyeOver():
            return f"job {event.job} has said goodbye"
        case UserAway():
            return f"the user stayed silent through check-in {event.check}"
        case UserBack():
            return "the silent user said something"
        case Noted():
            return f"line {event.seq} of job {event.job}: {event.what}{_error(event)}"
        case DispatchAnswered():
            return f"dispatch {event.dispatch} for epoch {event.epoch} was taken by the server"
        case DispatchFailed():
            return f"the dispatch for epoch {event.epoch} failed: {event.error}"
        case EndAsked():
            who = event.identity or event.job
            detail = f": {event.detail}" if event.detail else ""
            return f"{event.by}{f' {who}' if who else ''} asked to end it as {event.reason}{detail}"
        case TokenAsked():
            return f"a token was asked for by {event.identity}"
        case EvidenceGiven():
            return f"the browser of {event.identity} says: {event.what}{_data(event.data)}"
        case ControlStarted():
            return "the control plane was down and is up again"
        case TimerFired():
            return ALARMS[event.kind]
        case _:
            assert_never(event)


def _who(kind: ParticipantKind, identity: str, *, hidden: bool = False) -> str:
    return f"{'hidden ' if hidden else ''}{WHO[kind]} {identity}"


def _call(status: int) -> str:
    return f"; {call_meaning(status)}" if status else ""


def _data(data: Mapping[str, object]) -> str:
    """What a browser may have made up is shown as one line, and not all of it if it is long."""
    said = ", ".join(f"{_plain(key)}: {_plain(value)}" for key, value in data.items())
    return f" ({said if len(said) <= LONGEST_DATA else f'{said[:LONGEST_DATA]}…'})" if said else ""


def _plain(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


def _error(line: Noted) -> str:
    """Errors and closings are shown, what was said is not: that belongs to the report."""
    match line.what:
        case "error":
            said = line.data.get("error", line.data.get("message"))
            again = "" if line.data.get("recoverable", True) else ", not recoverable"
            return f": {said}{again}" if isinstance(said, str) else ""
        case "close":
            reason = line.data.get("reason")
            closing = CLOSINGS.get(reason) if isinstance(reason, str) else None
            return f": {reason}" + (f" ({closing.meaning})" if closing is not None else "")
        case _:
            return ""


def _listing(event: RoomSeen) -> str:
    if event.sid is None:
        return "looked: there is no such room"
    people = ", ".join(_who(person.kind, person.identity, hidden=person.hidden) for person in event.people)
    return f"looked: in room {event.sid} {'is nobody' if not people else f'are {people}'}"
