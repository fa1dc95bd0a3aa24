"""Sessions in pages, and what is on its way from them: what lists and counts need beyond `Store`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from roomkeeper.control.store.rows import session_of
from roomkeeper.control.store.tables import deliveries, outbox, sessions
from roomkeeper.lifecycle.state import stamp

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.lifecycle.state import Session, State


class BadCursor(ValueError):
    """A cursor that no page gave."""


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
        engine: The store's.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(
        self, *, limit: int, cursor: str = "", room: str = "", state: State | None = None, open_only: bool = False
    ) -> Page:
        """Return a page of sessions.

        Args:
            limit: How many at most.
            cursor: From the page before; empty for the first.
            room: Only sessions of this room.
            state: Only sessions in this state.
            open_only: Only sessions that have not ended.

        Raises:
            BadCursor: The cursor is not one of ours.
        """
        columns = sessions.c
        order = (columns.opened_at.desc(), columns.id.desc())
        query = sa.select(columns.body, columns.policy, columns.opened_at, columns.id).order_by(*order).limit(limit + 1)
        if cursor:
            at, last = _read(cursor)
            older = sa.and_(columns.opened_at == at, columns.id < last)
            query = query.where(sa.or_(columns.opened_at < at, older))
        if room:
            query = query.where(columns.room == room)
        if state is not None:
            query = query.where(columns.state == str(state))
        if open_only:
            query = query.where(columns.state != "ended")
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        found = tuple(session_of(row.body, row.policy) for row in rows[:limit])
        return Page(found, f"{rows[limit - 1].opened_at}.{rows[limit - 1].id}" if len(rows) > limit else None)

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
