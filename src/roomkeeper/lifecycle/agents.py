"""Who is in charge: one agent at a time, and what happens when it goes.

1. The agent in charge is an epoch. Its number only grows; an epoch belongs to one job, a job to one epoch.
2. A job is accepted by compare-and-set: nobody is in charge, and its dispatch was for the current epoch or for none of
   ours. Any other job is fenced, removed from the room, and removed again should it rejoin. Its facts are kept.
3. An agent that never attaches (a stock one) is known by its name in the room, its leaving by the raw reason. A job
   that attaches goes before one that was only seen.
4. A loss costs one recovery attempt; leaving with the room, being done and handing over cost none.
5. The order of a replacement: the ghost's removal confirmed, people checked, then the dispatch.
6. In a hand-over the old agent goes on until the successor's session has started, and then until a pause. The successor
   waits muted, and takes what nobody took. Whichever goes first, the other stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomkeeper.lifecycle import bounds, ends, presence
from roomkeeper.lifecycle.actions import (
    AcceptJob,
    EmitEvent,
    EndAgent,
    FenceJob,
    MuteAgent,
    RemoveParticipant,
)
from roomkeeper.lifecycle.evidence import AgentLeft, departure
from roomkeeper.lifecycle.reasons import Reason
from roomkeeper.lifecycle.state import Epoch, Standing, State
from roomkeeper.lifecycle.values import replace
from roomkeeper.lifecycle.vocabulary import ParticipantKind, TimerKind

if TYPE_CHECKING:
    from roomkeeper.lifecycle.events import AgentAttached, ParticipantJoined, Seen
    from roomkeeper.lifecycle.state import Participant, Session
    from roomkeeper.lifecycle.step import Step


# Coming.


def attached(step: Step, event: AgentAttached) -> None:
    """Accept or fence a job that asks to be in charge."""
    session = step.session
    known = session.epoch_of(event.job)
    if known is not None:
        step.amend(replace(known, link_lost_at=None))
        _answer_again(step, known)
    elif (successor := _expected_successor(step, event)) is not None:
        step.amend(replace(successor, job=event.job, identity=event.identity, standing=Standing.MUTED))
        step.act(AcceptJob(job=event.job, epoch=successor.number, resumed=True, muted=True))
    elif _may_take_charge(step, event):
        place = session.agent
        step.amend(replace(place, job=event.job, identity=event.identity))
        step.act(AcceptJob(job=event.job, epoch=place.number, resumed=place.number > 1, muted=False))
        if session.is_present(event.identity):
            _take_charge(step)
        presence.expect_again(step)
        presence.resolve(step)
    else:
        _fence(step, event)


def _answer_again(step: Step, epoch: Epoch) -> None:
    """A job reports after its link was down: tell it again where it stands."""
    session = step.session
    job = str(epoch.job)
    if session.state is State.ENDED or epoch.standing in {Standing.OVER, Standing.FENCED}:
        step.act(FenceJob(job=job, why=_why_fenced(step)))
        return
    muted = epoch.standing is Standing.MUTED
    step.act(AcceptJob(job=job, epoch=epoch.number, resumed=epoch.number > 1, muted=muted))
    if session.end is not None:
        step.act(EndAgent(job=job, reason=session.end.reason, detail=session.end.detail, goodbye=True))


def _expected_successor(step: Step, event: AgentAttached) -> Epoch | None:
    """Find the place that a hand-over keeps for this job; None if there is none."""
    place = step.session.next_agent
    if place is None or not step.open:
        return None
    return place if place.job is None and place.number == event.epoch else None


def _may_take_charge(step: Step, event: AgentAttached) -> bool:
    session = step.session
    return step.open and session.agent.job is None and event.epoch in {None, session.current}


def _fence(step: Step, event: AgentAttached) -> None:
    """Keep a place for the job's facts, and the job out of the talk."""
    session = step.session
    keep_place(step, event.job, event.identity)
    step.act(FenceJob(job=event.job, why=_why_fenced(step)))
    if session.is_present(event.identity) and event.identity != session.agent.identity:
        step.act(RemoveParticipant(identity=event.identity, why="it is not in charge"))


def keep_place(step: Step, job: str, identity: str | None = None) -> Epoch:
    """Give a job that is not in charge an epoch all the same: its facts are kept by it."""
    epochs = step.session.epochs
    epoch = Epoch(number=len(epochs) + 1, standing=Standing.FENCED, job=job, identity=identity)
    step.session = replace(step.session, epochs=(*epochs, epoch))
    return epoch


def _why_fenced(step: Step) -> str:
    if not step.open:
        return "the end of the session is decided"
    return f"epoch {step.session.current} is in charge or expected"


def appeared(step: Step, person: Participant) -> None:
    """An agent is in the room: the one in charge, a ghost, or one that is not ours to care for."""
    session = step.session
    agent, successor = session.agent, session.next_agent
    if person.identity == agent.identity:
        _take_charge(step)
    elif successor is not None and successor.identity == person.identity:
        return  # it tells when its session has started
    elif person.identity in presence.ghosts(session):
        step.act(RemoveParticipant(identity=person.identity, why="it is no longer in charge"))
    elif agent.identity is None and not person.foreign:
        step.amend(replace(agent, identity=person.identity))
        _take_charge(step)


def is_foreign(session: Session, person: ParticipantJoined | Seen) -> bool:
    """Say whether an agent is none that we wait for: of another name, an avatar, or one that only listens."""
    return bool(person.on_behalf) or person.hidden or person.agent_name not in {"", session.agent_name}


