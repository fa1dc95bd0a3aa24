"""`/api/sessions`: reading sessions, ending them, sending their reports again.

Every answer about a session goes through `_reached`: whoever may not see it is told that there is none.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

from roomkeeper.control.admin import WEEK, Admin, Member, admin_of, caller_of
from roomkeeper.control.allowance import Allowance
from roomkeeper.control.bodies import answer, bad, parse_object, read_body, read_object, text
from roomkeeper.control.explain import explain
from roomkeeper.control.listing import BadCursor, Filters
from roomkeeper.control.problems import Problem
from roomkeeper.control.report import build
from roomkeeper.control.summaries import summary
from roomkeeper.lifecycle.actions import Ignored
from roomkeeper.lifecycle.codec import dump_event
from roomkeeper.lifecycle.events import EndAsked, EvidenceGiven
from roomkeeper.lifecycle.policy import plain
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.lifecycle.state import State, room_state, stamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import JSONResponse

    from roomkeeper.control.admin import Caller
    from roomkeeper.control.carrier import Carrier
    from roomkeeper.control.delivery import Deliveries
    from roomkeeper.control.listing import Listing
    from roomkeeper.control.store.outbox import Outbox
    from roomkeeper.control.store.store import Store
    from roomkeeper.lifecycle.events import Event, SessionOpened
    from roomkeeper.lifecycle.state import Session

logger = logging.getLogger(__name__)

MAX_DETAIL, MAX_WHAT = 1000, 64
"""Characters of an end's detail, and of what a browser says."""
PAGE, LONGEST_PAGE = 50, 200
"""Sessions in one answer."""
EVIDENCE_A_MINUTE: Final = 60
"""What one browser may say in a minute; a journal is kept for ever."""
MAX_EVIDENCE: Final = 8 * 1024
"""Bytes of a request with evidence."""
CALLS_A_MINUTE: Final = 300
"""What one participant may ask for in a minute; administrators are not counted."""

OPERATORS = frozenset({Reason.OPERATOR_ENDED, Reason.REMOVED})


