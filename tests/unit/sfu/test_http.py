"""uvicorn as the room server runs it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING

import pytest
import websockets
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from roomkeeper.sfu.config import SfuConfig
from roomkeeper.sfu.http import HttpServer, WebSocket, http_config
from tests.unit.sfu.serving import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.websockets import WebSocket as Asked


async def hang_up(asked: Asked) -> None:
    """Take one message, then close."""
    await asked.accept()
    await asked.receive()
    await asked.close()


@pytest.fixture
async def http() -> AsyncIterator[HttpServer]:
    """A server that hangs up."""
    config = http_config(SfuConfig(), Starlette(routes=[WebSocketRoute("/", hang_up)]))
    config.port = 0
    server = HttpServer(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started or serving.done())
    yield server
    server.should_exit = True
    await serving


async def test_a_closed_websocket_is_freed_without_a_garbage_collection(http: HttpServer) -> None:
    gc.collect()
    gc.disable()
    try:
        host, port = http.servers[0].sockets[0].getsockname()
        async with websockets.connect(f"ws://{host}:{port}/") as client:
            [connection] = http.server_state.connections
            assert isinstance(connection, WebSocket)
            assert not connection.conn.extensions  # no compression: its buffers are larger than all else
            gone: list[weakref.ref[object]] = [weakref.ref(connection), weakref.ref(connection.conn)]
            del connection
            await client.send("one")
            await client.wait_closed()
        await until(lambda: not http.server_state.connections and not http.server_state.tasks)
        await asyncio.sleep(0)
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()
