"""ICE-lite (RFC 8445 section 2.5) on one UDP and one TCP port shared by every peer connection.

A client's STUN check names the transport it wants in USERNAME (`ours:theirs`), and proves it with the password that
only our SDP told it. From then on the client's address alone decides where its packets go. A restart (RFC 8445
section 9) is one new pair of credentials: DTLS and SRTP above stay as they are.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from aioice import stun

from roomkeeper.sfu.limits import Limits, TokenBucket
from roomkeeper.sfu.media.routes import MAX_DATAGRAM, Route, TcpRoute, UdpRoute

Clock = Callable[[], float]

MAX_TCP_CONNECTIONS = 1024
STUN_MIN, STUN_MAX = 20, 548
"""Bytes of a STUN message; RFC 8489 section 6.1 keeps requests below the 548 bytes of an unknown IPv4 path."""
MAX_ROUTES = 16
"""Addresses of one client that are remembered; a network address translator gives it new ones for hours."""
SOCKET_BUFFER = 4 * 1024 * 1024
"""Bytes asked of the kernel for the UDP socket: everybody's packets wait there while this process gets no core. The
usual 208 KiB hold 90 ms of 30 talking pairs; Linux grants at most `net.core.rmem_max`."""
USERNAME = 0x0006
"""The STUN attribute (RFC 8489 section 18.3)."""
_ATTRIBUTE = struct.Struct("!HH")
ANY_PORT_ATTEMPTS = 16
"""A port that the system gives for UDP may be taken for TCP; then the next one is tried."""
RECEIVE_QUEUE = 256
"""DTLS records waiting for one transport; a peer that outruns its own handshake loses the rest."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One generation of ICE credentials (RFC 8839 section 5.4)."""

    ufrag: str
    password: str

    @classmethod
    def fresh(cls) -> Credentials:
        """Makes an unguessable pair."""
        # Base64's letters are those that ICE allows (RFC 8839 section 5.4); 9 and 24 bytes need no padding.
        return cls(*(base64.b64encode(secrets.token_bytes(size)).decode() for size in (9, 24)))


@dataclass(frozen=True, slots=True)
class Candidate:
    """Where clients reach the port, as an SDP candidate attribute tells it."""

    protocol: str
    host: str
    port: int

    def to_sdp(self) -> str:
        """Returns the value of `a=candidate:` (RFC 8839 section 5.1, RFC 6544 section 4.5 for TCP)."""
        if self.protocol == "udp":
            return f"1 1 udp 2130706431 {self.host} {self.port} typ host"
        return f"2 1 tcp 1671430143 {self.host} {self.port} typ host tcptype passive"


