"""The client's side of ICE (RFC 8445) towards one server address, over a UDP socket of its own."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, cast

from aioice import stun

if TYPE_CHECKING:
    from collections.abc import Callable

Address = tuple[str, int]

RETRY = 0.05
"""Seconds between the first checks."""
KEEPALIVE = 2.5
"""Seconds between later ones, as libwebrtc does on a stable connection."""
PRIORITY = 1853693695
"""Of a peer-reflexive host candidate over UDP (RFC 8445 section 5.1.2.1)."""


class Ice(asyncio.DatagramProtocol):
    """Stands in for aiortc's `RTCIceTransport` below its DTLS.

    Attributes:
        ufrag, password: Our credentials.
        connected: Set when the server has answered a check.
    """

    role = "controlling"

    def __init__(self, media: Callable[[bytes], None]) -> None:
        self.ufrag = secrets.token_hex(4)
        self.password = secrets.token_hex(16)
        self.connected = asyncio.Event()
        self._media = media
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._socket: asyncio.DatagramTransport | None = None
        self._address: Address = ("", 0)
        self._remote = ("", "")
        self._tie_breaker = secrets.randbits(64)
        self._checking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Binds the socket."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=("0.0.0.0", 0))  # noqa: S104 - any server's way

    def start(self, address: Address, ufrag: str, password: str) -> None:
        """Begins to check the server's address; later calls change nothing."""
        if self._checking is None:
            self._address = address
            self._remote = (ufrag, password)
            self._checking = asyncio.create_task(self._check())

    async def _check(self) -> None:
        while True:
            ufrag, password = self._remote
            request = stun.Message(
                message_method=stun.Method.BINDING,
                message_class=stun.Class.REQUEST,
                attributes={
                    "USERNAME": f"{ufrag}:{self.ufrag}",
                    "PRIORITY": PRIORITY,
                    "ICE-CONTROLLING": self._tie_breaker,
                    "USE-CANDIDATE": None,
                },
            )
            request.add_message_integrity(password.encode())
            self.send(bytes(request))
            await asyncio.sleep(KEEPALIVE if self.connected.is_set() else RETRY)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the socket (asyncio protocol)."""
        self._socket = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Sorts packets by their first byte, RFC 7983 (asyncio protocol)."""
        if data[0] >= 128:
            self._media(data)
        elif data[0] > 3:
            self._queue.put_nowait(data)
        else:
            self._stun(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Ignores ICMP errors (asyncio protocol)."""

    def _stun(self, data: bytes, addr: Address) -> None:
        message = stun.parse_message(data)
        if message.message_class == stun.Class.RESPONSE:
            self.connected.set()
        elif message.message_class == stun.Class.REQUEST:
            answer = stun.Message(
                message_method=stun.Method.BINDING,
                message_class=stun.Class.RESPONSE,
                transaction_id=message.transaction_id,
                attributes={"XOR-MAPPED-ADDRESS": addr},
            )
            answer.add_message_integrity(self.password.encode())
            if self._socket is not None:
                self._socket.sendto(bytes(answer), addr)

    def send(self, data: bytes) -> None:
        """Sends one packet to the server."""
        if self._socket is not None:
            self._socket.sendto(data, self._address)

    async def _send(self, data: bytes) -> None:
        # Called by aiortc's RTCDtlsTransport.
        self.send(data)

    async def _recv(self) -> bytes:
        # Called by aiortc's RTCDtlsTransport.
        data = await self._queue.get()
        if data is None:
            raise ConnectionError
        return data

    def close(self) -> None:
        """Stops checking and frees the socket."""
        if self._checking is not None:
            self._checking.cancel()
        self._queue.put_nowait(None)
        if self._socket is not None:
            self._socket.close()
            self._socket = None
