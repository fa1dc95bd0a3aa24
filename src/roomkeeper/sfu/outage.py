"""Cutting the users' network on request: `POST /outage`, for `roomkeeper dev` and its panel. Off unless asked for.

For some seconds nothing of a user's passes: packets are dropped both ways, signal connections are closed, and new ones
get no answer. Agents are spared: it is the user's network that is lost.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

from livekit.protocol import models
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from roomkeeper.errors import InvalidToken
from roomkeeper.sfu.access import presented_token
from roomkeeper.wire.tokens import verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from roomkeeper.sfu.rooms import Rooms

logger = logging.getLogger(__name__)

LONGEST: Final = 120.0
"""Seconds of one outage."""
USERS: Final = frozenset({models.ParticipantInfo.STANDARD, models.ParticipantInfo.SIP})


class Outage:
    """The endpoint.

    Args:
        rooms: Whose users are cut off.
        keys: Secret by API key.
    """

    def __init__(self, rooms: Rooms, keys: Mapping[str, str]) -> None:
        self._rooms = rooms
        self._keys = keys

    def routes(self) -> list[Route]:
        """Returns the route."""
        return [Route("/outage", self.endpoint, methods=["POST"])]

    async def endpoint(self, request: Request) -> Response:
        """Takes `{"seconds": 8}` of an administrator; answers how many users it hit."""
        try:
            claims = verify(presented_token(request), self._keys, now=self._rooms.stack.wall())
        except InvalidToken as refused:
            return PlainTextResponse(refused.detail, 401)
        if not claims.video.room_admin:
            return PlainTextResponse("permission denied", 403)
        seconds = _seconds(await request.body())
        if seconds is None:
            return PlainTextResponse(f'Send {{"seconds": …}}, at most {LONGEST:g}.', 400)
        return JSONResponse({"users": self.begin(seconds)})

    def begin(self, seconds: float) -> int:
        """Cuts everybody off who is a user; returns how many those are."""
        self._rooms.users_cut_until = until = self._rooms.stack.now() + seconds
        sessions = [session for live in self._rooms for session in live.sessions.values()]
        users = [session for session in sessions if session.participant.joiner.kind in USERS]
        for session in users:
            session.cut(until)
        logger.info("network cut on request", extra={"seconds": seconds, "users": len(users)})
        return len(users)


def _seconds(body: bytes) -> float | None:
    try:
        said: Any = json.loads(body)
        seconds = float(said["seconds"])
    except (ValueError, TypeError, KeyError):
        return None
    return seconds if 0 < seconds <= LONGEST else None
