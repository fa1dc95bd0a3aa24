"""A real room server, a real database, and a control plane between them.

`LIVEKIT_URL`, `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET` put a server that runs already in the place of ours; its rooms
`tea` and `theirs` are the tests'. If it posts webhooks to this machine, `ROOMKEEPER_TEST_WEBHOOK_PORT` says where, as
`http://127.0.0.1:PORT/webhooks/livekit`; without them everything is found by looking, some seconds later.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import uvicorn
from livekit import api
from starlette.applications import Starlette
from starlette.routing import Route

from roomkeeper.control.adoption import Adopters
from roomkeeper.control.plane import PlaneConfig, run_plane
from roomkeeper.control.problems import EXCEPTION_HANDLERS
from roomkeeper.lifecycle.policy import Policy
from tests.conformance.support.clients import Client
from tests.conformance.support.server import Options, Server, ServerProcess, free_port
from tests.unit.control.conftest import database_url, postgres

__all__ = ["database_url", "postgres"]  # fixtures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from roomkeeper.control.plane import Plane

RUNNING_URL = os.environ.get("LIVEKIT_URL")
ROOMS = ("tea", "theirs")
AGENT = "interviewer"
POLICY = Policy(hold_web=2, hold_sip=0, linger=1, join_timeout=30, agent_timeout=30)


class House:
    """The server, the control plane beside it, and people who come and go."""

    def __init__(self, server: Server, plane: Plane) -> None:
        self.server = server
        self.plane = plane
        self.clients: list[Client] = []

    async def join(
        self, identity: str, room: str, *, agent: bool = False, attributes: dict[str, str] | None = None
    ) -> Client:
        """Let somebody in; an agent carries the name that LiveKit's own agents carry."""
        token = self.server.unsigned_token(identity, room=room, kind="agent" if agent else "standard", agent=agent)
        named = {"lk.agent_name": AGENT} if agent else {}
        client = Client(identity)
        self.clients.append(client)
        await client.connect(self.server.ws, token.with_attributes({**named, **(attributes or {})}).to_jwt())
        return client

    async def leave(self, client: Client) -> None:
        """Leave on purpose."""
        self.clients.remove(client)
        await client.close()


@asynccontextmanager
async def serve_hooks(plane: Plane, port: int) -> AsyncIterator[None]:
    """Receive webhooks on a port."""
    app = Starlette(
        routes=[Route("/webhooks/livekit", plane.hooks.endpoint, methods=["POST"])],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task


@pytest.fixture(params=["running"] if RUNNING_URL else ["default", "strict"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    port = int(os.environ.get("ROOMKEEPER_TEST_WEBHOOK_PORT", "0")) or free_port()
    async with _server(request.param, port, tmp_path) as server:
        config = PlaneConfig(
            database=f"sqlite:///{tmp_path}/control.db",
            livekit_url=server.http,
            api_key=server.key,
            api_secret=server.secret,
            adopters=Adopters(agents={AGENT: POLICY}),
        )
        async with run_plane(config) as plane, serve_hooks(plane, port):
            house = House(server, plane)
            yield house
            await asyncio.gather(*(client.close() for client in house.clients))


@asynccontextmanager
async def _server(kind: str, port: int, folder: Path) -> AsyncIterator[Server]:
    """Give a server of ours, or the one that runs, without the rooms of earlier tests."""
    if RUNNING_URL:
        server = Server(RUNNING_URL, os.environ["LIVEKIT_API_KEY"], os.environ["LIVEKIT_API_SECRET"])
        async with api.LiveKitAPI(server.http, server.key, server.secret) as livekit:
            for room in ROOMS:
                with suppress(api.TwirpError):
                    await livekit.room.delete_room(api.DeleteRoomRequest(room=room))
        yield server
        return
    hooks = (f"http://127.0.0.1:{port}/webhooks/livekit",)
    process = ServerProcess(Options(strict=kind == "strict", webhooks=hooks), folder / "sfu.log")
    process.start()
    try:
        yield process.server
    finally:
        process.kill()
