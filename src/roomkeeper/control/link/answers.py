"""What a job is told. Pure.

What a session asked for is carried out later, perhaps out of order, perhaps twice. So a job is told how things are, not
what once was asked for: a wish that is no longer true makes no frame. Only a fence is for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from roomkeeper.lifecycle.actions import AcceptJob, EndAgent, FenceJob, MuteAgent, Warn
from roomkeeper.lifecycle.policy import plain
from roomkeeper.lifecycle.state import Standing, State, room_state
from roomkeeper.lifecycle.vocabulary import TimerKind
from roomkeeper.wire.link import Attached, EndNow, Fenced, Mute, Unmute, Warning  # noqa: A004 - see its definition

Word: TypeAlias = AcceptJob | FenceJob | MuteAgent | EndAgent | Warn
"""What a session asks to be told to a job."""

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roomkeeper.lifecycle.actions import Action
    from roomkeeper.lifecycle.state import Session
    from roomkeeper.wire.link import FromControl


def about(session: Session, action: Word) -> str | None:
    """Return the job that an action is about; None if there is none."""
    return session.agent.job if isinstance(action, Warn) else action.job


def to_attach(session: Session, actions: Iterable[Action], job: str, now: int, metadata: str) -> list[FromControl]:
    """Answer a job that attached.

    Args:
        session: As it is after the attach.
        actions: What the attach asked for.
        job: Which one.
        now: The database's clock, milliseconds.
        metadata: The application's, from the session's first dispatch.
    """
    answers: list[FromControl] = []
    for action in actions:
        match action:
            case AcceptJob() if action.job == job:
                answers.append(
                    Attached(
                        job=job,
                        epoch=action.epoch,
                        session=session.id,
                        state=room_state(session, now),
                        policy=plain(session.policy),
                        resumed=action.resumed,
                        muted=action.muted,
                        seq=session.epochs[action.epoch - 1].seq,
                        check_ins=session.check_ins,
                        limit_at=session.timers.get(TimerKind.LIMIT),
                        metadata=metadata,
                    )
                )
            case FenceJob() | EndAgent() if action.job == job:
                word = now_for(session, action)
                answers += [word] if word is not None else []
            case _:
                pass
    return answers


def now_for(session: Session, action: Word) -> FromControl | None:
    """Say what a job is to be told now of what its session once asked for; None: nothing.

    Args:
        session: As it is now.
        action: What it asked for.
    """
    match action:
        case FenceJob():
            return Fenced(job=action.job, why=action.why)
        case EndAgent():
            return _end(session, action)
        case MuteAgent():
            return _voice(session, action.job)
        case Warn():
            job, limit = session.agent.job, session.timers.get(TimerKind.LIMIT)
            return Warning(job=job, remaining=action.remaining) if job is not None and limit is not None else None
        case AcceptJob():
            return None  # whoever took the attach has answered it


def _end(session: Session, action: EndAgent) -> EndNow | None:
    end = session.end
    if end is None:
        return None
    return EndNow(
        job=action.job,
        reason=str(end.reason),
        message=session.policy.words(end.reason),
        detail=end.detail,
        goodbye=action.goodbye and session.state is State.ENDING,
    )


def _voice(session: Session, job: str) -> Mute | Unmute | None:
    """In a hand-over the successor is silent, and the one in charge falls silent once the successor is there."""
    epoch = session.epoch_of(job)
    if epoch is None or epoch.standing in {Standing.OVER, Standing.FENCED}:
        return None
    silent = epoch.number == session.successor or TimerKind.HAND_OVER in session.timers
    return Mute(job=job) if silent else Unmute(job=job)
