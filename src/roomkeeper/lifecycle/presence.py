"""The state as it follows from who is there, and what is done about whoever is not.

| users who count | agent in charge | state |
|---|---|---|
| there | there | `live` |
| there | not there, but was once | `recovering` |
| there | has not been there | `waiting` |
| gone, all | either | `holding` |
| have not come | either | `waiting` |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomkeeper.lifecycle import bounds, ends
from roomkeeper.lifecycle.actions import CreateDispatch, EmitEvent, LookAtRoom, RemoveParticipant
from roomkeeper.lifecycle.reasons import Reason
from roomkeeper.lifecycle.state import Look, Standing, State
from roomkeeper.lifecycle.values import replace
from roomkeeper.lifecycle.vocabulary import Dispatcher, TimerKind

if TYPE_CHECKING:
    from roomkeeper.lifecycle.state import Absent, Session
    from roomkeeper.lifecycle.step import Step


def resolve(step: Step) -> None:
    """Bring the session into the state that its people and its agent make."""
    session = step.session
    if not step.open or ends.stands(session):
        return
    if session.users and session.agent_is_here:
        _live(step)
    elif session.users:
        _without_agent(step)
    elif session.absent:
        _without_users(step)


def _live(step: Step) -> None:
    step.cancel(TimerKind.AGENT, TimerKind.DISPATCH, TimerKind.HOLD)
    ends.withdraw(step)
    step.session = replace(step.session, look=None)
    step.enter(State.LIVE)
    if step.session.live_at is None:
        step.session = replace(step.session, live_at=step.at)
        start_limit(step)


def _without_agent(step: Step) -> None:
    step.cancel(TimerKind.HOLD)
    step.enter(State.RECOVERING if step.session.had_agent else State.WAITING)
    await_agent(step)


def await_agent(step: Step) -> None:
    """See to it that the waiting user gets an agent, or the reason why there is none."""
    session = step.session
    if session.inferred is not None:
        return
    attempts = 0 if session.dispatcher is Dispatcher.NOBODY else session.policy.recover_attempts
    lost = len(recent_losses(session, step.at) if attempts else session.losses)
    if lost > attempts and session.agent.job is None:
        window = f"recover.window = {session.policy.recover_window:g} s"
        allowed = f"recover.attempts = {attempts}"
        ends.infer(step, Reason.AGENT_FAILED, f"the agent was lost {lost} times within {window}, {allowed}")
        return
    if session.look is None:
        step.set_timer_once(TimerKind.AGENT, step.at + bounds.millis(session.policy.agent_timeout))
    if TimerKind.DISPATCH not in session.timers:
        dispatch(step, first=session.room_is_new and session.dispatcher is Dispatcher.ROOM)


def attend(step: Step, before: Session) -> None:
    """Keep count of who is there, and tell whoever watches where no change of state tells.

    Args:
        step: The transition, all but over.
        before: The session that it began with.
    """
    session = step.session
    if session is before:
        return  # The event was ignored: nobody came or went.
    idle = session.agent.identity is not None and not session.users and session.state is not State.ENDED
    if idle != (session.idle_since is not None):
        step.session = session = replace(session, idle_since=step.at if idle else None)
    if _attending(session) == _attending(before):
        return
    step.session = session = replace(session, attendance=session.attendance + 1)
    if session.seq == before.seq and session.state is not State.ENDED:
        step.act(EmitEvent(topic="session.changed", data={"attendance": session.attendance}))


def _attending(session: Session) -> tuple[frozenset[str], str | None]:
    return frozenset(person.identity for person in session.users), session.agent.identity


def expect_again(step: Step) -> None:
    """An agent has reported while the room was looked at because none came: it has that time again, to join."""
    session = step.session
    if session.look is not None and session.look.why is TimerKind.AGENT:
        step.session = replace(session, look=None)


def recent_losses(session: Session, now: int) -> tuple[int, ...]:
    """When agents were lost, as far back as the policy looks."""
    window = bounds.millis(session.policy.recover_window)
    return tuple(at for at in session.losses if now - at < window)


def dispatch(step: Step, *, first: bool = False) -> None:
    """Send an agent, once the last one is out of the room.

    Args:
        step: The transition.
        first: True if the room's own configuration is sending one just now: then only see later whether it came.
    """
    session = step.session
    if session.dispatcher is Dispatcher.NOBODY:
        return
    step.set_timer(TimerKind.DISPATCH, step.at + bounds.DISPATCH_AGAIN)
    lingering = ghosts(session)
    for identity in lingering:
        step.act(RemoveParticipant(identity=identity, why="it is no longer in charge"))
    if not (lingering or first or session.agent.job):
        step.act(CreateDispatch(epoch=session.current))


def ghosts(session: Session) -> tuple[str, ...]:
    """Name the agents in the room that must not be there: they were in charge, or never were allowed to be."""
    own = {epoch.identity for epoch in session.epochs if epoch.number in {session.current, session.successor}}
    return tuple(
        epoch.identity
        for epoch in session.epochs
        if epoch.job is not None
        and epoch.identity is not None
        and epoch.standing in {Standing.OVER, Standing.FENCED}
        and epoch.identity not in own
        and session.is_present(epoch.identity)
    )


def _without_users(step: Step) -> None:
    step.cancel(TimerKind.AGENT, TimerKind.DISPATCH)
    until = awaited(step.session).until
    if step.session.state is not State.HOLDING or until > step.at:
        step.session = replace(step.session, look=None)
        ends.withdraw(step)
    session = step.session
    if until > step.at:
        step.enter(State.HOLDING, until=until)
        step.set_timer(TimerKind.HOLD, until)
    elif TimerKind.HOLD not in session.timers and session.look is None and session.inferred is None:
        infer_gone(step)


def infer_gone(step: Step) -> None:
    """Nobody returns: end for the reason that the one we waited for left with."""
    gone = awaited(step.session)
    held = "no return expected" if gone.until <= gone.left_at else f"no return within hold.{gone.kind}"
    ends.infer(step, gone.cause, f"{gone.identity} {gone.words}; {held}")
    if step.open:
        step.enter(State.HOLDING, until=step.session.timers[TimerKind.WORD])


def awaited(session: Session) -> Absent:
    """Find the absent user whose hold runs longest; among equals the last to leave."""
    return max(reversed(session.absent), key=lambda absent: absent.until)


def start_limit(step: Step) -> None:
    """Start the clock of the time limit, warnings and all."""
    policy = step.session.policy
    if policy.time_limit is None:
        return
    limit = step.at + bounds.millis(policy.time_limit)
    step.set_timer(TimerKind.LIMIT, limit)
    next_warning(step)


def next_warning(step: Step) -> None:
    """Set the alarm for the next warning before the time limit, if there is one to come."""
    limit = step.session.timers[TimerKind.LIMIT]
    coming = [limit - bounds.millis(before) for before in step.session.policy.time_limit_warn]
    if due := [at for at in coming if at > step.at]:
        step.set_timer(TimerKind.WARNING, min(due))


def look(step: Step, why: TimerKind) -> None:
    """Make the decision of an alarm hang on what the room shows."""
    step.session = replace(step.session, look=Look(why=why))
    step.act(LookAtRoom(why=f"{why} timer"))