class Sessions:
    """The endpoints.

    Args:
        store: The sessions.
        listing: Many of them.
        carrier: Is woken when there is something to do.
        deliveries: Sends reports again.
        outbox: Tries again what was parked.
        keys: Secret by API key.
    """

    def __init__(
        self,
        store: Store,
        listing: Listing,
        carrier: Carrier,
        deliveries: Deliveries,
        outbox: Outbox,
        keys: Mapping[str, str],
    ) -> None:
        self._store = store
        self._listing = listing
        self._carrier = carrier
        self._deliveries = deliveries
        self._outbox = outbox
        self._keys = keys
        self._evidence = Allowance(EVIDENCE_A_MINUTE, 60)
        self._calls = Allowance(CALLS_A_MINUTE, 60)

    def routes(self) -> list[Route]:
        """Return the routes; an id may hold slashes, as names of rooms do."""
        one = "/sessions/{id:path}"
        return [
            Route("/sessions", self.list, methods=["GET"]),
            Route(f"{one}/state", self.state, methods=["GET"]),
            Route(f"{one}/end", self.end, methods=["POST"]),
            Route(f"{one}/evidence", self.evidence, methods=["POST"]),
            Route(f"{one}/timeline", self.timeline, methods=["GET"]),
            Route(f"{one}/report", self.report, methods=["GET"]),
            Route(f"{one}/explain", self.explain, methods=["GET"]),
            Route(f"{one}/redeliver", self.redeliver, methods=["POST"]),
            Route(one, self.show, methods=["GET"]),
        ]

    # -- participants and administrators ------------------------------------------------------------------------------

    async def state(self, request: Request) -> JSONResponse:
        """Answer with what everybody in the room sees; good for a week after the token's expiry."""
        session = await self._reached(request, caller_of(request, self._keys, grace=WEEK))
        return answer(room_state(session, await self._store.now()))

    async def end(self, request: Request) -> JSONResponse:
        """End a session, once; asking again answers with the end there is.

        Raises:
            Problem: 400 malformed, 403 not for this caller by policy.
        """
        caller = caller_of(request, self._keys)
        session = await self._reached(request, caller)
        asked = _end_asked(caller, await read_object(request))
        if session.end is None:
            told = await self._store.tell(session.id, asked)
            session = told.session
            self._carrier.wake()
            if session.end is None:
                why = next((action.why for action in told.actions if isinstance(action, Ignored)), "it goes on")
                raise Problem(HTTPStatus.FORBIDDEN, f"The session was not ended: {why}.")
            logger.info("end asked", extra={"session": session.id, "reason": str(asked.reason), "by": str(asked.by)})
        return answer(room_state(session, await self._store.now()))

    async def evidence(self, request: Request) -> JSONResponse:
        """Keep what a page's browser saw.

        Raises:
            Problem: 400 malformed, 413 too large, 429 too much of it.
        """
        caller = caller_of(request, self._keys)
        session = await self._reached(request, caller)
        given = parse_object(await read_body(request, MAX_EVIDENCE))
        what, data, said_at = text(given, "what", MAX_WHAT), given.get("data", {}), given.get("said_at")
        if not what:
            raise bad("`what` must say what the browser saw, such as `offline`.")
        if not isinstance(data, dict) or not (said_at is None or type(said_at) is int):
            raise bad("`data` must be an object, `said_at` whole milliseconds since the Unix epoch.")
        identity = caller.identity if isinstance(caller, Member) else text(given, "identity", 256) or ""
        self._evidence.require((session.id, identity))
        await self._store.tell(
            session.id, EvidenceGiven(at=0, identity=identity, what=what, data=data, said_at=said_at)
        )
        self._carrier.wake()
        return answer({"taken": True}, HTTPStatus.ACCEPTED)

    # -- administrators -----------------------------------------------------------------------------------------------

    async def list(self, request: Request) -> JSONResponse:
        """List sessions, newest first, in pages.

        Raises:
            Problem: 400 a filter that is none.
        """
        admin = admin_of(request, self._keys)
        query = request.query_params
        limit, wanted = query.get("limit", str(PAGE)), query.get("state", "")
        if not (limit.isascii() and limit.isdigit() and len(limit) <= len(str(LONGEST_PAGE))) or not (
            0 < int(limit) <= LONGEST_PAGE
        ):
            raise bad(f"`limit` must be a number from 1 to {LONGEST_PAGE}.")
        if wanted not in {"", "open", "parked", *State}:
            raise bad(f"`state` must be `open`, `parked` or one of {', '.join(State)}.")
        reason = query.get("reason", "")
        if reason not in {"", *Reason}:
            raise bad(f"`reason` must be one of {', '.join(Reason)}.")
        counts = await self._listing.counts(admin.room)
        filters = Filters(
            room=admin.room or query.get("room", ""),
            state=wanted,
            agent=query.get("agent", ""),
            reason=reason,
            search=query.get("search", ""),
        )
        if filters.impossible or (admin.room and query.get("room", admin.room) != admin.room):
            return answer({"sessions": [], "cursor": None, "counts": counts})
        try:
            page = await self._listing.page(filters, limit=int(limit), cursor=query.get("cursor", ""))
        except BadCursor:
            raise bad("`cursor` must be the one that the page before gave.") from None
        parked = await self._listing.parked(page.sessions)
        lines = [summary(session) | {"parked": parked.get(session.id, 0)} for session in page.sessions]
        return answer({"sessions": lines, "cursor": page.cursor, "counts": counts})

    async def show(self, request: Request) -> JSONResponse:
        """Answer with one session: who is there, who was in charge, what is still to be done."""
        session = await self._reached(request, admin_of(request, self._keys))
        more = {
            "room_sids": list(session.sids),
            "origin": str(session.origin),
            "participants": [
                {"identity": person.identity, "kind": str(person.kind), "sid": person.sid, "counts": person.counts}
                for person in session.participants
            ],
            "epochs": [
                {
                    "number": epoch.number,
                    "standing": str(epoch.standing),
                    "job": epoch.job,
                    "identity": epoch.identity,
                }
                for epoch in session.epochs
            ],
            "policy": plain(session.policy),
            "deliveries": await self._listing.deliveries(session.id),
            "deeds": await self._listing.deeds(session.id),
        }
        return answer(summary(session) | more)

    async def timeline(self, request: Request) -> JSONResponse:
        """Answer with everything that happened, in words; with `?events=1` also as it is stored, the talk included."""
        session = await self._reached(request, admin_of(request, self._keys))
        journal = await self._journal(session)
        timeline = (await _explained(journal))["timeline"]
        return answer({"session": session.id, "timeline": timeline} | await _events(request, journal))

    async def explain(self, request: Request) -> JSONResponse:
        """Answer with why the session went as it did, `text` being the same for a terminal; `?events=1` as above."""
        session = await self._reached(request, admin_of(request, self._keys))
        journal = await self._journal(session)
        return answer(await _explained(journal) | await _events(request, journal))

    async def report(self, request: Request) -> JSONResponse:
        """Answer with the report as it would be built now.

        Raises:
            Problem: 409 the session has not ended.
        """
        session = await self._reached(request, admin_of(request, self._keys))
        if session.state is not State.ENDED:
            raise Problem(HTTPStatus.CONFLICT, f"The session is {session.state}; its report is made when it has ended.")
        pending = session.unreported or not session.report
        return answer(build(await self._journal(session), session.report + pending))

    async def redeliver(self, request: Request) -> JSONResponse:
        """Send every report of the session again, and try again what was given up."""
        session = await self._reached(request, admin_of(request, self._keys))
        again = {
            "deliveries": await self._deliveries.redeliver(session.id),
            "deeds": await self._outbox.unpark(session.id),
        }
        self._carrier.wake()
        logger.info("redelivery asked", extra={"session": session.id, **again})
        return answer({"session": session.id, **again}, HTTPStatus.ACCEPTED)

    async def _journal(self, session: Session) -> Sequence[SessionOpened | Event]:
        """Return what happened to a session.

        Raises:
            Problem: 410 it was purged.
        """
        if session.purged_at is not None:
            raise Problem(HTTPStatus.GONE, f"What was kept of it was deleted on {stamp(session.purged_at)}.")
        return await self._store.journal(session.id)

    async def _reached(self, request: Request, caller: Caller) -> Session:
        """Return the session that the address names.

        Raises:
            Problem: 404 there is none, or none that the caller reaches.
        """
        if isinstance(caller, Member):
            self._calls.require((caller.room, caller.identity))
        name = request.path_params["id"]
        session = await self._store.find(name) if "\x00" not in name else None
        latest = await self._store.find(caller.room) if isinstance(caller, Member) and session is not None else None
        if session is None or not caller.reaches(session, latest):
            raise Problem(HTTPStatus.NOT_FOUND, "No session of this id or room is within this token's reach.")
        return session


