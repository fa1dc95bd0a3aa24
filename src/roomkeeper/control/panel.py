"""`/api/dev`: what the panel of `roomkeeper dev` asks for. Served in `dev` only, to this machine only.

Killing and restarting is for the supervisor, which started the processes; what the panel wants is passed on to it over
its UNIX socket, see `roomkeeper.cli.dev.mishaps`. Cutting the network is for the room server.
"""

from __future__ import annotations

import asyncio
import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import aiohttp
from starlette.routing import Route

from roomkeeper.control.bodies import answer, read_object, text
from roomkeeper.control.problems import Problem
from roomkeeper.wire.signin import admin_token, sign_in

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import JSONResponse

    from roomkeeper.control.config import ControlConfig

PATIENCE: Final = 60.0
"""Seconds that a deed may take: a worker that starts loads its models first."""
MAX_NAME: Final = 64
CUT: Final = "cut_network"
OUTAGE: Final = 8
"""Seconds: longer than a browser takes to notice, shorter than the room server waits."""


class PanelApi:
    """The endpoints.

    Args:
        config: With the supervisor's socket.
    """

    def __init__(self, config: ControlConfig) -> None:
        self._config = config

    def routes(self) -> list[Route]:
        """Return the routes; none outside of `roomkeeper dev`."""
        if not (self._config.dev and self._config.supervisor):
            return []
        return [Route("/dev", self.describe, methods=["GET"]), Route("/dev", self.do, methods=["POST"])]

    async def describe(self, request: Request) -> JSONResponse:
        """Answer with a sign-in for the console: in `dev` whoever sits at this machine is the operator."""
        config = self._config
        token = sign_in(api_key=config.api_key, secret=config.api_secret, now=time.time())
        return answer({"sign_in": token, "stock": config.stock})

    async def do(self, request: Request) -> JSONResponse:
        """Pass a wish on: `{"do": "kill_agent"}`.

        Raises:
            Problem: 403 a page of elsewhere asks, 409 it cannot be done now, 503 the supervisor does not answer.
        """
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            raise Problem(HTTPStatus.FORBIDDEN, "Only the panel itself may ask for that.")
        wanted = text(await read_object(request), "do", MAX_NAME)
        return answer(await (self._cut() if wanted == CUT else self._pass_on(wanted)))

    async def _cut(self) -> dict[str, str]:
        """Have the room server let nothing of the users' through for some seconds.

        Raises:
            Problem: 503 it does not answer, or cannot.
        """
        config = self._config
        token = admin_token(api_key=config.api_key, secret=config.api_secret, now=time.time(), ttl=60)
        url = config.livekit_url.replace("ws", "http", 1).rstrip("/") + "/outage"
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as http,
                http.post(url, json={"seconds": OUTAGE}, headers={"Authorization": f"Bearer {token}"}) as said,
            ):
                said.raise_for_status()
                users = (await said.json())["users"]
        except (aiohttp.ClientError, TimeoutError):
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "The room server cannot cut anybody off.") from None
        return {"did": f"{users} cut off for {OUTAGE} seconds"}

    async def _pass_on(self, wanted: str | None) -> dict[str, str]:
        """Have the supervisor do something.

        Raises:
            Problem: 409 it cannot be done now, 503 the supervisor does not answer.
        """
        wish = json.dumps({"do": wanted}).encode() + b"\n"
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(self._config.supervisor)
                writer.write(wish)
                said: dict[str, str] = json.loads(await reader.readline())
                writer.close()
        except (OSError, ValueError, TimeoutError):
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "`roomkeeper dev` does not answer.") from None
        if "error" in said:
            raise Problem(HTTPStatus.CONFLICT, said["error"])
        return said
