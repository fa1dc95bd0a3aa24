"""How a session ends: inferred or asked for, decided once, told to everybody, reported, swept.

1. An end that somebody asked for is decided at once. An end that is only inferred waits for the word of an agent that
   may still have one to give: its spool after a start of the control plane, a broken link, or the last seconds.
2. A decided end with an agent in charge and a user to hear it becomes `ending` until the goodbye is over; else `ended`.
3. On `ended` everybody is told first; the room goes after the linger, the report once every agent's spool is in.
4. What happens after the end is a fact for the report's next revision. Whoever comes back is told and swept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomkeeper.lifecycle import bounds
from roomkeeper.lifecycle.actions import (
    DeleteRoom,
    EndAgent,
    FenceJob,
    RemoveParticipant,
    SendReport,
    StopEgress,
    WriteRoomState,
)
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import End, Epoch, Standing, State
from roomkeeper.lifecycle.values import replace
from roomkeeper.lifecycle.vocabulary import MACHINES, ParticipantKind, TimerKind

if TYPE_CHECKING:
    from roomkeeper.lifecycle.events import EndAsked
    from roomkeeper.lifecycle.state import Session
    from roomkeeper.lifecycle.step import Step

_STAND = frozenset({Reason.ROOM_DELETED, Reason.AGENT_LEFT, Reason.TRANSFERRED})
"""Inferred ends that a return of the user does not undo: they follow from what somebody did, not from an absence."""


def last_in_charge(session: Session) -> Epoch | None:
    """Find the agent whose word about the end counts: the one in charge, else the last one that was."""
    if session.agent.job is not None:
        return session.agent
    return next((epoch for epoch in reversed(session.epochs) if epoch.standing is Standing.OVER), None)


def asked(step: Step, event: EndAsked) -> None:
    """Decide the end that somebody asks for, if they may."""
    session = step.session
    words = f"{event.by} asked for {event.reason}"
    if event.by is By.USER:
        if event.reason is not Reason.USER_ENDED:
            step.ignore(f"a user may ask for user_ended only, not for {event.reason}")
            return
        if not session.may_end_for_all(event.identity):
            step.ignore(f"ends_for_all = {session.policy.ends_for_all}: {event.identity} may only leave")
            return
        words = f"{event.identity} pressed End"
    if event.by is By.AGENT:
        last = last_in_charge(session)
        if last is None or last.job != event.job:
            step.ignore(f"{event.job} is not in charge: its end is a fact, no decision")
            return
    end = End(reason=event.reason, at=step.at, because=words, detail=event.detail, data=event.data)
    decide(step, end, goodbye=True, by_agent=event.by is By.AGENT)


def infer(step: Step, reason: Reason, because: str, *, await_word: bool = False) -> None:
    """Decide an end that nobody asked for, or let it wait for the agent's own word.

    Args:
        step: The transition.
        reason: What the facts say.
        because: The decisive fact and the setting it met.
        await_word: True if the agent is expected to say within seconds what really happened.
    """
    session = step.session
    clear = session.clear_from
    last = last_in_charge(session)
    if last is not None and last.open:
        if last.link_lost_at is not None:
            clear = max(clear, last.link_lost_at + bounds.SPOOL_GRACE)
        elif await_word:
            clear = max(clear, step.at + bounds.AGENT_WORD)
    end = End(reason=reason, at=step.at, because=because)
    if clear <= step.at:
        decide(step, end)
    elif session.inferred is None:
        step.session = replace(session, inferred=end)
        step.set_timer(TimerKind.WORD, clear)


def stands(session: Session) -> bool:
    """Say whether an inferred end is pending that no return undoes."""
    return session.inferred is not None and session.inferred.reason in _STAND


def withdraw(step: Step) -> None:
    """Drop an inferred end, because what it was inferred from is no longer so."""
    if step.session.inferred is not None:
        step.session = replace(step.session, inferred=None)
        step.cancel(TimerKind.WORD)


def decide(step: Step, end: End, *, goodbye: bool = False, by_agent: bool = False) -> None:
    """Take the one decision to end.

    Args:
        step: The transition.
        end: What was decided.
        goodbye: True if the agent may say goodbye, should it and a user be there.
        by_agent: True if the agent asked, so that it need not be told.
    """
    session = step.session
    step.session = replace(session, end=end, inferred=None, look=None)
    agent = session.agent
    if not (goodbye and session.state is State.LIVE and agent.job is not None):
        finish(step)
        return
    step.cancel(*session.timers)
    step.set_timer(TimerKind.GOODBYE, step.at + bounds.GOODBYE_BOUND)
    step.enter(State.ENDING)
    _dismiss_successor(step)
    if not by_agent:
        step.act(EndAgent(job=agent.job, reason=end.reason, detail=end.detail, goodbye=True))


def finish(step: Step) -> None:
    """End for good, for the decided reason: tell everybody, free everything."""
    session = step.session
    end = session.end
    assert end is not None  # noqa: S101 - for the type checker: `decide` comes first
    step.cancel(*session.timers)
    people = any(person.kind not in MACHINES for person in session.participants)
    kept = end.reason is Reason.TRANSFERRED and people
    step.session = replace(step.session, ended_at=step.at, keeps_room=kept)
    step.enter(State.ENDED)
    for egress in session.egresses:
        step.act(StopEgress(egress=egress))
    _dismiss_successor(step)
    agent = session.agent
    if agent.open and agent.standing in {Standing.EXPECTED, Standing.IN_CHARGE}:
        assert agent.job is not None  # noqa: S101 - for the type checker: an open epoch has a job
        step.act(EndAgent(job=agent.job, reason=end.reason, detail=end.detail, goodbye=False))
    elif agent.job is None and agent.identity is not None and session.is_present(agent.identity):
        step.act(RemoveParticipant(identity=agent.identity, why="the session has ended"))
    if session.room_sid is not None or session.participants:
        step.set_timer(TimerKind.LINGER, step.at + bounds.millis(session.policy.linger))
    settle(step)


def _dismiss_successor(step: Step) -> None:
    """Send away the agent of a hand-over that the end overtook."""
    successor = step.session.next_agent
    if successor is None:
        return
    step.session = replace(step.session, successor=None)
    step.amend(replace(successor, standing=Standing.FENCED))
    if successor.job is not None:
        step.act(FenceJob(job=successor.job, why="the session ends before it took over"))


# The report.


def settle(step: Step) -> None:
    """Send the report if every agent's facts are in; else wait for them, but not for ever."""
    session = step.session
    if session.report and not session.unreported:
        return
    if any(epoch.open and epoch.standing is not Standing.FENCED for epoch in session.epochs):
        step.set_timer_once(TimerKind.SETTLE, step.at + bounds.SETTLE)
    else:
        report(step)


