"""The room itself, as webhooks and listings tell it.

1. Rooms are told apart by sid. What webhooks say about an earlier room of the session changes nothing.
2. A new room is adopted, whether its start was told or not; everybody who was in the old one has left it.
3. An agent whose link is up is waited for when its room goes: it may follow into the next one, or say that it is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomkeeper.lifecycle import agents, ends, presence
from roomkeeper.lifecycle.absence import forget, miss
from roomkeeper.lifecycle.actions import StopEgress, WriteRoomState
from roomkeeper.lifecycle.evidence import ROOM_GONE
from roomkeeper.lifecycle.state import State
from roomkeeper.lifecycle.values import replace
from roomkeeper.lifecycle.vocabulary import TimerKind

if TYPE_CHECKING:
    from roomkeeper.lifecycle.events import EgressEnded, EgressStarted, RoomFinished, RoomStarted
    from roomkeeper.lifecycle.reasons import Reason
    from roomkeeper.lifecycle.step import Step


def started(step: Step, event: RoomStarted) -> None:
    """A room of this name was created."""
    session = step.session
    if event.sid in session.sids:
        step.ignore(f"{event.sid} is known")
    elif session.state is State.ENDED:
        ends.sweep(step, event.sid)
    else:
        adopt(step, event.sid)


def finished(step: Step, event: RoomFinished) -> None:
    """The room is gone."""
    if event.sid != step.session.room_sid:
        step.ignore(f"{event.sid} is not the room this session lives in")
    else:
        lose(step, ROOM_GONE, told=True)


def adopt(step: Step, sid: str) -> None:
    """Take a room for the one the session lives in; with it goes everybody who was in another."""
    if step.session.room_sid is not None:
        lose(step, ROOM_GONE)  # Not told: a listing from before the new room, or a late word, may be what names it.
    session = step.session
    if session.state is State.ENDED:  # Losing its old room has ended it.
        ends.sweep(step, sid)
        return
    sids = session.sids if sid in session.sids else (*session.sids, sid)
    step.session = replace(session, sids=sids, room_sid=sid, room_missed_at=None, room_is_new=True)
    step.act(WriteRoomState(seq=session.seq))


def lose(step: Step, raw: str, cause: Reason | None = None, *, told: bool = False) -> None:
    """Everybody has left with the room.

    Args:
        step: The transition.
        raw: The word they left with, one of our own.
        cause: The reason if nobody returns, should the raw word not have it.
        told: True if the room's end was told; what was only concluded a later listing may correct.
    """
    session = step.session
    step.session = replace(session, room_sid=None, room_missed_at=None, keeps_room=False)
    forget(step, *(person.sid for person in session.participants), told=told)
    if session.state is State.ENDED:
        step.cancel(TimerKind.LINGER)
        return
    for person in session.users:
        miss(step, person, raw, cause=cause)
    if session.state is State.ENDING:
        ends.finish(step)
        return
    if session.is_present(session.agent.identity):
        agents.left_room(step, str(session.agent.identity), ROOM_GONE)
    presence.resolve(step)


def follow(step: Step, room_sid: str) -> bool:
    """Go along into the room that somebody is said to be in, if it is new; False for an earlier one."""
    session = step.session
    if room_sid in {"", session.room_sid}:
        return True
    if room_sid in session.sids:
        return False
    adopt(step, room_sid)
    return True


# Recordings.


def egress_started(step: Step, event: EgressStarted) -> None:
    """A recording began; one that begins after the end is stopped."""
    session = step.session
    if session.state is State.ENDED:
        step.act(StopEgress(egress=event.egress))
    elif event.egress in session.egresses:
        step.ignore(f"{event.egress} is known")
    else:
        step.session = replace(session, egresses=(*session.egresses, event.egress))


def egress_ended(step: Step, event: EgressEnded) -> None:
    """A recording is over."""
    session = step.session
    if event.egress not in session.egresses:
        step.ignore(f"{event.egress} is not running")
        return
    step.session = replace(session, egresses=tuple(other for other in session.egresses if other != event.egress))
