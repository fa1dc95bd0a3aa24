"""`POST /webhooks/livekit`: what LiveKit tells, verified, once.

A repetition answers 200 and changes nothing, order does not matter, and what is lost is found by the reconciler: a
webhook makes things quick, it is not what they rest on.
"""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from roomkeeper.control.bodies import read_body
from roomkeeper.control.facts import fact_of, room_of
from roomkeeper.control.problems import Problem
from roomkeeper.errors import InvalidToken
from roomkeeper.wire.webhooks import InvalidWebhook, receive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livekit.protocol.webhook import WebhookEvent
    from starlette.requests import Request

    from roomkeeper.control.adoption import Adoption
    from roomkeeper.control.carrier import Carrier
    from roomkeeper.control.exposition import WebhookMetrics
    from roomkeeper.control.store.store import Store

logger = logging.getLogger(__name__)

MAX_BODY = 2 * 1024 * 1024
"""Bytes: room and participant metadata of 512 KiB each, escaped."""


class Hooks:
    """The receiver of LiveKit's webhooks.

    Args:
        store: The sessions.
        adoption: Finds the session of a webhook.
        carrier: Is woken when there is something to do.
        keys: Secret by API key.
        metrics: Counts what came; None: nobody does.
    """

    def __init__(
        self,
        store: Store,
        adoption: Adoption,
        carrier: Carrier,
        keys: Mapping[str, str],
        metrics: WebhookMetrics | None = None,
    ) -> None:
        self._store = store
        self._adoption = adoption
        self._carrier = carrier
        self._keys = keys
        self._metrics = metrics

    async def endpoint(self, request: Request) -> JSONResponse:
        """Take one webhook.

        Raises:
            Problem: 401 not signed by one of the keys, 413 too large, 400 no event.
        """
        taken, status = False, HTTPStatus.OK
        try:
            taken = await self.take(await self._read(request))
        except Problem as problem:
            status = HTTPStatus(problem.status_code)
            raise
        finally:
            if self._metrics is not None:
                self._metrics.received(status, taken=taken)
        return JSONResponse({"taken": taken})

    async def _read(self, request: Request) -> WebhookEvent:
        body = await read_body(request, MAX_BODY)
        try:
            return receive(body, request.headers.get("authorization", ""), self._keys, now=time.time())
        except InvalidToken as error:
            raise Problem(HTTPStatus.UNAUTHORIZED, f"The webhook's signature was refused. {error.detail}") from None
        except InvalidWebhook:
            raise Problem(HTTPStatus.BAD_REQUEST, "The body is not a LiveKit webhook.") from None

    async def take(self, event: WebhookEvent) -> bool:
        """Tell the session what a verified webhook says.

        Returns:
            False if it is about nothing of ours, or was told before.
        """
        fact, room = fact_of(event), room_of(event)
        if fact is None or not room:
            return False
        person = event.participant if event.HasField("participant") else None
        session = await self._adoption.session_of(room, fact, person, event.room.metadata)
        if session is None:
            return False
        told = await self._store.tell(session.id, fact, source=f"webhook {event.id}" if event.id else "")
        self._carrier.wake()
        return not told.repeated
