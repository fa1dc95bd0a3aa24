"""The room servers of these tests: ours, in both ways, or the one that `LIVEKIT_URL` names.

A server that runs already keeps its rooms, and what it has to tell of them, from test to test, so each test has names
of its own. If it posts webhooks to this machine, `ROOMKEEPER_TEST_WEBHOOK_PORT` says where, as
`http://127.0.0.1:PORT/webhooks/livekit`. Without them, as with LiveKit Cloud, everything is found by looking: some
seconds later, and an absence does not tell why somebody left.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from livekit import api

from tests.conformance.support import server as own
from tests.conformance.support.server import Options, Server, ServerProcess
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

RUNNING_URL = os.environ.get("LIVEKIT_URL")
KINDS = ["running"] if RUNNING_URL else ["default", "strict"]
"""What a test is run on."""
WEBHOOKS = not RUNNING_URL or "ROOMKEEPER_TEST_WEBHOOK_PORT" in os.environ
"""Whether the control plane is told what happens."""
PATIENCE = 10.0 if WEBHOOKS else 60.0
"""Seconds until a session must be in the state that follows."""
KEY = os.environ["LIVEKIT_API_KEY"] if RUNNING_URL else own.KEY
SECRET = os.environ["LIVEKIT_API_SECRET"] if RUNNING_URL else own.SECRET


def webhook_port() -> int:
    """Find the port that takes webhooks in this test."""
    return int(os.environ.get("ROOMKEEPER_TEST_WEBHOOK_PORT", "0")) or free_port()


@asynccontextmanager
async def room_server(kind: str, folder: Path, *rooms: str, port: int = 0) -> AsyncIterator[Server]:
    """Run a server of ours, or give the one that runs.

    Args:
        kind: One of `KINDS`.
        folder: For its log.
        rooms: That the test uses, by names of its own; none of them is left at the end.
        port: Where webhooks are taken; 0: nowhere.
    """
    if RUNNING_URL:
        server = Server(RUNNING_URL, KEY, SECRET)
        try:
            yield server
        finally:
            await lose_rooms(server, *rooms)
        return
    hooks = (f"http://127.0.0.1:{port}/webhooks/livekit",) if port else ()
    process = ServerProcess(Options(strict=kind == "strict", webhooks=hooks), folder / "sfu.log")
    process.start()
    try:
        yield process.server
    finally:
        process.kill()


async def lose_rooms(server: Server, *rooms: str) -> None:
    """Delete rooms, whether they are there or not."""
    async with api.LiveKitAPI(server.http, server.key, server.secret) as livekit:
        for room in rooms:
            with suppress(api.TwirpError):
                await livekit.room.delete_room(api.DeleteRoomRequest(room=room))