async def _explained(journal: Sequence[SessionOpened | Event]) -> dict[str, object]:
    """Explain a journal in a thread: a long talk takes a while, and leases are renewed meanwhile."""
    return await asyncio.to_thread(lambda: explain(journal).plain())


async def _events(request: Request, journal: Sequence[SessionOpened | Event]) -> dict[str, object]:
    """Return the journal as it is stored, if it is asked for."""
    if request.query_params.get("events") != "1":
        return {}
    return {"events": await asyncio.to_thread(lambda: [dump_event(event) for event in journal])}


def _end_asked(caller: Caller, given: Mapping[str, Any]) -> EndAsked:
    default = Reason.OPERATOR_ENDED if isinstance(caller, Admin) else Reason.USER_ENDED
    wanted = given.get("reason", str(default))
    if wanted not in tuple(Reason):
        raise bad(f"`reason` must be one of {', '.join(Reason)}.")
    reason, detail = Reason(wanted), text(given, "detail", MAX_DETAIL)
    if isinstance(caller, Admin):
        by = By.OPERATOR if reason in OPERATORS else By.APP
        return EndAsked(at=0, reason=reason, by=by, detail=detail, data=given.get("data"))
    if reason is not Reason.USER_ENDED:
        raise Problem(HTTPStatus.FORBIDDEN, "A participant may ask for `user_ended` only.")
    return EndAsked(at=0, reason=reason, by=By.USER, identity=caller.identity, detail=detail)
