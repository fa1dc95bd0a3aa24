"""Ways back to a client: a datagram to its address, or its ICE-TCP connection (RFC 6544)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from roomkeeper.sfu.media.ice import MediaPort

Address = tuple[str, int]

PROVE_WITHIN = 10.0
"""Seconds that a TCP connection has to bring a check that is answered: there is room for so many only."""
MAX_DATAGRAM = 2048
"""Bytes; WebRTC never sends more than a path MTU, so anything longer is not ours."""


class Route(Protocol):
    """A way back to one client address."""

    key: object
    address: Address

    def send(self, data: bytes) -> None:
        """Sends one packet; never blocks, may lose it."""


class UdpRoute:
    """The way back over the shared UDP socket."""

    __slots__ = ("_socket", "address", "key")

    def __init__(self, socket: asyncio.DatagramTransport, address: Address) -> None:
        self._socket = socket
        self.address = address
        self.key: object = address

    def send(self, data: bytes) -> None:
        """Sends one datagram."""
        self._socket.sendto(data, self.address)


class TcpRoute(asyncio.Protocol):
    """One ICE-TCP connection: packets behind a two-byte length (RFC 4571)."""

    MAX_UNSENT = 256 * 1024
    """Bytes; a reader that slow gets no more real-time media."""

    def __init__(self, port: MediaPort) -> None:
        self._port = port
        self._buffer = bytearray()
        self._stream: asyncio.Transport | None = None
        self.address: Address = ("", 0)
        self.key: object = object()
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection if the port still has room (asyncio protocol)."""
        self._stream = cast("asyncio.Transport", transport)
        self.address = transport.get_extra_info("peername")[:2]
        if not self._port.stream_opened(self):
            self._stream.abort()
        self._deadline = asyncio.get_running_loop().call_later(PROVE_WITHIN, self.close)

    def proved(self) -> None:
        """A client of ours is at the other end: the connection may stay."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def data_received(self, data: bytes) -> None:
        """Cuts the stream into packets (asyncio protocol)."""
        self._buffer += data
        while len(self._buffer) >= 2:
            length = int.from_bytes(self._buffer[:2], "big")
            if length == 0 or length > MAX_DATAGRAM:
                self.close()
                return
            if len(self._buffer) < 2 + length:
                return
            packet = bytes(self._buffer[2 : 2 + length])
            del self._buffer[: 2 + length]
            self._port.packet(packet, self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection (asyncio protocol)."""
        self._stream = None
        self.proved()  # nothing is waited for any more
        self._port.stream_closed(self)

    def send(self, data: bytes) -> None:
        """Sends one packet unless the client has stopped reading."""
        stream = self._stream
        if stream is None or stream.is_closing() or stream.get_write_buffer_size() > self.MAX_UNSENT:
            return
        stream.write(len(data).to_bytes(2, "big") + data)

    def close(self) -> None:
        """Closes the connection."""
        if self._stream is not None:
            self._stream.close()
