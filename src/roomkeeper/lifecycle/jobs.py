"""What workers say about their jobs, over the agent link and in the jobs' spools.

1. A job is told from another by its id, whatever place it had. What a worker says of one that is not in charge is kept,
   and decides nothing but whether a hand-over goes on and whether the report may be sent.
2. `lost` and `done` come after all that the job wrote: nothing more is to be waited for.
3. A broken link proves nothing. The lease does, and the room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomkeeper.lifecycle import agents, ends
from roomkeeper.lifecycle.actions import CreateDispatch, EmitEvent
from roomkeeper.lifecycle.evidence import exit_meaning
from roomkeeper.lifecycle.state import End, Epoch, Standing, State
from roomkeeper.lifecycle.values import replace
from roomkeeper.lifecycle.vocabulary import Dispatcher

if TYPE_CHECKING:
    from roomkeeper.lifecycle.events import (
        AgentDone,
        AgentLost,
        AgentYielded,
        GoodbyeOver,
        LeaseExpired,
        LinkLost,
        Noted,
        UserAway,
        UserBack,
    )
    from roomkeeper.lifecycle.step import Step


def lost(step: Step, event: AgentLost) -> None:
    """A job's process died, and all it wrote is in."""
    _shipped(step, event.job, lost=True, why=f"{event.job} {exit_meaning(event.exit)}")


def done(step: Step, event: AgentDone) -> None:
    """A job is over as it should be, and all it wrote is in."""
    _shipped(step, event.job, lost=False, why=f"{event.job} is done")


def _shipped(step: Step, job: str, *, lost: bool, why: str) -> None:
    epoch = step.session.epoch_of(job)
    if epoch is None or epoch.shipped:
        step.ignore(f"{job} is already over" if epoch else f"{job} never attached")
        return
    step.amend(replace(epoch, shipped=True, link_lost_at=None))
    _stopped(step, step.session.epochs[epoch.number - 1], lost=lost, why=why)


def lease_expired(step: Step, event: LeaseExpired) -> None:
    """A worker fell silent: its job is not in charge any more, though it may still run."""
    epoch = step.session.epoch_of(event.job)
    if epoch is None or not epoch.open or epoch.standing in {Standing.OVER, Standing.FENCED}:
        step.ignore(f"{event.job} is not in charge")
        return
    step.amend(replace(epoch, link_lost_at=epoch.link_lost_at or step.at))
    _stopped(step, step.session.epochs[epoch.number - 1], lost=True, why=f"the lease of {event.job} expired")


def _stopped(step: Step, epoch: Epoch, *, lost: bool, why: str) -> None:
    """A job cannot be counted on any more. What that means depends on who it was, and on what is decided."""
    session = step.session
    if session.state is State.ENDED:
        ends.settle(step)
    elif session.inferred is not None and epoch.shipped and epoch == ends.last_in_charge(session):
        ends.decide(step, session.inferred)
    elif epoch.number == session.successor:
        agents.drop_successor(step, epoch)
    elif epoch.number != session.current:
        return
    elif session.state is State.ENDING:
        agents.over(step, epoch)
        ends.finish(step)
    elif session.state is State.LIVE and session.successor is None and not lost:
        agents.over(step, epoch)
        ends.decide(step, End(reason=agents.farewell(session), at=step.at, because=f"{why} and gave no reason"))
    else:
        agents.gone(step, lost=lost, why=why)


def yielded(step: Step, event: AgentYielded) -> None:
    """A worker that is leaving asks for a successor of its agent."""
    session = step.session
    if session.agent.job != event.job:
        step.ignore(f"{event.job} is not in charge: there is nothing to hand over")
    elif session.next_agent is not None:
        _hurry(step, session.next_agent)
    elif session.dispatcher is Dispatcher.NOBODY:
        step.ignore("the application dispatches its agents: the worker has to drain")
    elif session.state is State.LIVE:
        number = len(session.epochs) + 1
        step.session = replace(session, epochs=(*session.epochs, Epoch(number=number)), successor=number)
        step.act(CreateDispatch(epoch=number))
    else:
        agents.gone(step, lost=False, why="handed over; the next agent comes when it is needed")


def _hurry(step: Step, successor: Epoch) -> None:
    """The worker asks again: a dispatch that no worker took is worth repeating."""
    if successor.job is None:
        step.act(CreateDispatch(epoch=successor.number))
    else:
        step.ignore("the successor is there")


def link_lost(step: Step, event: LinkLost) -> None:
    """A link broke: remember since when, and nothing else. The lease decides, or the room, or the worker's return."""
    epoch = step.session.epoch_of(event.job)
    if epoch is None or not epoch.open:
        step.ignore(f"{event.job} has nothing more to say")
        return
    step.amend(replace(epoch, link_lost_at=epoch.link_lost_at or step.at))


def goodbye_over(step: Step, event: GoodbyeOver) -> None:
    """The goodbye was said: the decided end may come."""
    if step.session.agent.job != event.job:
        step.ignore(f"{event.job} is not in charge")
        return
    agents.over(step, step.session.agent)
    ends.finish(step)


def away(step: Step, event: UserAway | UserBack, check: int) -> None:
    """Remember how many check-ins went unanswered, so that a replacement goes on from there."""
    if step.session.agent.job != event.job:
        step.ignore(f"{event.job} is not in charge")
        return
    step.session = replace(step.session, check_ins=check)


def noted(step: Step, event: Noted) -> None:
    """A line of a job's spool: kept for ever, once, whoever wrote it."""
    epoch = step.session.epoch_of(event.job) or agents.keep_place(step, event.job)
    if event.seq <= epoch.seq:
        step.ignore(f"line {event.seq} of {event.job} is already known")
        return
    step.amend(replace(epoch, seq=event.seq, link_lost_at=None))
    if event.what == "item":
        where = {"epoch": epoch.number, "seq": event.seq}
        step.act(EmitEvent(topic="item.added", data={**where, "item": dict(event.data)}))
    elif event.what == "started":
        agents.started(step, event.job)
    if step.session.state is State.ENDED:
        ends.late(step)