class IceTransport:
    """The ICE side of one peer connection; stands in for aiortc's `RTCIceTransport` below its DTLS.

    Attributes:
        local: The credentials our next description offers.
        heard_at: When the client was last heard, in seconds of the port's clock; None before the first packet.
        only: The only protocol that clients are told candidates of; None: all.
        cut_until: Nothing passes before, in seconds of the port's clock; see `outage.py`.
    """

    role = "controlled"

    def __init__(self, port: MediaPort, receive: Callable[[bytes], bool]) -> None:
        self._port = port
        self._receive = receive
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(RECEIVE_QUEUE)
        self._datagrams = TokenBucket(port.limits.datagrams)
        self._bytes = TokenBucket(port.limits.datagram_bytes)
        self._checks = TokenBucket(port.limits.strange_checks)
        self._routes: dict[object, Route] = {}
        self._previous: Credentials | None = None
        self._closed = False
        self.route: Route | None = None
        self.local = Credentials.fresh()
        self.heard_at: float | None = None
        self.only: str | None = None
        self.cut_until = 0.0
        port.register(self, self.local)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Where clients reach this transport."""
        return tuple(c for c in self._port.candidates if self.only in {None, c.protocol})

    def restart(self) -> None:
        """Makes new credentials; the old ones hold until a check with the new ones has come."""
        if self._previous is not None:
            self._port.unregister(self._previous)
        self._previous, self.local = self.local, Credentials.fresh()
        self._port.register(self, self.local)

    def password(self, ufrag: str) -> bytes | None:
        """Returns the password that belongs to one of our ufrags."""
        for credentials in (self.local, self._previous):
            if credentials is not None and credentials.ufrag == ufrag:
                return credentials.password.encode()
        return None

    def checked(self, route: Route, ufrag: str, *, nominated: bool) -> None:
        """Takes an authenticated check: the first route is used at once, later ones when the client nominates them."""
        self.heard_at = self._port.now()
        if route.key not in self._routes:
            if len(self._routes) >= MAX_ROUTES:
                oldest = next(known for known in self._routes.values() if known is not self.route)
                del self._routes[oldest.key]
                self._port.detach(oldest)
            self._routes[route.key] = route
            self._port.attach(self, route)
        if self.route is None or nominated:
            self.route = self._routes[route.key]
        if nominated and ufrag == self.local.ufrag and self._previous is not None:
            self._port.unregister(self._previous)
            self._previous = None

    def admits_stranger(self) -> bool:
        """Says whether one more check that names this transport may come now from an address that is not proven."""
        return self._checks.take(now=self._port.now())

    def admits(self, size: int) -> bool:
        """Says whether the client may send so many bytes now; if not, they are as good as lost."""
        now = self._port.now()
        if now < self.cut_until:
            return False
        if self._datagrams.take(now=now) and self._bytes.take(now=now, amount=size):
            return True
        self._port.excess += 1
        return False

    def receive(self, data: bytes) -> None:
        """Takes a packet that came by a proven route."""
        now = self._port.now()
        if now >= self.cut_until:
            self.heard_at = now
        if self.admits(len(data)) and not self._receive(data):
            with contextlib.suppress(asyncio.QueueFull):
                self._queue.put_nowait(data)

    def lost(self, route: Route) -> None:
        """Forgets a route whose TCP connection has closed."""
        self._routes.pop(route.key, None)
        if self.route is route:
            self.route = next(iter(self._routes.values()), None)

    def send(self, data: bytes) -> None:
        """Sends a packet to the client, if it is reachable."""
        if self.route is not None and self._port.now() >= self.cut_until:
            self.route.send(data)

    def close(self) -> None:
        """Forgets every route and credential, and ends the reader."""
        if self._closed:
            return
        self._closed = True
        for credentials in (self.local, self._previous):
            if credentials is not None:
                self._port.unregister(credentials)
        for route in self._routes.values():
            self._port.detach(route)
        self._routes.clear()
        self.route = None
        self._receive = _refuse
        while self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def _recv(self) -> bytes:
        # Called by aiortc's RTCDtlsTransport.
        data = await self._queue.get()
        if data is None:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        # Called by aiortc's RTCDtlsTransport.
        if self._closed:
            raise ConnectionError
        self.send(data)


def _refuse(data: bytes) -> bool:
    """Takes the place of a closed transport's receiver, so that the two no longer hold each other."""
    del data
    return True


