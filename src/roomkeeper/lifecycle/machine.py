"""The session's state machine: what every event does in every state.

Rules of this package
---------------------
1. `transition(session, event)` is the only thing that moves a session. It has no clock, no randomness and no I/O: time
   comes with the event, deadlines are part of the session, what is to be done is returned. Replaying a journal gives
   the same session, always.
2. `TABLE` says what is legal: for each event and each state, the states it may lead to, or why it is ignored. The
   rules that say what happens are in `people`, `rooms` and `listings` (who is there), `agents` and `jobs` (who is in
   charge), `presence` (the state that follows), `ends` (how it ends) and `clocks` (alarms). A move that the table does
   not have is a bug, and raised.
3. Facts are kept for ever, decisions are taken once. An event that changes nothing returns `Ignored` with the reason;
   the journal keeps both. `ended` is absorbing: what comes later is a fact for the report's next revision, or is swept.
4. Nobody outside can make the machine fail: what is told late, twice, never or by the wrong one is ignored with a
   reason. Only our own misuse is raised (`IllegalCall`).

Theory of operation
-------------------
Three questions make the state: are users who count in the room, is the agent in charge in it, is an end decided?

    users there     agent there           -> live
    users there     agent not there       -> recovering (waiting, if none was ever there)
    users gone      either                -> holding
    no user yet     either                -> waiting
    an end decided, the goodbye playing   -> ending
    an end decided, and over              -> ended

So most events only change who is there, and `presence.resolve` finds the state. What ends a session is one of these:

    asked       EndAsked by agent, user, operator or application; the time limit        decided at once
    told        hang-up, removal, room deleted, a stock agent's farewell                inferred
    absence     nobody joined, nobody returned, no agent came, the room is lost         looked at twice, then inferred
    exhausted   recoveries used up                                                      inferred

An inferred end waits while an agent may still have its own end to tell: for 30 s after a start of the control plane or
a broken link, for 5 s where the agent is about to speak for itself. A journaled end beats inference.

A life, by example: SessionOpened (waiting; JOIN set) → ParticipantJoined user (JOIN cancelled; AGENT and DISPATCH set)
→ ParticipantJoined agent (live; LIMIT and WARNING set) → ParticipantLeft user (holding; HOLD set) → joined again (live)
→ AgentLost (recovering; the ghost removed, then a dispatch for epoch 2) → AgentAttached, joined (live) → EndAsked by
the agent (ending; GOODBYE set) → GoodbyeOver (ended; LINGER and SETTLE set) → AgentDone (report 1) → TimerFired LINGER
(the room is deleted) → RoomFinished (the name is free).

How to read the table: W waiting, L live, H holding, R recovering, E ending, X ended. "L H" in column `live` says: from
live, this event leaves it live or makes it holding. A `Never` says why the event changes nothing there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias, assert_never

from roomkeeper.errors import IllegalCall
from roomkeeper.lifecycle import agents, bounds, clocks, ends, jobs, listings, people, presence, rooms
from roomkeeper.lifecycle.actions import EmitEvent, Ignored, SetTimer
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
    Event,
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
from roomkeeper.lifecycle.state import Session, State
from roomkeeper.lifecycle.step import Step
from roomkeeper.lifecycle.vocabulary import TimerKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roomkeeper.lifecycle.actions import Action


@dataclass(frozen=True, slots=True)
class Never:
    """A cell of the table in which nothing changes.

    Attributes:
        why: For people.
    """

    why: str


Cell: TypeAlias = str | Never
Row: TypeAlias = tuple[Cell, Cell, Cell, Cell, Cell, Cell]

COLUMNS = (State.WAITING, State.LIVE, State.HOLDING, State.RECOVERING, State.ENDING, State.ENDED)
_LETTERS = dict(zip("WLHREX", COLUMNS, strict=True))

_STAY: Row = ("W", "L", "H", "R", "E", "X")
_BURIED = Never("the session has ended")
_DECIDED = Never("an end is decided already")
_UNASKED = Never("no end is decided")
_NO_TALK = Never("the user is not in a talk")
_CAME = Never("a user has come")
_IN_CHARGE = Never("an agent is there, or no user is")
_RETURNED = Never("nobody is held for")
_NO_LIMIT = Never("the time limit counts from the first live moment to the decided end")
_NOT_WAITED = Never("no agent is waited for")

# fmt: off
TABLE: Mapping[type[Event] | TimerKind, Row] = {
    # event              waiting      live       holding      recovering  ending     ended
    RoomStarted:        ("W H X",     "L H X",   "H",         "R H X",    "E X",     "X"),
    RoomFinished:       ("W H X",     "L H X",   "H",         "R H X",    "E X",     "X"),
    ParticipantJoined:  ("W L R H X", "L H R X", "H W L R X", "R L H X",  "E X",     "X"),
    ParticipantLeft:    ("W L R H X", "L H R X", "H X",       "R L H X",  "E X",     "X"),
    ParticipantAborted: ("W H X",     "L H R X", "H X",       "R H X",    "E X",     "X"),
    ParticipantRemoved: _STAY,
    EgressStarted:      _STAY,
    EgressEnded:        _STAY,
    RoomSeen:           ("W L R H X", "L H R X", "H W L R X", "R L H X",  "E X",     "X"),
    LookFailed:         ("W",         "L",       "H",         "R",        "E",       _BURIED),
    AgentAttached:      ("W L",       "L R",     "H",         "R L",      "E",       "X"),
    AgentLost:          ("W X",       "L R X",   "H X",       "R X",      "E X",     "X"),
    AgentDone:          ("W X",       "L R X",   "H X",       "R X",      "E X",     "X"),
    AgentYielded:       ("W",         "L",       "H",         "R",        _DECIDED,  _BURIED),
    LeaseExpired:       ("W X",       "L R X",   "H X",       "R X",      "E X",     _BURIED),
    LinkLost:           ("W",         "L",       "H",         "R",        "E",       _BURIED),
    GoodbyeOver:        (_UNASKED,    _UNASKED,  _UNASKED,    _UNASKED,   "E X",     _BURIED),
    UserAway:           (_NO_TALK,    "L",       _NO_TALK,    _NO_TALK,   _DECIDED,  _BURIED),
    UserBack:           (_NO_TALK,    "L",       _NO_TALK,    _NO_TALK,   _DECIDED,  _BURIED),
    Noted:              _STAY,
    DispatchAnswered:   _STAY,
    DispatchFailed:     _STAY,
    EndAsked:           ("W X",       "L E X",   "H X",       "R X",      _DECIDED,  _BURIED),
    TokenAsked:         ("W",         "L",       "H",         "R",        "E",       _BURIED),
    EvidenceGiven:      _STAY,
    ControlStarted:     _STAY,
    # alarm              waiting      live       holding      recovering  ending     ended
    TimerKind.JOIN:     ("W",         _CAME,     _CAME,       _CAME,      _DECIDED,  _BURIED),
    TimerKind.AGENT:    ("W",         _IN_CHARGE, _IN_CHARGE, "R",        _DECIDED,  _BURIED),
    TimerKind.DISPATCH: ("W",         _IN_CHARGE, _IN_CHARGE, "R",        _DECIDED,  _BURIED),
    TimerKind.HOLD:     (_RETURNED,   _RETURNED, "H",         _RETURNED,  _DECIDED,  _BURIED),
    TimerKind.WORD:     ("X",         "X",       "X",         "X",        _DECIDED,  _BURIED),
    TimerKind.AGENT_BACK: ("W X",     "L R X",   "H",         _NOT_WAITED, _DECIDED, _BURIED),
    TimerKind.HAND_OVER: (_NOT_WAITED, "L R",    "H",         _NOT_WAITED, _DECIDED, _BURIED),
    TimerKind.WARNING:  (_NO_LIMIT,   "L",       "H",         "R",        _NO_LIMIT, _NO_LIMIT),
    TimerKind.LIMIT:    (_NO_LIMIT,   "E X",     "X",         "X",        _NO_LIMIT, _NO_LIMIT),
    TimerKind.LOOK:     ("W",         "L",       "H",         "R",        "E",       _BURIED),
    TimerKind.GOODBYE:  (_UNASKED,    _UNASKED,  _UNASKED,    _UNASKED,   "X",       _BURIED),
    TimerKind.LINGER:   (_UNASKED,    _UNASKED,  _UNASKED,    _UNASKED,   _UNASKED,  "X"),
    TimerKind.SETTLE:   (_UNASKED,    _UNASKED,  _UNASKED,    _UNASKED,   _UNASKED,  "X"),
}
# fmt: on


def legal(state: State, key: type[Event] | TimerKind) -> frozenset[State] | Never:
    """Look up the table.

    Args:
        state: The state the event meets.
        key: The event's class, or the kind of the alarm.

    Returns:
        The states it may lead to, or why nothing changes.
    """
    cell = TABLE[key][COLUMNS.index(state)]
    return cell if isinstance(cell, Never) else _states(cell)


@cache
def _states(cell: str) -> frozenset[State]:
    return frozenset(_LETTERS[letter] for letter in cell.split())


def begin(opened: SessionOpened) -> tuple[Session, tuple[Action, ...]]:
    """Make a session of the first event of its journal.

    Returns:
        The session, in `waiting`, and what is to be done.
    """
    session = Session(
        id=opened.session,
        room=opened.room,
        generation=opened.generation,
        agent_name=opened.agent_name,
        origin=opened.origin,
        dispatcher=opened.dispatcher,
        policy=opened.policy,
        host=opened.host,
        metadata=opened.metadata,
        opened_at=opened.at,
        since=opened.at,
    )
    step = Step(session, opened.at)
    step.act(EmitEvent(topic="session.opened"))
    step.set_timer(TimerKind.JOIN, opened.at + bounds.millis(opened.policy.join_timeout))
    return step.session, tuple(step.actions)


def transition(session: Session, event: Event) -> tuple[Session, tuple[Action, ...]]:
    """Say what an event does to a session.

    Args:
        session: As `begin` or an earlier transition made it.
        event: Any event but `SessionOpened`.

    Returns:
        The session after it, and what is to be done, in order; `Ignored` if nothing changes.

    Raises:
        IllegalCall: the rules and the table disagree: a bug in this package.
    """
    key = event.kind if isinstance(event, TimerFired) else type(event)
    allowed = legal(session.state, key)
    if isinstance(allowed, Never):
        return session, (Ignored(why=allowed.why),)
    if isinstance(event, TimerFired):
        due = session.timers.get(event.kind)
        if due is None:
            return session, (Ignored(why=f"the {event.kind} alarm was cancelled"),)
        if due > event.at:
            # It was moved, or the clock was set back: whoever fired it takes it for done, so it is asked for again.
            return session, (Ignored(why=f"the {event.kind} alarm is not due yet"), SetTimer(kind=event.kind, at=due))
    step = Step(session, event.at)
    _follow(step, event)
    presence.attend(step, session)
    if step.session.state not in allowed:
        detail = f"{key} led from {session.state} to {step.session.state}, which the table does not have"
        raise IllegalCall(detail)
    return step.session, tuple(step.actions)


def _follow(step: Step, event: Event) -> None:  # noqa: PLR0915 - one case an event, that is all
    """Send the event to its rule."""
    match event:
        case RoomStarted():
            rooms.started(step, event)
        case RoomFinished():
            rooms.finished(step, event)
        case ParticipantJoined():
            people.joined(step, event)
        case ParticipantLeft():
            people.left(step, event)
        case ParticipantAborted():
            people.aborted(step, event)
        case ParticipantRemoved():
            people.removed(step, event)
        case EgressStarted():
            rooms.egress_started(step, event)
        case EgressEnded():
            rooms.egress_ended(step, event)
        case RoomSeen():
            listings.seen(step, event)
        case LookFailed():
            clocks.look_failed(step, event)
        case AgentAttached():
            agents.attached(step, event)
        case AgentLost():
            jobs.lost(step, event)
        case AgentDone():
            jobs.done(step, event)
        case AgentYielded():
            jobs.yielded(step, event)
        case LeaseExpired():
            jobs.lease_expired(step, event)
        case LinkLost():
            jobs.link_lost(step, event)
        case GoodbyeOver():
            jobs.goodbye_over(step, event)
        case UserAway():
            jobs.away(step, event, event.check)
        case UserBack():
            jobs.away(step, event, 0)
        case Noted():
            jobs.noted(step, event)
        case EndAsked():
            ends.asked(step, event)
        case ControlStarted():
            clocks.control_started(step, event)
        case TimerFired():
            clocks.fired(step, event)
        case DispatchAnswered() | DispatchFailed() | TokenAsked() | EvidenceGiven():
            pass  # Facts for `explain`: the dispatch alarm repeats what failed, a token is no presence.
        case _:
            assert_never(event)
