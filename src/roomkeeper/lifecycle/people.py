"""Who is in the room, as webhooks and agents tell it: late, twice, in any order, or not at all.

1. Connections are told apart by sid. One that has left never comes back; a word about it is old news.
2. The identity is the person: somebody who is there by another connection has not left.
3. A leave without a join is a leave: the join was lost. A reason that comes late replaces a guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomkeeper.lifecycle import agents, ends, presence, rooms
from roomkeeper.lifecycle.absence import counts, forget, miss
from roomkeeper.lifecycle.events import ParticipantLeft
from roomkeeper.lifecycle.evidence import NOT_SEEN, call_reason, departure
from roomkeeper.lifecycle.reasons import Reason
from roomkeeper.lifecycle.state import Participant, State
from roomkeeper.lifecycle.values import replace
from roomkeeper.lifecycle.vocabulary import ParticipantKind, TimerKind

if TYPE_CHECKING:
    from roomkeeper.lifecycle.events import ParticipantAborted, ParticipantJoined, ParticipantRemoved, Seen
    from roomkeeper.lifecycle.state import Absent
    from roomkeeper.lifecycle.step import Step

_DELETED = "ROOM_DELETED"

# Coming.


def joined(step: Step, event: ParticipantJoined) -> None:
    """Somebody is in the room."""
    session = step.session
    if session.state is State.ENDED:
        _joined_too_late(step, event)
    elif event.sid in session.gone:
        step.ignore(f"{event.identity} has left again")
    elif any(person.sid == event.sid for person in session.participants):
        step.ignore(f"{event.identity} is known to be there")
    elif not rooms.follow(step, event.room_sid):
        step.ignore(f"{event.room_sid} is an earlier room")
    elif step.session.state is State.ENDED:  # Losing its old room has ended it.
        _joined_too_late(step, event)
    else:
        enter(step, event)
        presence.resolve(step)


def enter(step: Step, person: ParticipantJoined | Seen) -> None:
    """Add somebody to the room, without drawing the consequences for the state."""
    session = step.session
    counting = counts(session.policy, person.identity, person.kind, hidden=person.hidden)
    is_agent = person.kind is ParticipantKind.AGENT
    newcomer = Participant(
        sid=person.sid,
        identity=person.identity,
        kind=person.kind,
        counts=counting,
        foreign=is_agent and agents.is_foreign(session, person),
    )
    step.session = replace(session, participants=(*session.participants, newcomer))
    if is_agent:
        agents.appeared(step, newcomer)
    if not counting:
        return
    absent = tuple(gone for gone in session.absent if gone.identity != person.identity)
    step.session = replace(step.session, absent=absent, host=session.host or person.identity)
    step.cancel(TimerKind.JOIN)
    if not session.users:
        # Coming back is a sign of life: the check-ins begin anew.
        step.session = replace(step.session, look=None, check_ins=0)
        if not ends.stands(session):
            ends.withdraw(step)


def _joined_too_late(step: Step, event: ParticipantJoined) -> None:
    session = step.session
    if event.sid in session.gone or any(person.sid == event.sid for person in session.participants):
        step.ignore(f"{event.identity} is known")
        return
    newcomer = Participant(sid=event.sid, identity=event.identity, kind=event.kind, counts=False)
    step.session = replace(session, participants=(*session.participants, newcomer))
    if not ends.is_kept(session, event.room_sid or None):
        ends.sweep(step, event.room_sid or None)
    ends.turn_out(step, event.identity, event.kind)


# Going.


def left(step: Step, event: ParticipantLeft) -> None:
    """Somebody is no longer in the room."""
    session = step.session
    person = next((person for person in session.participants if person.sid == event.sid), None)
    if person is None:
        _left_unseen(step, event)
        return
    forget(step, event.sid, told=event.raw != NOT_SEEN)
    _gone(step, person, event)


def _left_unseen(step: Step, event: ParticipantLeft) -> None:
    """A word about a connection that is not in the room: its join was lost, or the word is late or doubled."""
    session = step.session
    guess = next((absent for absent in session.absent if absent.sid == event.sid and not absent.told), None)
    if guess is not None and step.open:
        _learn(step, event, guess)
        return
    if event.sid in session.gone:
        step.ignore(f"{event.identity} is known to have left")
        return
    if session.state is State.ENDED or not rooms.follow(step, event.room_sid):
        step.ignore(f"{event.identity} was not known to be there")
        return
    forget(step, event.sid)
    counting = counts(session.policy, event.identity, event.kind, hidden=event.hidden)
    person = Participant(sid=event.sid, identity=event.identity, kind=event.kind, counts=counting)
    if counting:
        step.cancel(TimerKind.JOIN)
    _gone(step, person, event)


def _learn(step: Step, event: ParticipantLeft, guess: Absent) -> None:
    """Why somebody left whose absence was only seen."""
    forget(step, event.sid)
    step.session = replace(step.session, absent=tuple(absent for absent in step.session.absent if absent is not guess))
    person = Participant(sid=event.sid, identity=event.identity, kind=event.kind, counts=True)
    step.cancel(TimerKind.HOLD)
    miss(step, person, event.raw, event, left_at=guess.left_at)
    _deleted_or_resolved(step, event.raw)


def _gone(step: Step, person: Participant, event: ParticipantLeft) -> None:
    """Draw the consequences of a connection's end; the participant is out of the session already."""
    session = step.session
    if session.state is State.ENDED:
        ends.room_emptied(step)
        return
    again = session.is_present(person.identity)
    if person.counts and not again:
        miss(step, person, event.raw, event)
    if session.state is State.ENDING:
        if not session.users:
            ends.finish(step)
        elif person.identity == session.agent.identity and not again:
            agents.left_room(step, person.identity, event.raw)
        return
    if event.raw != _DELETED and not again and person.kind is ParticipantKind.AGENT:
        _agent_gone(step, person.identity, event.raw)
    _deleted_or_resolved(step, event.raw)