class MediaPort(asyncio.DatagramProtocol):
    """The UDP and TCP port that all media of this process goes through.

    Attributes:
        now: The clock, in seconds.
        limits: How much anybody may send.
        candidates: What clients are told.
        dropped: Packets from nobody known.
        excess: Packets beyond the rate of somebody known.
    """

    def __init__(self, *, clock: Clock, limits: Limits | None = None) -> None:
        self.now = clock
        self.limits = limits or Limits()
        self.candidates: tuple[Candidate, ...] = ()
        self.dropped = 0
        self.excess = 0
        self._by_ufrag: dict[str, IceTransport] = {}
        self._by_route: dict[object, IceTransport] = {}
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._streams: set[TcpRoute] = set()

    async def open(self, host: str, port: int, advertise: tuple[str, ...]) -> None:
        """Binds UDP and TCP to the same port number.

        Args:
            host: Address to bind to.
            port: Port number; 0 takes a free one.
            advertise: Addresses told to clients.

        Raises:
            OSError: The port is taken.
        """
        attempts = 1 if port else ANY_PORT_ATTEMPTS
        number = None
        while number is None:
            attempts -= 1
            try:
                number = await self._bind(host, port)
            except OSError:
                if not attempts:
                    raise
        self.candidates = tuple(Candidate(kind, address, number) for kind in ("udp", "tcp") for address in advertise)

    async def _bind(self, host: str, port: int) -> int:
        loop = asyncio.get_running_loop()
        udp, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
        udp.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        number = int(udp.get_extra_info("sockname")[1])
        try:
            self._tcp = await loop.create_server(lambda: TcpRoute(self), host, number)
        except OSError:
            udp.close()
            raise
        return number

    def close(self) -> None:
        """Closes both sockets and every TCP connection."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for stream in list(self._streams):
            stream.close()

    def register(self, transport: IceTransport, credentials: Credentials) -> None:
        """Makes checks for these credentials reach the transport."""
        self._by_ufrag[credentials.ufrag] = transport

    def unregister(self, credentials: Credentials) -> None:
        """Ends what `register` began."""
        self._by_ufrag.pop(credentials.ufrag, None)

    def attach(self, transport: IceTransport, route: Route) -> None:
        """Gives the packets of a proven route to the transport."""
        if isinstance(route, TcpRoute):
            route.proved()
        self._by_route[route.key] = transport

    def detach(self, route: Route) -> None:
        """Ends what `attach` began."""
        self._by_route.pop(route.key, None)
        if isinstance(route, TcpRoute):
            route.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the UDP socket (asyncio protocol)."""
        # uvloop's transports are not subclasses of asyncio's.
        self._udp = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Hands a datagram to its transport (asyncio protocol)."""
        transport = self._by_route.get(addr)
        if transport is not None and data and data[0] > 3:
            transport.receive(data)
        elif self._udp is not None:
            self.packet(data, UdpRoute(self._udp, addr))

    def error_received(self, exc: Exception) -> None:
        """Ignores ICMP errors: silence is judged by time alone (asyncio protocol)."""

    def packet(self, data: bytes, route: Route) -> None:
        """Takes a packet: STUN by its first byte (RFC 7983), anything else only from a proven route."""
        if not data or len(data) > MAX_DATAGRAM:
            self.dropped += 1
            return
        known = self._by_route.get(route.key)
        if data[0] > 3:
            if known is None:
                self.dropped += 1
            else:
                known.receive(data)
            return
        ufrag = _named(data) if STUN_MIN <= len(data) <= STUN_MAX else ""
        transport = self._by_ufrag.get(ufrag)
        # A stranger's check is read only if it names somebody here, and at the cost of that one alone: no flood from
        # elsewhere keeps others from joining.
        if transport is None or (known is None and not transport.admits_stranger()):
            self.dropped += 1
            return
        if known is not None and not known.admits(len(data)):
            return
        self._check(data, route, transport, ufrag)

    def _check(self, data: bytes, route: Route, transport: IceTransport, ufrag: str) -> None:
        try:
            request = stun.parse_message(data)
        except (ValueError, struct.error, IndexError, UnicodeError):
            self.dropped += 1
            return
        is_check = request.message_method == stun.Method.BINDING and request.message_class == stun.Class.REQUEST
        key = transport.password(ufrag) if is_check else None
        if key is None or not request.check_message_integrity(key):
            self.dropped += 1
            return
        if self.now() < transport.cut_until:
            return
        owner = self._by_route.get(route.key)
        if owner is not None and owner is not transport:
            owner.lost(route)
            self._by_route.pop(route.key, None)
        transport.checked(route, ufrag, nominated="USE-CANDIDATE" in request.attributes)
        response = stun.Message(
            message_method=stun.Method.BINDING,
            message_class=stun.Class.RESPONSE,
            transaction_id=request.transaction_id,
            attributes={"XOR-MAPPED-ADDRESS": route.address},
        )
        response.add_message_integrity(key)
        route.send(bytes(response))

    def stream_opened(self, stream: TcpRoute) -> bool:
        """Admits a TCP connection, or says no when there are too many."""
        if len(self._streams) >= MAX_TCP_CONNECTIONS:
            return False
        self._streams.add(stream)
        return True

    def stream_closed(self, stream: TcpRoute) -> None:
        """Forgets a TCP connection."""
        self._streams.discard(stream)
        transport = self._by_route.pop(stream.key, None)
        if transport is not None:
            transport.lost(stream)


def _named(data: bytes) -> str:
    """Returns the ufrag of ours that a check names in USERNAME, or nothing; a packet of no meaning costs no more."""
    at = STUN_MIN
    while at + 4 <= len(data):
        kind, length = _ATTRIBUTE.unpack_from(data, at)
        if kind == USERNAME:
            return data[at + 4 : at + 4 + length].partition(b":")[0].decode("ascii", "replace")
        at += 4 + length + -length % 4
    return ""
