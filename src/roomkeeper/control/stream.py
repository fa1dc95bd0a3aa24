"""The live stream: what happened, in the order in which it was committed, for whoever watches.

1. An event is a row. It is written when the carrier carries out `EmitEvent`, once: topic and data are never the same
   twice in a session, so that a repetition is known.
2. Numbers of rows are given out before their transactions are committed; on PostgreSQL a smaller one may appear after a
   larger one was read. So the position of an event is its transaction and its number, and only rows of transactions
   below the oldest one still running are read: nothing can appear before them any more.
3. The backlog is bounded in time and in rows. Whoever asks for what is gone is told so, and reads the lists again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from roomkeeper.control.store.engine import single
from roomkeeper.control.store.tables import stream as rows
from roomkeeper.control.store.together import Together
from roomkeeper.control.summaries import summary
from roomkeeper.control.unpurged import insert_unpurged
from roomkeeper.lifecycle.state import stamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.state import Session

logger = logging.getLogger(__name__)

KEPT_FOR: Final = 24 * 3_600_000
"""Milliseconds an event is kept."""
KEPT: Final = 20_000
"""Events that are kept at most."""
PRUNE_EVERY: Final = 60.0
"""Seconds."""
BATCH: Final = 200
"""Events read at once."""

WRITTEN: Final = ("session", "key", "room", "topic", "at", "body")
"""Columns of an event; the others the database fills in."""

_RUNNING = sa.cast(sa.cast(sa.func.pg_snapshot_xmin(sa.func.pg_current_snapshot()), sa.Text), sa.BigInteger)
_MINE = sa.cast(sa.cast(sa.func.pg_current_xact_id(), sa.Text), sa.BigInteger)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the stream; `str` of it is an event's id.

    Attributes:
        transaction: The one that wrote it; 0 on SQLite, which has one writer.
        number: The row's.
    """

    transaction: int = 0
    number: int = 0

    def __str__(self) -> str:
        return f"{self.transaction}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Read an id; None if it is none."""
        parts = text.split("-")
        if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):  # noqa: PLR2004
            return None
        return cls(int(parts[0]), int(parts[1]))


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of the stream.

    Attributes:
        body: JSON as it goes out, but for the id.
    """

    position: Position
    topic: str
    session: str
    room: str
    body: str


class Stream:
    """Writes and reads the stream.

    Args:
        store: Gives the clock.
        engine: The store's.

    Attributes:
        changed: Is set, and replaced, when this process has written something; other replicas write, too.
        closed: True once nobody is to watch any more.
    """

    def __init__(self, store: Store, engine: AsyncEngine) -> None:
        self._store = store
        self._engine = single(engine)
        self._xact = {"xact": _MINE if store.postgres else sa.literal(0)}
        values = {name: sa.bindparam(f"_{name}", type_=rows.c[name].type) for name in WRITTEN}
        whose: Any = sa.bindparam("_session", type_=rows.c.session.type)
        self._insert = insert_unpurged(rows, values | self._xact, whose, postgres=store.postgres)
        self._told = Together(self._tell)
        self.changed = asyncio.Event()
        self.closed = False

    async def emit(self, session: Session, topic: str, data: Mapping[str, object]) -> None:
        """Tell whoever watches; doing so twice is doing it once, and of a session purged meanwhile nothing is told."""
        now = await self._store.now()
        said = json.dumps(data, separators=(",", ":"), sort_keys=True)
        event = {"type": topic, "at": stamp(now), "session": summary(session), "data": data}
        row = {
            "session": session.id,
            "key": hashlib.blake2s(f"{topic} {said}".encode(errors="surrogatepass"), digest_size=16).hexdigest(),
            "room": session.room,
            "topic": topic,
            "at": now,
            "body": json.dumps(event, separators=(",", ":")),
        }
        if session.purged_at is None:
            await self._told.ask(row)
        else:
            insert = (postgresql if self._store.postgres else sqlite).insert(rows)
            async with self._engine.begin() as connection:
                await connection.execute(insert.values(row | self._xact).on_conflict_do_nothing())
        self.changed.set()
        self.changed = asyncio.Event()

    async def _tell(self, told: Sequence[Mapping[str, object]]) -> Sequence[None]:
        """Write some events, whose order among each other nobody knows: they happened at the same time."""
        async with self._engine.begin() as connection:
            await connection.execute(self._insert, [{f"_{name}": row[name] for name in WRITTEN} for row in told])
        return [None] * len(told)

    async def head(self) -> Position:
        """Return where the stream ends now."""
        return await self._edge(rows.c.xact.desc(), rows.c.id.desc()) or Position()

    async def keeps(self, position: Position) -> bool:
        """Say whether everything after a position is still there."""
        oldest = await self._edge(rows.c.xact, rows.c.id)
        return oldest is not None and oldest <= position <= await self.head()

    async def after(self, position: Position, *, room: str = "", session: str = "") -> list[Happened]:
        """Return the next events.

        Args:
            position: Where the last one was.
            room: Only those of this room; empty: all.
            session: Only those of this session; empty: all.
        """
        later = sa.tuple_(rows.c.xact, rows.c.id) > sa.tuple_(position.transaction, position.number)
        query = self._visible().where(later).order_by(rows.c.xact, rows.c.id).limit(BATCH)
        if room:
            query = query.where(rows.c.room == room)
        if session:
            query = query.where(rows.c.session == session)
        async with self._engine.connect() as connection:
            found = (await connection.execute(query)).all()
        return [Happened(Position(row.xact, row.id), row.topic, row.session, row.room, row.body) for row in found]

    async def run(self) -> None:
        """Forget old events, and what told them, until cancelled."""
        while True:
            try:
                await self.prune()
                await self._store.forget_sources()
            except (SQLAlchemyError, OSError):
                logger.exception("old events could not be forgotten")
            await asyncio.sleep(PRUNE_EVERY)

    async def prune(self) -> int:
        """Forget what is too old or too much; returns how many events that were."""
        now = await self._store.now()
        most = sa.select(sa.func.max(rows.c.id) - KEPT).scalar_subquery()
        old = sa.delete(rows).where(sa.or_(rows.c.at < now - KEPT_FOR, rows.c.id <= most))
        async with self._engine.begin() as connection:
            return int((await connection.execute(old)).rowcount)

    def close(self) -> None:
        """Let go of everybody who watches: the server stops."""
        self.closed = True
        self.changed.set()

    def _visible(self) -> sa.Select[tuple[int, int, str, str, str, str]]:
        query = sa.select(rows.c.xact, rows.c.id, rows.c.topic, rows.c.session, rows.c.room, rows.c.body)
        return query.where(rows.c.xact < _RUNNING) if self._store.postgres else query

    async def _edge(self, *order: sa.ColumnElement[int]) -> Position | None:
        query = self._visible().order_by(*order).limit(1)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).first()
        return Position(row.xact, row.id) if row is not None else None