def _agent_gone(step: Step, identity: str, raw: str) -> None:
    session, successor = step.session, step.session.next_agent
    if identity == session.agent.identity or (successor is not None and identity == successor.identity):
        agents.left_room(step, identity, raw)
    elif any(epoch.identity == identity for epoch in session.epochs):
        step.cancel(TimerKind.DISPATCH)  # The ghost is out: its replacement need not wait any longer.


def _deleted_or_resolved(step: Step, raw: str) -> None:
    if not step.open:
        return
    if raw == _DELETED:
        ends.infer(step, Reason.ROOM_DELETED, "somebody else deleted the room", await_word=True)
    presence.resolve(step)


def aborted(step: Step, event: ParticipantAborted) -> None:
    """Somebody tried to join and never became active. For a call that is how it fails."""
    session = step.session
    departed = ParticipantLeft(
        at=event.at,
        sid=event.sid,
        identity=event.identity,
        kind=event.kind,
        room_sid=event.room_sid,
        raw=event.raw,
        sip_status=event.sip_status,
    )
    known = any(person.sid == event.sid for person in session.participants)
    refused = departure(event.raw).caller is Reason.CALL_FAILED or call_reason(event.sip_status) is not None
    if known or (event.kind is ParticipantKind.SIP and refused):
        left(step, departed)
    else:
        step.ignore(f"{event.identity} never was in the room")


def removed(step: Step, event: ParticipantRemoved) -> None:
    """Our removal is confirmed: whoever had to be out is out."""
    session = step.session
    if event.identity == session.agent.identity and session.state is not State.ENDED:
        step.ignore(f"{event.identity} is in charge now")
        return
    gone = [person for person in session.participants if person.identity == event.identity and not person.counts]
    if not gone:
        step.ignore(f"{event.identity} is no agent in the room")
        return
    forget(step, *(person.sid for person in gone))
    if step.open:
        step.cancel(TimerKind.DISPATCH)
        presence.resolve(step)
