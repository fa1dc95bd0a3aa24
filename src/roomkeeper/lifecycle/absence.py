"""Who counts, and how long we wait for one of them who is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomkeeper.lifecycle import bounds
from roomkeeper.lifecycle.evidence import NOT_SEEN, ROOM_GONE, call_meaning, call_reason, departure
from roomkeeper.lifecycle.policy import Kind
from roomkeeper.lifecycle.reasons import Reason
from roomkeeper.lifecycle.state import Absent
from roomkeeper.lifecycle.values import replace
from roomkeeper.lifecycle.vocabulary import MACHINES, ParticipantKind

if TYPE_CHECKING:
    from roomkeeper.lifecycle.events import ParticipantLeft
    from roomkeeper.lifecycle.policy import Policy
    from roomkeeper.lifecycle.state import Participant
    from roomkeeper.lifecycle.step import Step

REMEMBERED = 100
"""How many connections that ended are remembered; webhooks are late by half a minute at most."""


def treated_as(kind: ParticipantKind) -> Kind:
    """Say which part of the policy holds for a participant."""
    match kind:
        case ParticipantKind.STANDARD:
            return Kind.WEB
        case ParticipantKind.SIP:
            return Kind.SIP
        case _:
            return Kind.OTHER


def counts(policy: Policy, identity: str, kind: ParticipantKind, *, hidden: bool) -> bool:
    """Say whether somebody keeps the session alive."""
    return kind not in MACHINES and policy.counts_for(identity, treated_as(kind), hidden=hidden)


def forget(step: Step, *sids: str, told: bool = True) -> None:
    """Take connections out of the room: for good if that was told, until further notice if it was only seen."""
    session = step.session
    people = tuple(person for person in session.participants if person.sid not in sids)
    gone = (*session.gone, *sids)[-REMEMBERED:] if told else session.gone
    step.session = replace(session, participants=people, gone=gone)


def miss(
    step: Step,
    person: Participant,
    raw: str,
    event: ParticipantLeft | None = None,
    *,
    cause: Reason | None = None,
    left_at: int | None = None,
) -> None:
    """Wait for a user who is gone, as long as the policy says; not at all if the departure was final.

    Args:
        step: The transition.
        person: Who is gone.
        raw: The word they left with.
        event: What told it; None if only the absence was seen.
        cause: The reason if the raw word does not have it.
        left_at: When they left, if that was before this event.
    """
    session = step.session
    kind = treated_as(person.kind)
    meaning = departure(raw)
    reason = cause or (meaning.caller if kind is Kind.SIP else meaning.user)
    final = meaning.final
    words = f"left with {raw} ({meaning.meaning})"
    if event is not None and kind is Kind.SIP:
        if event.referred:
            reason, final, words = Reason.TRANSFERRED, True, f"was handed elsewhere by REFER ({raw})"
        elif refused := call_reason(event.sip_status):
            reason, final, words = refused, True, f"{words}, SIP: {call_meaning(event.sip_status)}"
    since = step.at if left_at is None else left_at
    until = since if final else since + bounds.millis(session.policy.hold_for(kind))
    absent = Absent(
        sid=person.sid,
        identity=person.identity,
        kind=kind,
        left_at=since,
        until=until,
        cause=reason,
        told=event is not None and raw not in {NOT_SEEN, ROOM_GONE},
        words=words,
    )
    others = tuple(gone for gone in session.absent if gone.identity != person.identity and gone.until > step.at)
    step.session = replace(session, absent=(*others, absent))
