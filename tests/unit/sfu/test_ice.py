"""The shared media port: who may send, which transport a packet reaches, over real sockets and by direct calls."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from roomkeeper.sfu.limits import Limits
from roomkeeper.sfu.media import routes as sfu_routes
from roomkeeper.sfu.media.ice import MAX_ROUTES, IceTransport, MediaPort
from roomkeeper.sfu.media.routes import MAX_DATAGRAM
from roomkeeper.wire.rates import Rate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Somewhere:
    """A route that keeps what would be sent."""

    def __init__(self, port: int = 1000) -> None:
        self.address = ("127.0.0.1", port)
        self.key: object = self.address
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)


class Now:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def port(now: Now) -> MediaPort:
    return MediaPort(clock=now)


def transport(port: MediaPort) -> tuple[IceTransport, list[bytes]]:
    received: list[bytes] = []

    def receive(data: bytes) -> bool:
        received.append(data)
        return True

    return IceTransport(port, receive), received


def check(ice: IceTransport, *, nominate: bool = True, password: str | None = None) -> bytes:
    attributes: dict[str, object] = {"USERNAME": f"{ice.local.ufrag}:theirs", "PRIORITY": 1}
    if nominate:
        attributes["USE-CANDIDATE"] = None
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=attributes)
    message.add_message_integrity((password or ice.local.password).encode())
    return bytes(message)


def test_a_check_is_answered_with_the_address_it_came_from(port: MediaPort) -> None:
    ice, _ = transport(port)
    route = Somewhere()
    port.packet(check(ice), route)
    response = stun.parse_message(route.sent[0])
    assert response.message_class == stun.Class.RESPONSE
    assert response.attributes["XOR-MAPPED-ADDRESS"] == route.address
    assert response.check_message_integrity(ice.local.password.encode())
    assert ice.route is route


def test_packets_reach_the_transport_whose_check_came_from_there(port: MediaPort) -> None:
    (one, to_one), (two, to_two) = transport(port), transport(port)
    here, there = Somewhere(1), Somewhere(2)
    port.packet(check(one), here)
    port.packet(check(two), there)
    port.packet(b"\x80 one", here)
    port.packet(b"\x80 two", there)
    port.packet(b"\x80 nobody", Somewhere(3))
    assert (to_one, to_two, port.dropped) == ([b"\x80 one"], [b"\x80 two"], 1)


def test_a_wrong_password_proves_nothing(port: MediaPort) -> None:
    ice, received = transport(port)
    route = Somewhere()
    port.packet(check(ice, password="wrong"), route)
    port.packet(b"\x80 media", route)
    assert (route.sent, received, ice.route) == ([], [], None)


def test_the_nominated_route_is_used_and_another_only_after_nomination(port: MediaPort) -> None:
    ice, _ = transport(port)
    first, second = Somewhere(1), Somewhere(2)
    port.packet(check(ice, nominate=False), first)
    port.packet(check(ice, nominate=False), second)
    assert ice.route is first
    port.packet(check(ice), second)
    assert ice.route is second


def test_old_credentials_hold_until_the_new_ones_are_nominated(port: MediaPort) -> None:
    ice, _ = transport(port)
    route = Somewhere()
    port.packet(check(ice), route)
    before = check(ice)
    ice.restart()
    port.packet(before, route)
    assert len(route.sent) == 2
    port.packet(check(ice), route)
    port.packet(before, route)
    assert len(route.sent) == 3


def test_what_a_client_sends_beyond_its_rate_is_lost_and_harms_nobody_else(now: Now) -> None:
    port = MediaPort(clock=now, limits=Limits(datagrams=Rate(per_second=1, burst=4)))
    (loud, to_loud), (calm, to_calm) = transport(port), transport(port)
    here, there = Somewhere(1), Somewhere(2)
    port.packet(check(loud), here)
    port.packet(check(calm), there)
    for _ in range(6):
        port.packet(b"\x80 media", here)
    port.packet(check(loud), here)
    port.packet(b"\x80 media", there)
    assert (len(to_loud), len(here.sent), len(to_calm), port.excess) == (4, 1, 1, 3)
    now.seconds += 1
    port.packet(b"\x80 media", here)
    assert len(to_loud) == 5


def test_what_a_client_sends_beyond_its_bytes_is_lost(now: Now) -> None:
    port = MediaPort(clock=now, limits=Limits(datagram_bytes=Rate(per_second=1, burst=1000)))
    ice, received = transport(port)
    here = Somewhere()
    port.packet(check(ice), here)
    for _ in range(3):
        port.packet(b"\x80" + bytes(399), here)
    assert (len(received), port.excess) == (2, 1)


def test_a_closed_transport_hears_nothing(port: MediaPort) -> None:
    ice, received = transport(port)
    route = Somewhere()
    request = check(ice)
    port.packet(request, route)
    ice.close()
    port.packet(b"\x80 media", route)
    port.packet(request, route)
    assert (received, len(route.sent)) == ([], 1)


def test_an_address_that_checks_for_another_transport_moves_there(port: MediaPort) -> None:
    (one, to_one), (two, to_two) = transport(port), transport(port)
    route = Somewhere()
    port.packet(check(one), route)
    port.packet(check(two), route)
    port.packet(b"\x80 media", route)
    assert (to_one, to_two, one.route) == ([], [b"\x80 media"], None)


def test_a_flood_of_strangers_keeps_nobody_from_joining(port: MediaPort) -> None:
    (ice, _), (other, _) = transport(port), transport(port)
    stray = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes={"USERNAME": "unknown:theirs"})
    for number in range(3000):
        port.packet(b"\0" * 20, Somewhere(number))
        port.packet(bytes(stray), Somewhere(number))
    wrong = check(other, password="wrong")
    for number in range(1000):
        port.packet(wrong, Somewhere(number))
    late = Somewhere(9999)
    port.packet(check(ice), late)
    assert (len(late.sent), port.dropped) == (1, 7000)


def test_checks_that_name_a_client_are_bounded_for_it_alone(port: MediaPort, now: Now) -> None:
    (ice, _), (other, _) = transport(port), transport(port)
    wrong = check(ice, password="wrong")
    for number in range(1000):
        port.packet(wrong, Somewhere(number))
    late = Somewhere(9999)
    port.packet(check(ice), late)
    assert late.sent == []
    port.packet(check(other), late)
    now.seconds += 1
    port.packet(check(ice), Somewhere(9998))
    assert (len(late.sent), ice.route is not None) == (1, True)


def test_of_a_client_with_ever_new_addresses_the_latest_are_known_and_the_one_in_use(port: MediaPort) -> None:
    ice, received = transport(port)
    routes = [Somewhere(number) for number in range(3 * MAX_ROUTES)]
    for route in routes:
        port.packet(check(ice, nominate=False), route)
    for route in routes:
        port.packet(b"\x80", route)
    assert (len(received), ice.route) == (MAX_ROUTES, routes[0])
    assert len(port._by_route) == MAX_ROUTES


@given(st.binary(max_size=600))
def test_no_packet_breaks_the_port(data: bytes) -> None:
    port = MediaPort(clock=lambda: 1.0)
    ice, received = transport(port)
    route = Somewhere()
    port.packet(check(ice), route)
    port.packet(data, route)
    port.packet(data, Somewhere(2))
    assert received in ([], [data])


@given(st.data())
def test_no_changed_check_is_taken_for_a_genuine_one(data: st.DataObject) -> None:
    port = MediaPort(clock=lambda: 1.0)
    ice, _ = transport(port)
    message = bytearray(check(ice))
    at = data.draw(st.integers(0, len(message) - 9))
    message[at] ^= data.draw(st.integers(1, 255))
    route = Somewhere()
    port.packet(bytes(message), route)
    assert route.sent == []


@pytest.fixture
async def opened() -> AsyncIterator[MediaPort]:
    port = MediaPort(clock=asyncio.get_running_loop().time)
    await port.open("127.0.0.1", 0, ("127.0.0.1",))
    yield port
    port.close()
    await asyncio.sleep(0)


async def test_any_port_is_one_that_is_free_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    listen, asked = loop.create_server, list[int]()

    async def first_is_taken(factory: Callable[[], asyncio.BaseProtocol], host: str, port: int) -> asyncio.Server:
        asked.append(port)
        if len(asked) > 1:
            return await listen(factory, host, port)
        with socket.create_server((host, port)):
            return await listen(factory, host, port)

    monkeypatch.setattr(loop, "create_server", first_is_taken)
    port = MediaPort(clock=loop.time)
    await port.open("127.0.0.1", 0, ("127.0.0.1",))
    assert len(asked) == 2
    assert {candidate.port for candidate in port.candidates} == {asked[1]}
    port.close()


async def test_a_port_that_is_asked_for_and_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = MediaPort(clock=asyncio.get_running_loop().time)
        with pytest.raises(OSError, match="in use"):
            await port.open("127.0.0.1", other.getsockname()[1], ("127.0.0.1",))


async def test_udp_and_tcp_share_one_port_and_answer(opened: MediaPort) -> None:
    udp, tcp = opened.candidates
    assert (udp.protocol, tcp.protocol, udp.port) == ("udp", "tcp", tcp.port)
    ice, _ = transport(opened)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.setblocking(False)  # noqa: FBT003
        await loop.sock_sendto(datagrams, check(ice), ("127.0.0.1", udp.port))
        response = await asyncio.wait_for(loop.sock_recv(datagrams, 1500), 5)
    assert stun.parse_message(response).message_class == stun.Class.RESPONSE

    reader, writer = await asyncio.open_connection("127.0.0.1", tcp.port)
    request = check(ice)
    writer.write(len(request).to_bytes(2, "big") + request)
    length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), 5), "big")
    assert stun.parse_message(await reader.readexactly(length)).message_class == stun.Class.RESPONSE
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("length", [0, MAX_DATAGRAM + 1])
async def test_a_stream_with_an_impossible_length_is_closed(opened: MediaPort, length: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", opened.candidates[1].port)
    writer.write(length.to_bytes(2, "big") + b"x")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await writer.wait_closed()


async def test_a_stream_stays_only_if_a_check_has_proved_it(opened: MediaPort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sfu_routes, "PROVE_WITHIN", 0.1)
    ice, received = transport(opened)
    proved = await asyncio.open_connection("127.0.0.1", opened.candidates[1].port)
    request = check(ice)
    proved[1].write(len(request).to_bytes(2, "big") + request)
    await asyncio.wait_for(proved[0].readexactly(2), 5)
    stranger = await asyncio.open_connection("127.0.0.1", opened.candidates[1].port)
    assert await asyncio.wait_for(stranger[0].read(), 5) == b""
    proved[1].write(b"\0\x05\x80data")
    while not received:
        await asyncio.sleep(0.001)
    for _, writer in (proved, stranger):
        writer.close()
        await writer.wait_closed()
