"""`/api/doctor`, `/api/dry-run` and `…/bundle`: for those who have to find out what is wrong. They change nothing."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.routing import Route

from roomkeeper.control.admin import admin_of
from roomkeeper.control.bodies import answer
from roomkeeper.control.checkup import Checkup, versions
from roomkeeper.control.explain import explain
from roomkeeper.control.logtail import TAIL
from roomkeeper.control.problems import Problem
from roomkeeper.control.redaction import Redaction
from roomkeeper.lifecycle.state import stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import JSONResponse

    from roomkeeper.control.plane import Plane


class Support:
    """The endpoints.

    Args:
        plane: The one that runs.
        keys: Secret by API key.
    """

    def __init__(self, plane: Plane, keys: Mapping[str, str]) -> None:
        self._plane = plane
        self._keys = keys
        logging.getLogger("roomkeeper").addHandler(TAIL)

    def routes(self) -> list[Route]:
        """Return the routes; they go before those of a session, whose id may hold slashes."""
        return [
            Route("/doctor", self.doctor, methods=["GET"]),
            Route("/dry-run", self.dry_run, methods=["GET"]),
            Route("/sessions/{id:path}/bundle", self.bundle, methods=["GET"]),
        ]

    async def doctor(self, request: Request) -> JSONResponse:
        """Answer with how everything is that a control plane needs.

        Raises:
            Problem: 403 the caller's token is for one room.
        """
        self._whole(request)
        checks = await Checkup(self._plane).run()
        told = [{"name": each.name, "health": str(each.health), "said": each.said} for each in checks]
        return answer({"checks": told, "versions": versions()})

    async def dry_run(self, request: Request) -> JSONResponse:
        """Answer with what would have been done, were this no dry run.

        Raises:
            Problem: 403 the caller's token is for one room, 404 this is no dry run.
        """
        self._whole(request)
        rehearsal = self._plane.rehearsal
        if rehearsal is None:
            raise Problem(HTTPStatus.NOT_FOUND, "This is no dry run: what is done is in each session's timeline.")
        return answer({"would": rehearsal.plain()})

    async def bundle(self, request: Request) -> JSONResponse:
        """Answer with all that explains a session, without words and names of people.

        Raises:
            Problem: 404 there is none, or none that the caller reaches, 410 it was purged.
        """
        admin = admin_of(request, self._keys)
        name = request.path_params["id"]
        session = await self._plane.store.find(name) if "\x00" not in name else None
        if session is None or not admin.reaches(session, None):
            raise Problem(HTTPStatus.NOT_FOUND, "No session of this id or room is within this token's reach.")
        if session.purged_at is not None:
            raise Problem(HTTPStatus.GONE, f"What was kept of it was deleted on {stamp(session.purged_at)}.")
        redaction = Redaction(await self._plane.store.journal(session.id))
        why = await asyncio.to_thread(lambda: explain(redaction.events()).plain())
        jobs = [epoch.job for epoch in session.epochs if epoch.job is not None]
        return answer(
            {
                "v": 1,
                "made_at": stamp(await self._plane.store.now()),
                "versions": versions(),
                "session": session.id,
                "explain": why,
                "journal": redaction.lines(),
                "deliveries": await self._plane.listing.deliveries(session.id),
                "deeds": await self._plane.listing.deeds(session.id),
                "log": [redaction.text(line) for line in TAIL.about(session.id, session.room, *session.sids, *jobs)],
            }
        )

    def _whole(self, request: Request) -> None:
        if admin_of(request, self._keys).room:
            raise Problem(HTTPStatus.FORBIDDEN, "This needs an admin token without `room`.")
