"""A signal line between an SDK and the server that the test can read, change and cut."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from livekit.protocol import rtc
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from websockets.http11 import Request, Response

    from tests.conformance.support.server import Server


@dataclass
class Call:
    """One signal connection that came through.

    Attributes:
        path: `/rtc` or `/rtc/v1`.
        query: Of the URL.
        sent: What the client said.
        received: What the server said.
    """

    path: str
    query: dict[str, list[str]]
    sent: list[rtc.SignalRequest] = field(default_factory=list)
    received: list[rtc.SignalResponse] = field(default_factory=list)

    @property
    def is_resume(self) -> bool:
        """Whether the client wanted to go on with its session."""
        if "join_request" in self.query:
            return any(each.HasField("reconnect") for each in self.received[:1])
        return self.query.get("reconnect") == ["1"]


@dataclass
class SignalLine:
    """Passes signal connections on to a server.

    Attributes:
        server: The real one.
        calls: Every connection, oldest first.
        blocked: Whether new connections fail.
        rewrite: May change what clients say.
    """

    server: Server
    calls: list[Call] = field(default_factory=list)
    blocked: bool = False
    rewrite: Callable[[rtc.SignalRequest], rtc.SignalRequest] = lambda request: request
    url: str = ""
    _open: set[ServerConnection] = field(default_factory=set)

    def cut(self) -> None:
        """Break every connection, as a lost network does: without a close frame."""
        for connection in self._open:
            connection.transport.abort()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if self.blocked:
            return connection.respond(503, "the line is blocked")
        return None

    async def _pass_on(self, client: ServerConnection) -> None:
        assert client.request is not None
        url = urlsplit(client.request.path)
        call = Call(url.path, parse_qs(url.query))
        self.calls.append(call)
        headers = {name: client.request.headers[name] for name in ("Authorization",) if name in client.request.headers}
        self._open.add(client)
        try:
            target = f"{self.server.ws}{client.request.path}"
            async with connect(target, additional_headers=headers, proxy=None, max_size=None) as upstream:
                ways = [
                    asyncio.create_task(self._up(client, upstream, call)),
                    asyncio.create_task(_down(upstream, client, call)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.wait(ways)
        finally:
            self._open.discard(client)

    async def _up(self, client: ServerConnection, upstream: ClientConnection, call: Call) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                request = self.rewrite(rtc.SignalRequest.FromString(await client.recv(decode=False)))
                call.sent.append(request)
                await upstream.send(request.SerializeToString())


async def _down(upstream: ClientConnection, client: ServerConnection, call: Call) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            frame = await upstream.recv(decode=False)
            call.received.append(rtc.SignalResponse.FromString(frame))
            await client.send(frame)


@asynccontextmanager
async def signal_line(server: Server) -> AsyncIterator[SignalLine]:
    """Open a line to a server; clients connect to its `url`."""
    line = SignalLine(server)
    async with serve(line._pass_on, "127.0.0.1", 0, process_request=line._admit, max_size=None) as listener:
        port = next(iter(listener.sockets)).getsockname()[1]
        line.url = f"ws://127.0.0.1:{port}"
        yield line
