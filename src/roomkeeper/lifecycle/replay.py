"""A session from its journal: always the same one.

The journal holds every event of a session in order, beginning with `SessionOpened`. Actions are not replayed into the
world; they show what was asked for, and why something was ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from roomkeeper.errors import IllegalCall
from roomkeeper.lifecycle.events import SessionOpened
from roomkeeper.lifecycle.machine import begin, transition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from roomkeeper.lifecycle.actions import Action
    from roomkeeper.lifecycle.events import Event
    from roomkeeper.lifecycle.state import Session


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a journal, and what it did.

    Attributes:
        event: What happened.
        before: The session that it met; None for the first event.
        session: The session after it.
        actions: What was asked for.
    """

    event: SessionOpened | Event
    before: Session | None
    session: Session
    actions: tuple[Action, ...]


def moments(journal: Iterable[SessionOpened | Event]) -> Iterator[Moment]:
    """Walk through a journal, line by line.

    Raises:
        IllegalCall: it does not begin with `SessionOpened`, or has a second one.
    """
    session: Session | None = None
    for event in journal:
        if isinstance(event, SessionOpened):
            if session is not None:
                detail = f"the journal of {session.id} has a second SessionOpened"
                raise IllegalCall(detail)
            before, (session, actions) = None, begin(event)
        elif session is None:
            detail = f"the journal begins with {type(event).__name__}, not with SessionOpened"
            raise IllegalCall(detail)
        else:
            before = session
            session, actions = transition(before, event)
        yield Moment(event, before, session, actions)


def replay(journal: Iterable[SessionOpened | Event]) -> Session:
    """Make the session that a journal tells of.

    Raises:
        IllegalCall: as `moments`, and for an empty journal.
    """
    session: Session | None = None
    for moment in moments(journal):
        session = moment.session
    if session is None:
        detail = "an empty journal has no session"
        raise IllegalCall(detail)
    return session