def _take_charge(step: Step) -> None:
    step.cancel(TimerKind.AGENT_BACK)
    step.session = replace(step.session, room_is_new=False)
    step.amend(replace(step.session.agent, standing=Standing.IN_CHARGE))


def started(step: Step, job: str) -> None:
    """A job's session has started. A successor's hears and reads from now on: let the old agent find a pause."""
    session, successor = step.session, step.session.next_agent
    if successor is None or successor.job != job:
        return
    step.act(MuteAgent(job=str(session.agent.job), muted=True))
    step.set_timer_once(TimerKind.HAND_OVER, step.at + bounds.HAND_OVER_BOUND)


# Going.


def left_room(step: Step, identity: str, raw: str) -> None:
    """The agent in charge, or the successor of a hand-over, is no longer in the room."""
    session = step.session
    successor = session.next_agent
    if successor is not None and identity == successor.identity != session.agent.identity:
        drop_successor(step, successor)
        return
    what = departure(raw).agent
    if session.agent.standing is Standing.EXPECTED:
        # It was there, though its coming was never told.
        step.amend(replace(session.agent, standing=Standing.IN_CHARGE))
        session = step.session
    agent = session.agent
    words = f"{identity} left the room with {raw}"
    if session.state is State.ENDING:
        if what is not AgentLeft.REJOINING:
            over(step, agent)
            ends.finish(step)
    elif what is AgentLeft.REJOINING or (what is not AgentLeft.LOST and agent.open):
        step.set_timer(TimerKind.AGENT_BACK, step.at + bounds.AGENT_WORD)
    elif what is AgentLeft.FAREWELL and session.state is State.LIVE and _stand_in(session) is None:
        ends.infer(step, farewell(session), f"{words}, gave no reason, and never attached")
    else:
        gone(step, lost=what is AgentLeft.LOST, why=words)


def farewell(session: Session) -> Reason:
    """Say what it means that an agent takes its leave without a reason: people who stay together were transferred."""
    together = {person.identity for person in session.users}
    return Reason.TRANSFERRED if len(together) > 1 else Reason.AGENT_LEFT


def gone(step: Step, *, lost: bool, why: str) -> None:
    """Nobody is in charge any more: fence the one that was, and let the next one come.

    Args:
        step: The transition.
        lost: True if it did not mean to go: that costs an attempt.
        why: For the one that was, and for `explain`.
    """
    agent = step.session.agent
    over(step, agent)
    step.cancel(TimerKind.AGENT_BACK, TimerKind.HAND_OVER, TimerKind.DISPATCH)
    if lost:
        count_loss(step, why)
    if agent.open:
        assert agent.job is not None  # noqa: S101 - for the type checker: an open epoch has a job
        step.act(FenceJob(job=agent.job, why=why))
    session = step.session
    if session.successor is not None:
        step.session = replace(session, current=session.successor, successor=None)
        _promote(step)
    else:
        number, identity = len(session.epochs) + 1, _stand_in(session)
        step.session = replace(
            session, epochs=(*session.epochs, Epoch(number=number, identity=identity)), current=number
        )
        if identity is not None:
            _take_charge(step)
    for identity in presence.ghosts(step.session):
        step.act(RemoveParticipant(identity=identity, why="it is no longer in charge"))
    presence.resolve(step)


def _stand_in(session: Session) -> str | None:
    """Find an agent that came before the last one was known to be gone: LiveKit Cloud sends one by itself.

    Only where agents do not attach: the successor of one that did attaches too, and its avatar must not pass for it.
    """
    if session.agent.job is not None:
        return None
    known = {epoch.identity for epoch in session.epochs}
    agents = (each for each in session.participants if each.kind is ParticipantKind.AGENT and not each.foreign)
    return next((agent.identity for agent in agents if agent.identity not in known), None)


def over(step: Step, agent: Epoch) -> None:
    """Close an epoch that is in charge, or would have been."""
    standing = Standing.OVER if agent.standing is Standing.IN_CHARGE else Standing.FENCED
    step.amend(replace(agent, standing=standing))


def _promote(step: Step) -> None:
    """The successor takes over: it may speak."""
    agent = step.session.agent
    if agent.job is None:
        return
    step.act(MuteAgent(job=agent.job, muted=False))
    step.amend(replace(agent, standing=Standing.EXPECTED))
    if step.session.is_present(agent.identity):
        _take_charge(step)


def count_loss(step: Step, why: str) -> None:
    """Spend a recovery attempt; those outside the window are forgotten."""
    session = step.session
    step.session = replace(session, losses=(*presence.recent_losses(session, step.at), step.at))
    step.act(EmitEvent(topic="session.agent_lost", data={"why": why, "epoch": session.current, "at": step.at}))


def never_came(step: Step) -> None:
    """A replacement did not come in time: that costs an attempt too."""
    why = f"no agent came within agent_timeout = {step.session.policy.agent_timeout:g} s"
    if step.session.agent.job is not None:
        gone(step, lost=True, why=why)
        return
    count_loss(step, why)
    step.cancel(TimerKind.DISPATCH)
    presence.resolve(step)


def drop_successor(step: Step, successor: Epoch) -> None:
    """The successor of a hand-over is gone before it took over: the old agent stays."""
    session = step.session
    step.amend(replace(successor, standing=Standing.FENCED))
    step.session = replace(step.session, successor=None)
    if successor.open:
        step.act(FenceJob(job=str(successor.job), why="it left before it took over"))
    if TimerKind.HAND_OVER in session.timers:
        step.cancel(TimerKind.HAND_OVER)
        step.act(MuteAgent(job=str(session.agent.job), muted=False))
