"""`GET /api/sessions/{id}/journal`: what the agents of a session wrote, for the one that goes on."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from starlette.responses import Response
from starlette.routing import Route

from roomkeeper.control.admin import Admin, admin_of
from roomkeeper.control.link.links import check_worker
from roomkeeper.control.problems import Problem
from roomkeeper.control.store.tables import journal
from roomkeeper.lifecycle.codec import load_event
from roomkeeper.lifecycle.events import Noted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncEngine
    from starlette.requests import Request

    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.state import Session

PAGE, LONGEST_PAGE = 500, 1_000
"""Lines in one answer, as they were stored."""
MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Bytes of lines in one answer; a single line is always given."""
LAST: Final = 2**31 - 1
"""The largest number of a line that a database takes."""

_NOTED: Final = sa.or_(journal.c.body.like('{"v":1,"type":"Noted"%'), journal.c.body.like('{"v": 1, "type": "Noted"%'))
"""Sorts out most other lines where they are; those that remain are sorted out when they are read."""


class Journal:
    """The endpoint.

    Args:
        store: The sessions.
        engine: The store's.
        keys: Secret by API key.
    """

    def __init__(self, store: Store, engine: AsyncEngine, keys: Mapping[str, str]) -> None:
        self._store = store
        self._engine = engine
        self._keys = keys

    def routes(self) -> list[Route]:
        """Return the routes; before those whose ids may hold slashes."""
        return [Route("/sessions/{id:path}/journal", self.read, methods=["GET"])]

    async def read(self, request: Request) -> Response:
        """Answer with lines of spools in the order in which they were stored, to a worker or an administrator.

        Raises:
            Problem: 400 a range that is none, 401 and 403 no such token, 404 no such session.
        """
        reader = self._reader(request)
        after, limit = _number(request, "after", 0, LAST), _number(request, "limit", PAGE, LONGEST_PAGE)
        if not limit:
            raise Problem(HTTPStatus.BAD_REQUEST, f"`limit` must be a number from 1 to {LONGEST_PAGE}.")
        name = request.path_params["id"]
        session = await self._store.find(name) if "\x00" not in name else None
        if session is None or not reader.reaches(session, None):
            raise Problem(HTTPStatus.NOT_FOUND, "No session of this id or room is within this token's reach.")
        rows, more = await self._rows(session.id, after, limit)
        lines = [said for number, body in rows if (said := _line(session, number, body)) is not None]
        last = rows[-1][0] if rows and more else None
        text = json.dumps({"lines": lines, "next": last}, ensure_ascii=False, separators=(",", ":"))
        return Response(text, headers={"Cache-Control": "no-store"}, media_type="application/json")

    def _reader(self, request: Request) -> Admin:
        """Return whose rights the caller has: a worker reads every session."""
        try:
            check_worker(request, self._keys)
        except Problem:
            return admin_of(request, self._keys)
        return Admin()

    async def _rows(self, session: str, after: int, limit: int) -> tuple[list[tuple[int, str]], bool]:
        """Return a page of the journal that fits, and whether there is more."""
        columns = journal.c
        here = sa.and_(columns.session == session, columns.line > after, _NOTED)
        sizes = sa.select(columns.line, sa.func.length(columns.body).label("size")).where(here)
        async with self._engine.connect() as connection:
            found = (await connection.execute(sizes.order_by(columns.line).limit(limit + 1))).all()
            taken = _fitting([row.size for row in found[:limit]])
            if not taken:
                return [], False
            page = sa.select(columns.line, columns.body).where(here, columns.line <= found[taken - 1].line)
            rows = (await connection.execute(page.order_by(columns.line))).all()
        return [(row.line, row.body) for row in rows], len(found) > taken


def _fitting(sizes: list[int]) -> int:
    """Say how many of some lines make a page."""
    total = 0
    for number, size in enumerate(sizes):
        total += size
        if total > MAX_PAGE_BYTES and number:
            return number
    return len(sizes)


def _line(session: Session, number: int, body: str) -> dict[str, object] | None:
    event = load_event(json.loads(body))
    if not isinstance(event, Noted):
        return None
    epoch = session.epoch_of(event.job)
    return {
        "line": number,
        "epoch": epoch.number if epoch is not None else 0,
        "job": event.job,
        "seq": event.seq,
        "at": event.said_at,
        "type": event.what,
        "data": event.data,
    }


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most):
        raise Problem(HTTPStatus.BAD_REQUEST, f"`{name}` must be a number up to {most}.")
    return int(text)
