"""Writing what a session says, unless it was purged meanwhile: what was under way then must not bring its words back.

A purge locks the session's row, deletes, and makes the row's room its id. So a statement that locks the row too, and
writes only if the room is still a room's, either comes before the purge, which deletes what it wrote, or writes
nothing. The lock lets transitions pass, which do not change the row's key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from roomkeeper.control.store.tables import sessions

if TYPE_CHECKING:
    from collections.abc import Mapping


def insert_unpurged(table: sa.Table, row: Mapping[str, Any], session: str, *, postgres: bool) -> sa.Insert:
    """Make the statement that inserts a row, unless it is there already, its session was purged, or there is none.

    Args:
        table: Where to.
        row: Values, or expressions, by column.
        session: The session's id.
        postgres: Whether the database is PostgreSQL.
    """
    values = [
        value if isinstance(value, sa.ColumnElement) else sa.literal(value, table.c[name].type)
        for name, value in row.items()
    ]
    kept = sa.select(*values).where(sessions.c.id == session, sessions.c.room != sessions.c.id)
    kept = kept.with_for_update(read=True, key_share=True)
    if postgres:
        return postgresql.insert(table).from_select(list(row), kept, include_defaults=False).on_conflict_do_nothing()
    return sqlite.insert(table).from_select(list(row), kept, include_defaults=False).on_conflict_do_nothing()
