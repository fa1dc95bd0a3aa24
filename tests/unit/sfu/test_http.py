"""uvicorn as the room server runs it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from typing import TYPE_CHECKING

import pytest
import websockets
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from roomkeeper.sfu import http as sfu_http
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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sfu_http, "HEAD_WITHIN", 0.2)


def address(http: HttpServer) -> tuple[str, int]:
    host, port = http.servers[0].sockets[0].getsockname()
    return host, port


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nX-Slow: "], ids=["nothing", "half a head"])
async def test_a_connection_without_a_request_is_closed(http: HttpServer, begun: bytes) -> None:
    reader, writer = await asyncio.open_connection(*address(http))
    writer.write(begun)
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()


@pytest.mark.usefixtures("impatient")
async def test_a_connection_with_a_request_may_stay(http: HttpServer) -> None:
    reader, writer = await asyncio.open_connection(*address(http))
    writer.write(b"GET /nowhere HTTP/1.1\r\nHost: here\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"404"
    async with websockets.connect("ws://{}:{}/".format(*address(http))) as client:
        async with asyncio.timeout(5):
            while await reader.read(1000):  # the second request never came
                pass
        await client.send("one")
        await client.wait_closed()
    writer.close()


async def test_a_websocket_may_be_asked_for_with_a_long_token(http: HttpServer) -> None:
    host, port = address(http)
    headers = {"Authorization": "Bearer " + "t" * 100_000}
    async with websockets.connect(f"ws://{host}:{port}/?access_token={'t' * 100_000}", additional_headers=headers):
        pass


async def test_a_closed_websocket_is_freed_without_a_garbage_collection(http: HttpServer) -> None:
    gc.collect()
    gc.disable()
    try:
        host, port = address(http)
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
