"""A real room server, a real database, and a control plane between them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from roomkeeper.control.adoption import Adopters
from roomkeeper.control.plane import PlaneConfig, run_plane
from roomkeeper.control.problems import EXCEPTION_HANDLERS
from roomkeeper.lifecycle.policy import Policy
from tests.conformance.support.clients import Client
from tests.control.room_servers import KINDS, WEBHOOKS, room_server, webhook_port
from tests.unit.control.conftest import database_url, postgres

__all__ = ["database_url", "postgres"]  # fixtures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from roomkeeper.control.plane import Plane
    from tests.conformance.support.server import Server

AGENT = "interviewer"
POLICY = Policy(hold_web=2, hold_sip=0, linger=1, join_timeout=30, agent_timeout=30)
if not WEBHOOKS:  # an agent that was not seen to leave is waited for
    POLICY = replace(POLICY, agent_timeout=8, recover_attempts=1)


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


@pytest.fixture
def tea() -> str:
    """A room name of this test's own: webhooks about another test's rooms may still be on their way."""
    return f"tea-{uuid4().hex[:8]}"


@pytest.fixture
def theirs() -> str:
    """Another one."""
    return f"theirs-{uuid4().hex[:8]}"


@pytest.fixture(params=KINDS)
async def house(request: pytest.FixtureRequest, tmp_path: Path, tea: str, theirs: str) -> AsyncIterator[House]:
    port = webhook_port()
    async with room_server(request.param, tmp_path, tea, theirs, port=port) as server:
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
