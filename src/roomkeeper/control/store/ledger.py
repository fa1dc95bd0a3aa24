"""What a transition reads and writes, and how a database does that in one transaction.

SQLAlchemy opens the database, migrates it and answers whatever is asked by hand or by page. Transitions are stored and
sessions are read thousands of times a second, and each deed is settled, always by the same few statements: these go to
the driver directly (docs/decisions/0140).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """A session as it is stored.

    Attributes:
        lines: Number of the journal's last line.
    """

    body: str
    policy: str
    lines: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row of the outbox that somebody has claimed.

    Attributes:
        claim: Names who holds it; settling needs it.
        asked: How often it was asked for when it was claimed; settling needs it too.
        tries: How often it was tried before.
    """

    id: int
    session: str
    body: str
    claim: str
    asked: int
    tries: int
    due_at: int


@dataclass(frozen=True, slots=True)
class NewRow:
    """What of a session never changes."""

    room: str
    generation: int
    agent_name: str
    opened_at: int
    policy: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A row of the outbox, to be put in or to replace the one of its key."""

    key: str
    kind: str
    body: str
    due_at: int


@dataclass(frozen=True, slots=True)
class Writes:
    """What one transition changes in the database.

    Attributes:
        lines: Number of the journal's last line, after those written now.
        journal: New lines, the last of which has that number.
        names: What else the session is known by from now on.
        asks: What is to be done; one for each key.
        dropped: Keys of what need not be done any more; none of those asked for.
    """

    session: str
    state: str
    reason: str | None
    ended_at: int | None
    unsettled: bool
    lines: int
    body: str
    journal: tuple[str, ...]
    names: tuple[str, ...]
    asks: tuple[Ask, ...]
    dropped: tuple[str, ...]


Decide: TypeAlias = "Callable[[Row | None, bool, int], tuple[T, Writes | None]]"
"""Is given the session's row (None if there is none), whether its source has told it before, and the time."""
Begin: TypeAlias = "Callable[[int], tuple[T, NewRow, Writes]]"
"""Is given the time."""


class LostRace(Exception):
    """Somebody else was quicker; the transaction is to be begun anew."""


class Ledger(Protocol):
    """The transactions in which sessions move."""

    async def move(self, session: str, source: str, decide: Decide[T]) -> T:
        """Lock a session, decide what becomes of it, and write that.

        Args:
            session: Its id.
            source: What told it, to be known again; empty: it cannot be told twice.
            decide: May raise, and then nothing is written; may run more than once.

        Raises:
            LostRace: Somebody else was quicker.
            SQLAlchemyError: The database failed.
        """

    async def open(self, begin: Begin[T]) -> T | None:
        """Write a new session; returns None if its id, or its room and generation, are taken.

        Raises:
            LostRace: Somebody else was quicker.
            SQLAlchemyError: The database failed.
        """

    async def read(self, session: str) -> Row | None:
        """Return a session's row by its id.

        Raises:
            SQLAlchemyError: The database failed.
        """

    async def find(self, name: str) -> Row | None:
        """Return a session's row by its id, by another name of it, or by its room: then the latest generation's.

        Raises:
            SQLAlchemyError: The database failed.
        """

    async def claim(self, claim: str, most: int, lease: int) -> list[Claimed]:
        """Claim rows of the outbox that are due and that nobody holds, the longest due first.

        Args:
            claim: Names who holds them.
            most: How many, at most.
            lease: Milliseconds for which.

        Raises:
            SQLAlchemyError: The database failed.
        """

    async def due(self) -> tuple[int, int] | None:
        """Return when a row of the outbox that nobody holds is due next, and the time; None if none waits.

        Raises:
            SQLAlchemyError: The database failed.
        """

    async def settle(self, row: int, claim: str, asked: int) -> bool:
        """Drop a row of the outbox that was carried out.

        Args:
            row: Its number.
            claim: Who holds it.
            asked: How often it had been asked for when it was claimed.

        Returns:
            False if the claim was lost, or the same was asked for anew: that row is free then, and due.

        Raises:
            SQLAlchemyError: The database failed.
        """

    async def now(self) -> int:
        """Return the clock that transitions go by, in milliseconds."""
