"""What the session's alarms do, and what a start of the control plane does to them.

1. An alarm that would end the session for an absence looks at the room first.
2. The control plane was not there to see what happened while it was down: at its start every alarm that decides
   something is put off until spools and webhooks had their time, and the room is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from roomkeeper.lifecycle import agents, bounds, ends, presence
from roomkeeper.lifecycle.actions import EmitEvent, LookAtRoom, Warn
from roomkeeper.lifecycle.reasons import Reason
from roomkeeper.lifecycle.state import End, State
from roomkeeper.lifecycle.values import replace
from roomkeeper.lifecycle.vocabulary import TimerKind

if TYPE_CHECKING:
    from roomkeeper.lifecycle.events import ControlStarted, LookFailed, TimerFired
    from roomkeeper.lifecycle.step import Step

_DECIDE = (
    TimerKind.JOIN,
    TimerKind.AGENT,
    TimerKind.DISPATCH,
    TimerKind.HOLD,
    TimerKind.WORD,
    TimerKind.AGENT_BACK,
    TimerKind.LIMIT,
    TimerKind.SETTLE,
)


def fired(step: Step, event: TimerFired) -> None:
    """Do what an alarm was set for. `machine` has seen to it that it is set and due."""
    session = step.session
    left = {kind: at for kind, at in session.timers.items() if kind is not event.kind}
    step.session = replace(session, timers=left)
    match event.kind:
        case TimerKind.JOIN | TimerKind.AGENT | TimerKind.HOLD:
            presence.look(step, event.kind)
        case TimerKind.DISPATCH:
            presence.dispatch(step)
        case TimerKind.WORD:
            assert session.inferred is not None  # noqa: S101 - for the type checker: set with the timer
            ends.decide(step, session.inferred)
        case TimerKind.AGENT_BACK:
            _not_back(step)
        case TimerKind.HAND_OVER:
            agents.gone(step, lost=False, why="it found no pause to hand over in")
        case TimerKind.WARNING:
            _warn(step)
        case TimerKind.LIMIT:
            limit = f"time_limit = {session.policy.time_limit or 0:g} s"
            ends.decide(step, End(reason=Reason.TIME_LIMIT, at=step.at, because=f"{limit} is over"), goodbye=True)
        case TimerKind.LOOK:
            step.act(LookAtRoom(why="absence is two listings"))
        case TimerKind.GOODBYE:
            ends.finish(step)
        case TimerKind.LINGER:
            ends.lingered(step)
        case TimerKind.SETTLE:
            ends.report(step)
        case _:
            assert_never(event.kind)


def _not_back(step: Step) -> None:
    """The agent left and nothing came after it. If it went with its room, that was no fault of its own."""
    session = step.session
    with_room = session.room_sid is None and bool(session.sids)
    agents.gone(step, lost=not with_room, why="it left the room and did not come back")


def _warn(step: Step) -> None:
    remaining = step.session.timers[TimerKind.LIMIT] - step.at
    step.act(Warn(remaining=remaining))
    step.act(EmitEvent(topic="session.warned", data={"remaining": remaining}))
    presence.next_warning(step)


def look_failed(step: Step, event: LookFailed) -> None:
    """The room API did not answer: ask again later, conclude nothing."""
    step.set_timer_once(TimerKind.LOOK, step.at + bounds.LISTINGS_APART)
    step.ignore(f"an error of the room API is not absence: {event.error}")


def control_started(step: Step, event: ControlStarted) -> None:
    """Give everything that happened meanwhile its time to arrive."""
    clear = event.at + bounds.SPOOL_GRACE
    step.session = replace(step.session, clear_from=clear)
    limit = step.session.timers.get(TimerKind.LIMIT)
    for kind in _DECIDE:
        if step.session.timers.get(kind, clear) < clear:
            step.set_timer(kind, clear)
    if step.session.state is State.LIVE and limit != step.session.timers.get(TimerKind.LIMIT):
        step.show()
    if step.session.state is State.HOLDING:
        ends_at = max(step.session.timers.get(kind, 0) for kind in (TimerKind.HOLD, TimerKind.WORD))
        step.enter(State.HOLDING, until=max(ends_at, step.session.until or 0))
    step.act(LookAtRoom(why="the control plane was away"))