def late(step: Step) -> None:
    """Note that a fact came after the end: it belongs into the report, or into its next revision."""
    step.session = replace(step.session, unreported=True)
    step.set_timer_once(TimerKind.SETTLE, step.at + bounds.SETTLE)


def report(step: Step) -> None:
    """Send the first report, or a revision if facts came since."""
    session = step.session
    step.cancel(TimerKind.SETTLE)
    step.session = replace(step.session, report=session.report + 1, unreported=False)
    step.act(SendReport(revision=step.session.report))


# The room after the end.


def sweep(step: Step, sid: str | None) -> None:
    """Empty a room that lives although its session ended: let its page read why, then delete it.

    Args:
        step: The transition.
        sid: The room's; None if the source did not say.
    """
    session = step.session
    if sid is not None and sid not in session.sids:
        # Whoever has a token makes it again as often as they like: the first rooms and the latest are remembered.
        kept = bounds.SIDS_KEPT // 2
        sids = (
            session.sids if len(session.sids) < bounds.SIDS_KEPT else (*session.sids[:kept], *session.sids[1 - kept :])
        )
        step.session = replace(session, sids=(*sids, sid))
    if sid is not None:
        step.session = replace(step.session, room_sid=sid)
    step.session = replace(step.session, keeps_room=False)
    step.act(WriteRoomState(seq=session.seq))
    step.set_timer_once(TimerKind.LINGER, step.at + bounds.SWEEP_AFTER)


def is_kept(session: Session, sid: str | None) -> bool:
    """Say whether a room is the one that was kept for people, and no later one of its name.

    Args:
        session: It has ended.
        sid: The room's; None if the source did not say.
    """
    return session.keeps_room and (sid is None or session.room_sid in {None, sid})


def turn_out(step: Step, identity: str, kind: ParticipantKind) -> None:
    """Remove an agent that comes after the end, before it speaks; people may read why first."""
    if kind is ParticipantKind.AGENT:
        step.act(RemoveParticipant(identity=identity, why="the session has ended"))


def room_emptied(step: Step) -> None:
    """Free a room that was kept for people, once the last of them has left it."""
    session = step.session
    if session.keeps_room and all(person.kind in MACHINES for person in session.participants):
        step.session = replace(session, keeps_room=False)
        step.set_timer(TimerKind.LINGER, step.at + bounds.millis(session.policy.linger))


def lingered(step: Step) -> None:
    """Delete the room after the linger; of a room kept for people, only the agent goes."""
    session = step.session
    if not session.keeps_room:
        step.act(DeleteRoom(room=session.room, sid=session.room_sid))
    elif session.agent.identity is not None and session.is_present(session.agent.identity):
        step.act(RemoveParticipant(identity=session.agent.identity, why="its part is over"))
