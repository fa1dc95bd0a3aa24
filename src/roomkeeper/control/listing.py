"""Sessions in pages, and what is on its way from them: what lists and counts need beyond `Store`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from roomkeeper.control.store.rows import session_of
from roomkeeper.control.store.tables import aliases, deliveries, outbox, sessions
from roomkeeper.lifecycle.state import State, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.state import Session

RECENT: Final = 24 * 3_600_000
"""Milliseconds for which ended sessions are counted."""


class BadCursor(ValueError):
    """A cursor that no page gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which sessions are listed; what is empty does not matter.

    Attributes:
        room: The whole name.
        state: One of the states, `open`: not ended, or `parked`: with something that was given up.
        agent: The agent's name.
        reason: Of the end.
        search: A part of the room's or the agent's name, or any whole id.
    """

    room: str = ""
    state: str = ""
    agent: str = ""
    reason: str = ""
    search: str = ""

    @property
    def impossible(self) -> bool:
        """True for names that no database takes."""
        return any("\x00" in name for name in (self.room, self.agent, self.search))


@dataclass(frozen=True, slots=True)
class Page:
    """Some sessions, newest first.

    Attributes:
        cursor: Asks for the page after this one; None if this is the last.
    """

    sessions: tuple[Session, ...]
    cursor: str | None


class Listing:
    """Reads what the store holds of many sessions.

    Args:
        store: Gives the clock.
        engine: The store's.
    """

    def __init__(self, store: Store, engine: AsyncEngine) -> None:
        self._store = store
        self._engine = engine

    async def page(self, filters: Filters, *, limit: int, cursor: str = "") -> Page:
        """Return a page of sessions.

        Args:
            filters: Which sessions.
            limit: How many at most.
            cursor: From the page before; empty for the first.

        Raises:
            BadCursor: The cursor is not one of ours.
        """
        columns = sessions.c
        order = (columns.opened_at.desc(), columns.id.desc())
        query = sa.select(columns.body, columns.policy, columns.opened_at, columns.id).order_by(*order).limit(limit + 1)
        if cursor:
            at, last = _read(cursor)
            older = sa.and_(columns.opened_at == at, columns.id < last)
            query = query.where(columns.opened_at <= at, sa.or_(columns.opened_at < at, older))
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query.where(*_conditions(filters)))).all()
        found = tuple(session_of(row.body, row.policy) for row in rows[:limit])
        return Page(found, f"{rows[limit - 1].opened_at}.{rows[limit - 1].id}" if len(rows) > limit else None)

    async def counts(self, room: str = "") -> dict[str, int]:
        """Count sessions by state; of the ended ones, only those opened within the last day.

        Args:
            room: Only sessions of this room; empty: all.
        """
        columns = sessions.c
        recent = await self._store.now() - RECENT
        # Apart, for the index of state and time: the ended ones of years are not to be counted.
        which = (
            columns.state != str(State.ENDED),
            sa.and_(columns.state == str(State.ENDED), columns.opened_at > recent),
        )
        counted = dict.fromkeys(map(str, State), 0)
        async with self._engine.connect() as connection:
            for condition in which:
                query = sa.select(columns.state, sa.func.count()).where(condition).group_by(columns.state)
                if room:
                    query = query.where(columns.room == room)
                counted |= {row[0]: row[1] for row in (await connection.execute(query)).all()}
        return counted

    async def parked(self, found: Iterable[Session]) -> dict[str, int]:
        """Count what was given up of some sessions, deliveries and actions; those of which nothing was are left out."""
        ids, counted = [session.id for session in found], Counter[str]()
        async with self._engine.connect() as connection:
            for table in _PARKING:
                column = table.c.session
                query = sa.select(column, sa.func.count()).where(column.in_(ids), _given_up(table)).group_by(column)
                counted.update({row[0]: row[1] for row in (await connection.execute(query)).all()})
        return dict(counted)

    async def deliveries(self, session: str) -> list[dict[str, object]]:
        """Return every report of a session that was, or is to be, delivered; JSON-able, without the body."""
        columns = deliveries.c
        shown = ("id", "receiver", "type", "tries", "error", "due_at", "delivered_at", "parked_at")
        query = sa.select(*(columns[name] for name in shown))
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query.where(columns.session == session).order_by(columns.id))).all()
        return [_stamped(row) for row in rows]

    async def deeds(self, session: str) -> list[dict[str, object]]:
        """Return what a session has asked for and is not done yet, alarms included; JSON-able."""
        columns = outbox.c
        query = sa.select(*(columns[name] for name in ("key", "kind", "tries", "error", "due_at", "parked_at")))
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query.where(columns.session == session).order_by(columns.id))).all()
        return [_stamped(row) for row in rows]


_PARKING: Final = (deliveries, outbox)


def _given_up(table: sa.Table) -> sa.ColumnElement[bool]:
    return table.c.parked_at.is_not(None)


def _conditions(filters: Filters) -> list[sa.ColumnElement[bool]]:
    columns = sessions.c
    found: list[sa.ColumnElement[bool]] = []
    if filters.state == "open":
        found.append(columns.state != str(State.ENDED))
    elif filters.state == "parked":
        found.append(sa.or_(*(columns.id.in_(sa.select(each.c.session).where(_given_up(each))) for each in _PARKING)))
    elif filters.state:
        found.append(columns.state == filters.state)
    if filters.room:
        found.append(columns.room == filters.room)
    if filters.agent:
        found.append(columns.agent_name == filters.agent)
    if filters.reason:
        found.append(columns.reason == filters.reason)
    if filters.search:
        term = filters.search.lower()
        named = [sa.func.lower(column).contains(term, autoescape=True) for column in (columns.room, columns.agent_name)]
        by_alias = sa.select(aliases.c.session).where(aliases.c.alias == filters.search)
        found.append(sa.or_(*named, columns.id == filters.search, columns.id.in_(by_alias)))
    return found


def _read(cursor: str) -> tuple[int, str]:
    at, dot, session = cursor.partition(".")
    if not (dot and at.isascii() and at.isdigit() and len(at) < 16 and "\x00" not in session):  # noqa: PLR2004 - bigint
        raise BadCursor
    return int(at), session


def _stamped(row: Any) -> dict[str, object]:  # noqa: ANN401 - a row of any query
    return {
        name: stamp(value) if name.endswith("_at") and value is not None else value
        for name, value in row._mapping.items()  # noqa: SLF001 - SQLAlchemy's name for it; public in spite of the line
    }
