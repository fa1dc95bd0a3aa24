"""Looking at the room: what its listings say that no webhook did, and the decisions that wait for them.

1. A listing is the truth of its moment: whoever is in it is there.
2. Whoever is missing from two listings that are 5 s apart is not there, and neither is such a room.
3. A timer that would end the session for an absence makes the end hang on such a pair; an API error is not absence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomkeeper.lifecycle import agents, bounds, ends, people, presence, rooms
from roomkeeper.lifecycle.events import ParticipantLeft
from roomkeeper.lifecycle.evidence import NOT_SEEN, ROOM_GONE
from roomkeeper.lifecycle.reasons import Reason
from roomkeeper.lifecycle.state import Participant, State
from roomkeeper.lifecycle.values import replace
from roomkeeper.lifecycle.vocabulary import TimerKind

if TYPE_CHECKING:
    from roomkeeper.lifecycle.events import RoomSeen, Seen
    from roomkeeper.lifecycle.step import Step


def seen(step: Step, event: RoomSeen) -> None:
    """The room API says who is there. Whatever webhooks did not tell is told by this."""
    if step.session.state is not State.ENDED:
        _compare_room(step, event)
    if step.session.state is State.ENDED:
        _after_end(step, event)
        return
    presence.resolve(step)
    if step.open:
        _decide_look(step)


def _compare_room(step: Step, event: RoomSeen) -> None:
    session = step.session
    if event.sid is None:
        _miss_room(step)
        return
    if event.sid != session.room_sid:
        rooms.adopt(step, event.sid)
    if step.session.state is not State.ENDED:
        step.session = replace(step.session, room_missed_at=None)
        _compare_people(step, event.people)


def _miss_room(step: Step) -> None:
    session = step.session
    if session.room_sid is None and not session.participants:
        return
    if session.room_missed_at is None:
        step.session = replace(session, room_missed_at=step.at)
        step.set_timer_once(TimerKind.LOOK, step.at + bounds.LISTINGS_APART)
    elif step.at - session.room_missed_at >= bounds.LISTINGS_APART:
        rooms.lose(step, NOT_SEEN, Reason.ROOM_LOST)
    else:
        step.set_timer_once(TimerKind.LOOK, session.room_missed_at + bounds.LISTINGS_APART)


def _compare_people(step: Step, listed: tuple[Seen, ...]) -> None:
    for person in listed:
        known = {there.sid for there in step.session.participants}
        if person.sid not in known and person.sid not in step.session.gone:
            people.enter(step, person)
    sids = {person.sid for person in listed}
    for there in step.session.participants:
        if there.sid in sids:
            _mark(step, there, None)
        elif there.missed_at is None:
            _mark(step, there, step.at)
    missing = {there: there.missed_at for there in step.session.participants if there.missed_at is not None}
    for missed_at in missing.values():
        if step.at < missed_at + bounds.LISTINGS_APART:
            step.set_timer_once(TimerKind.LOOK, missed_at + bounds.LISTINGS_APART)
    for there, missed_at in missing.items():
        if step.at >= missed_at + bounds.LISTINGS_APART:
            gone = ParticipantLeft(at=step.at, sid=there.sid, identity=there.identity, kind=there.kind, raw=NOT_SEEN)
            people.left(step, gone)


def _mark(step: Step, there: Participant, missed_at: int | None) -> None:
    """Remember since when somebody is missing; None if they are there."""
    marked = tuple(
        replace(person, missed_at=missed_at) if person.sid == there.sid else person
        for person in step.session.participants
    )
    step.session = replace(step.session, participants=marked)


def _decide_look(step: Step) -> None:
    """Take the decision that hung on the room, once two listings agree."""
    session = step.session
    if session.look is None:
        return
    if session.look.absent_since is None:
        step.session = replace(session, look=replace(session.look, absent_since=step.at))
        step.set_timer_once(TimerKind.LOOK, step.at + bounds.LISTINGS_APART)
        return
    proved_at = session.look.absent_since + bounds.LISTINGS_APART
    if step.at < proved_at:
        step.set_timer_once(TimerKind.LOOK, proved_at)
        return
    step.session = replace(session, look=None)
    match session.look.why:
        case TimerKind.HOLD:
            presence.infer_gone(step)
        case TimerKind.AGENT if session.state is State.RECOVERING:
            agents.never_came(step)
        case TimerKind.AGENT:
            waited = f"agent_timeout = {session.policy.agent_timeout:g} s"
            ends.infer(step, Reason.AGENT_UNAVAILABLE, f"no agent took the dispatch within {waited}")
        case _:
            waited = f"join_timeout = {session.policy.join_timeout:g} s"
            ends.infer(step, Reason.USER_NEVER_JOINED, f"nobody who counts joined within {waited}")


def _after_end(step: Step, event: RoomSeen) -> None:
    """The room of an ended session: gone as it should be, kept for people, or to be swept."""
    if event.sid is None:
        rooms.lose(step, ROOM_GONE, told=True)
        return
    listed = tuple(
        Participant(sid=person.sid, identity=person.identity, kind=person.kind, counts=False) for person in event.people
    )
    step.session = replace(step.session, participants=listed)
    if ends.is_kept(step.session, event.sid):
        ends.room_emptied(step)
        return
    ends.sweep(step, event.sid)
    for person in listed:
        ends.turn_out(step, person.identity, person.kind)
