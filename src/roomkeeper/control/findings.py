"""What an explanation points at beyond the end: who and which setting cost time, money or a conversation. Pure.

A finding names the participant or the job, how long it took, and the setting that let it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from roomkeeper.lifecycle.actions import DeleteRoom, StopEgress
from roomkeeper.lifecycle.events import AgentLost, EgressEnded, EgressStarted, Noted, RoomFinished
from roomkeeper.lifecycle.evidence import exit_meaning
from roomkeeper.lifecycle.policy import Reuse
from roomkeeper.lifecycle.state import Standing, State
from roomkeeper.lifecycle.vocabulary import MACHINES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from roomkeeper.lifecycle.replay import Moment
    from roomkeeper.lifecycle.state import Session

TOO_LONG: Final = 10_000
"""Milliseconds by which a room or a recording may outlive its session before it is worth a finding."""
DEPARTURE: Final = "LiveKit closes a room departure_timeout (20 s unless set) after its last participant"


def find(story: Sequence[Moment]) -> list[str]:
    """Find what is worth pointing at, in the order of the story."""
    last = story[-1].session
    found = [*_absences(story), *_losses(story), *_nobody_came(story)]
    if last.ended_at is not None:
        found += [*_recordings(story, last), *_rooms(story, last), *_returns(story, last)]
    return found


def clock(milliseconds: int) -> str:
    """Write a length of time as `1:02:03.456`."""
    seconds, rest = divmod(max(0, milliseconds), 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"


# While it went on.


def _absences(story: Sequence[Moment]) -> Iterator[str]:
    """Find users who were gone for a while and came back: it was no end."""
    opened = story[0].event.at
    for moment in story:
        if moment.before is None:
            continue
        back = {person.identity for person in moment.session.participants if person.counts}
        for gone in moment.before.absent:
            if gone.identity in back and gone.identity not in {each.identity for each in moment.session.absent}:
                setting = f"hold.{gone.kind} = {moment.session.policy.hold_for(gone.kind):g} s"
                yield (
                    f"at {clock(gone.left_at - opened)} {gone.identity} {gone.words}, and was back after "
                    f"{clock(moment.event.at - gone.left_at)}, within {setting}: that was no end"
                )


def _losses(story: Sequence[Moment]) -> Iterator[str]:
    """Find jobs that died: what they could not do any more, what is kept of them, and who came after them."""
    opened, last = story[0].event.at, story[-1].session
    for place, moment in enumerate(story):
        event = moment.event
        epoch = moment.session.epoch_of(event.job) if isinstance(event, AgentLost) else None
        if not isinstance(event, AgentLost) or epoch is None or moment.before is None:
            continue
        known = moment.before.epoch_of(event.job)
        if known is not None and known.shipped:
            continue
        seqs = {each.event.seq for each in story if isinstance(each.event, Noted) and each.event.job == event.job}
        missing = max(seqs, default=0) - len(seqs)
        kept = f"{len(seqs)} lines of its spool are in the report, {missing or 'none'} missing"
        yield (
            f"at {clock(event.at - opened)} job {event.job} {exit_meaning(event.exit)}: its own end callbacks "
            f"(on_session_end, close handlers, shutdown callbacks) cannot have run; {kept}"
        )
        attempts = f"recover.attempts = {last.policy.recover_attempts}"
        if moment.before.end is not None or epoch.standing not in {Standing.OVER, Standing.FENCED}:
            continue
        again = next((each for each in story[place:] if each.session.state is State.LIVE), None)
        if again is None:
            yield f"nobody replaced it ({attempts} in recover.window = {last.policy.recover_window:g} s)"
        elif again is not moment:
            waited = clock(again.event.at - event.at)
            yield f"epoch {again.session.current} went on in its place after {waited} ({attempts})"


def _nobody_came(story: Sequence[Moment]) -> Iterator[str]:
    """Find a session in which no agent ever was, although somebody waited for one."""
    last = story[-1].session
    if last.end is None or last.had_agent or last.live_at is not None:
        return
    asked = sum(type(moment.event).__name__ == "DispatchAnswered" for moment in story)
    if asked:
        name = last.agent_name or "of any name"
        yield (
            f"LiveKit took {asked} dispatches for agent {name} and no worker came: see that one is registered under "
            f"that name, and is not over its load limit (agent_timeout = {last.policy.agent_timeout:g} s)"
        )


# After the end.


def _recordings(story: Sequence[Moment], last: Session) -> Iterator[str]:
    started: dict[str, int] = {}
    ended_at = last.ended_at or 0
    for moment in story:
        event = moment.event
        if isinstance(event, EgressStarted):
            started.setdefault(event.egress, event.at)
        elif isinstance(event, EgressEnded) and event.at - ended_at > TOO_LONG:
            length = clock(event.at - started[event.egress]) if event.egress in started else "of unknown length"
            asked = any(
                isinstance(action, StopEgress) and action.egress == event.egress
                for each in story
                for action in each.actions
            )
            stopped = "Roomkeeper asked for its stop at the end and that was not done" if asked else "nobody stopped it"
            yield (
                f"recording {event.egress} ({length}) ran {clock(event.at - ended_at)} longer than the session; "
                f"{stopped}, so it ran for as long as its room{_stayed(story, last, event.at)}; {DEPARTURE}, "
                "and hidden ones count there"
            )


def _rooms(story: Sequence[Moment], last: Session) -> Iterator[str]:
    ended_at, linger = last.ended_at or 0, last.policy.linger
    known = _sids_at_the_end(story)
    for moment in story:
        event = moment.event
        if not isinstance(event, RoomFinished) or event.at - ended_at <= TOO_LONG + linger * 1000:
            continue
        if event.sid not in known:
            continue  # made again afterwards; see `_returns`
        asked = next((each for each in story if any(isinstance(act, DeleteRoom) for act in each.actions)), None)
        if last.keeps_room or (asked is None or asked.event.at > event.at):
            why = "it was kept for those who were left to go on (transferred)"
        else:
            why = (
                f"its deletion was asked for after linger = {linger:g} s and not done: a dry run, or an API key "
                "without roomCreate; without Roomkeeper it is delete_room_on_close = False of the agent"
            )
        yield (
            f"room {event.sid} outlived the session by {clock(event.at - ended_at)}"
            f"{_stayed(story, last, event.at)}; {why}; {DEPARTURE}"
        )


def _stayed(story: Sequence[Moment], last: Session, until: int) -> str:
    """Name who was in the room after the end, and when the last of them left."""
    opened, ended_at = story[0].event.at, last.ended_at or 0
    there = [
        (moment.event.at, people)
        for moment in story
        if moment.before is not None
        and ended_at <= moment.event.at <= until
        and (people := [person for person in moment.before.participants if person.kind not in MACHINES])
    ]
    if not there:
        return ""
    at, people = there[-1]
    who = ", ".join(
        f"{person.identity} ({person.kind}{'' if person.counts else ', does not count'})" for person in people
    )
    return f"; still there: {who}, until {clock(at - opened)}"


def _returns(story: Sequence[Moment], last: Session) -> Iterator[str]:
    """Find rooms that came to life again after the end."""
    known = _sids_at_the_end(story)
    reuse = "never" if last.reuse is Reuse.NEVER else "after_end"
    for sid in last.sids:
        if sid not in known:
            yield f"room {sid} was made again after the end, with an old token; it was swept (reuse = {reuse})"


def _sids_at_the_end(story: Sequence[Moment]) -> tuple[str, ...]:
    return next(moment.session.sids for moment in story if moment.session.state is State.ENDED)
