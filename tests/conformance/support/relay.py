"""A network between clients and the server's media port that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RELAY_HOST = "127.0.0.2"
"""The address that the server tells its clients; the relay listens there, the server itself on 127.0.0.1."""

Address = tuple[str, int]


class _Far(asyncio.DatagramProtocol):
    """The relay's socket toward the server, one for each client, as a NAT has."""

    def __init__(self, relay: UdpRelay, client: Address) -> None:
        self.relay = relay
        self.client = client

    def datagram_received(self, data: bytes, _: Any) -> None:  # noqa: ANN401 - whatever asyncio calls an address
        if self.relay.loses(self.client):
            self.relay.lost += 1
        elif self.relay.near is not None:
            self.relay.near.sendto(data, self.client)

    def error_received(self, _: Exception) -> None:
        """Ignore what the network says: a server that is down refuses, and UDP does not care."""


@dataclass
class UdpRelay(asyncio.DatagramProtocol):
    """Passes datagrams between clients and one UDP port of the server.

    Attributes:
        port: The server's port, and the relay's.
        lossy: Whether everything is lost, both ways and without a word.
        spared: Ports of clients that lose nothing all the same.
        lost: How many datagrams were.
        near: The socket that clients send to.
    """

    port: int
    lossy: bool = False
    spared: frozenset[int] = frozenset()
    lost: int = 0
    near: asyncio.DatagramTransport | None = None
    _far: dict[Address, asyncio.Future[asyncio.DatagramTransport]] = field(default_factory=dict)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the socket."""
        self.near = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: Any) -> None:  # noqa: ANN401 - whatever asyncio calls an address
        """Pass on what a client sent."""
        if self.loses(address):
            self.lost += 1
            return
        if address not in self._far:
            self._far[address] = asyncio.ensure_future(self._open_far(address))
        far = self._far[address]
        if far.done():
            far.result().sendto(data)
        else:
            far.add_done_callback(lambda opened: opened.result().sendto(data))

    def loses(self, client: Address) -> bool:
        """Say whether what this client sends and is sent is lost."""
        return self.lossy and client[1] not in self.spared

    async def _open_far(self, client: Address) -> asyncio.DatagramTransport:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Far(self, client), remote_addr=("127.0.0.1", self.port)
        )
        return transport

    async def close(self) -> None:
        """Close every socket."""
        if self.near is not None:
            self.near.close()
        for far in self._far.values():
            (await far).close()


@asynccontextmanager
async def udp_relay(port: int) -> AsyncIterator[UdpRelay]:
    """Relay datagrams to a port of the server."""
    relay = UdpRelay(port)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: relay, local_addr=(RELAY_HOST, port))
    try:
        yield relay
    finally:
        await relay.close()


@dataclass
class TcpRelay:
    """Passes connections on to one TCP port of the server.

    Attributes:
        port: The server's port.
        refusing: Whether new connections are reset.
        carried: The bytes that each connection carried toward the server, also while it still does.
    """

    port: int
    refusing: bool = False
    carried: list[int] = field(default_factory=list)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _passes: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._passes.set()

    @property
    def lossy(self) -> bool:
        """Whether nothing comes through, and nobody is told; what was sent meanwhile comes through later."""
        return not self._passes.is_set()

    @lossy.setter
    def lossy(self, lossy: bool) -> None:
        if lossy:
            self._passes.clear()
        else:
            self._passes.set()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._open:
            writer.transport.abort()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side has closed it."""
        if self.refusing:
            writer.transport.abort()
            return
        self.carried.append(0)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        both = {writer, far_writer}
        self._open |= both
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, len(self.carried) - 1), self._pump(far_reader, writer, None)
            )
        finally:
            self._open -= both

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, index: int | None) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._passes.wait()
                if index is not None:
                    self.carried[index] += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def tcp_relay(port: int, *, listen: int | None = None) -> AsyncIterator[TcpRelay]:
    """Relay connections to a TCP port of the server.

    Args:
        port: The server's.
        listen: The relay's; the server's number if None.
    """
    relay = TcpRelay(port)
    async with await asyncio.start_server(relay.pass_on, RELAY_HOST, listen or port):
        yield relay
        relay.cut()
