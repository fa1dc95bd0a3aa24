"""A peer connection with a real client on the other side of a real socket."""

from __future__ import annotations

import asyncio
import gc
import struct
import time
import weakref
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcdtlstransport import SRTP_PROFILES
from aiortc.rtcsctptransport import DataChunk, RTCSctpCapabilities, RTCSctpTransport
from OpenSSL import SSL
from pylibsrtp import Error as SrtpError

from bench.sfu.light.peer import Peer as Client
from roomkeeper.sfu.media.certificate import new_certificate
from roomkeeper.sfu.media.forward import DownTrack, UpTrack
from roomkeeper.sfu.media.ice import MediaPort
from roomkeeper.sfu.media.peer import MAX_CHANNELS, MAX_GAPS, MAX_STREAMS, MAX_WAITING, Peer, _Sctp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

RTP = bytes.fromhex("806f00010000000100000001") + b"payload"


class Owner:
    """The observer of a peer."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.packets: asyncio.Queue[bytes] = asyncio.Queue()

    def peer_connected(self, peer: Peer) -> None:
        self.connected.set()

    def peer_failed(self, peer: Peer, why: str) -> None:
        raise AssertionError(why)

    def channel_open(self, peer: Peer, label: str) -> None:
        pass

    def channel_message(self, peer: Peer, label: str, data: bytes) -> None:
        pass

    def rtp_received(self, peer: Peer, data: bytes) -> None:
        self.packets.put_nowait(data)

    def rtcp_received(self, peer: Peer, data: bytes) -> None:
        pass


class Channels(Owner):
    """Counts channels."""

    opened = 0

    def channel_open(self, peer: Peer, label: str) -> None:
        self.opened += 1


@asynccontextmanager
async def connected(owner: Owner) -> AsyncIterator[tuple[Peer, Client, asyncio.Queue[bytes]]]:
    """Connect a peer with a client, and end both."""
    port = MediaPort(clock=time.monotonic)
    await port.open("127.0.0.1", 0, ("127.0.0.1",))
    peer = Peer("single", port, new_certificate(), owner)
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    client = Client(heard.put_nowait)
    await client.ice.open()
    candidate = port.candidates[0]
    client.ice.start((candidate.host, candidate.port), peer.ice.local.ufrag, peer.ice.local.password)
    client.start(*next(f for f in peer.fingerprints if f[0] == "sha-256"))
    peer.start((("sha-256", client.fingerprint),), 5000)
    try:
        async with asyncio.timeout(10):
            await owner.connected.wait()
            await client.connected.wait()
            yield peer, client, heard
    finally:
        await client.close()
        await peer.close()
        port.close()


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_rtp_passes_both_ways() -> None:
    owner = Owner()
    async with connected(owner) as (peer, client, heard):
        client.send_rtp(RTP)
        assert await owner.packets.get() == RTP
        peer.send_rtp(RTP)
        assert await heard.get() == RTP


async def test_srtp_keeps_nothing_of_a_track_that_is_over() -> None:
    owner = Owner()
    async with connected(owner) as (peer, _, heard):
        up = UpTrack("TR_1", 0)
        down = DownTrack(up, peer, 99, 111)
        down.start()
        up.receive(RTP, 1.0)
        assert (await heard.get()).endswith(b"payload")
        down.close()
        assert up.receive(RTP, 1.0) == 0
        with pytest.raises(SrtpError):
            peer._dtls._tx_srtp.remove_stream(99)


@pytest.mark.usefixtures("no_garbage_collection")
async def test_a_closed_peer_and_its_owner_are_freed_without_a_garbage_collection() -> None:
    owner = Owner()
    async with connected(owner) as (peer, _, _):
        gone = [weakref.ref(each) for each in (peer, peer.ice, peer._dtls, peer._sctp, owner)]
    del peer, owner
    await asyncio.sleep(0)
    assert [ref() for ref in gone] == [None] * len(gone)


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("started", [False, True], ids=["before", "in"])
async def test_a_peer_closed_before_or_in_its_handshake_is_freed_too(started: bool) -> None:  # noqa: FBT001
    port = MediaPort(clock=time.monotonic)
    peer = Peer("subscriber", port, new_certificate(), Owner())
    peer.open_channels()
    if started:
        peer.start((("sha-256", "AB"),), 5000)
        await asyncio.sleep(0)
    await peer.close()
    gone = [weakref.ref(each) for each in (peer, peer.ice, peer._dtls, peer._sctp)]
    del peer
    await asyncio.sleep(0)
    assert [ref() for ref in gone] == [None] * len(gone)


def test_all_connections_share_one_openssl_context_that_remembers_nobody() -> None:
    certificate = new_certificate()
    context = certificate._create_ssl_context(SRTP_PROFILES)
    assert certificate._create_ssl_context(SRTP_PROFILES) is context
    assert context.get_session_cache_mode() == SSL.SESS_CACHE_OFF
    assert new_certificate()._create_ssl_context(SRTP_PROFILES) is not context


BEGIN, END, UNORDERED = 2, 1, 4


def chunk(tsn: int, *, stream: int = 0, flags: int = BEGIN | END, data: bytes = b"x") -> DataChunk:
    """One fragment of a message as a client would send it."""
    made = DataChunk(flags=flags)
    made.tsn, made.stream_id, made.user_data, made.protocol = tsn, stream, data, 53  # binary
    return made


@pytest.fixture
async def sctp() -> AsyncIterator[RTCSctpTransport]:
    """The SCTP of a peer that has heard everything up to number 100."""
    port = MediaPort(clock=time.monotonic)
    peer = Peer("single", port, new_certificate(), Owner())
    peer._sctp._last_received_tsn = 100
    yield peer._sctp
    await peer.close()


@pytest.mark.parametrize(
    "flags", [BEGIN | END | UNORDERED, BEGIN | UNORDERED, BEGIN], ids=["whole", "begun", "ordered"]
)
@pytest.mark.parametrize("first", [101, 102], ids=["in order", "overtaking"])
async def test_what_a_client_never_completes_takes_bounded_room(sctp: RTCSctpTransport, flags: int, first: int) -> None:
    for number in range(6000):
        begun = flags if first == 102 or number == 0 or flags & END else flags & ~BEGIN
        await sctp._receive_data_chunk(chunk(first + number, stream=number % 2, flags=begun, data=b"xx"))
    assert sum(len(stream.reassembly) for stream in sctp._inbound_streams.values()) <= 4 * MAX_WAITING
    assert len(sctp._sack_misordered) <= MAX_GAPS


async def test_a_client_that_keeps_to_no_window_is_not_kept_beyond_it(sctp: RTCSctpTransport) -> None:
    before = sctp._advertised_rwnd
    for number in range(2000):
        await sctp._receive_data_chunk(chunk(102 + number, flags=BEGIN, data=bytes(1200)))
    assert 0 <= sctp._advertised_rwnd < 1200
    for tsn in (101, *range(102 + 2000, 102 + 2010)):
        await sctp._receive_data_chunk(chunk(tsn, data=b""))
    assert sctp._last_received_tsn == 100
    assert before == 1024 * 1024


async def test_streams_are_counted(sctp: RTCSctpTransport) -> None:
    for number in range(2 * MAX_STREAMS):
        await sctp._receive_data_chunk(chunk(101 + number, stream=number))
    assert len(sctp._inbound_streams) == MAX_STREAMS


async def test_a_missing_fragment_is_taken_even_if_all_room_is_used(
    sctp: RTCSctpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bytes] = []

    async def receive(stream_id: int, pp_id: int, data: bytes) -> None:
        taken.append(data)

    monkeypatch.setattr(sctp, "_receive", receive)
    while sctp._advertised_rwnd >= 1200:
        number = len(sctp._sack_misordered)
        sent = chunk(102 + number, data=bytes(1200))
        sent.stream_seq = number + 1
        await sctp._receive_data_chunk(sent)
    await sctp._receive_data_chunk(chunk(101, data=bytes(1200)))
    assert len(taken) == 1 + 1024 * 1024 // 1200
    assert sctp._advertised_rwnd == 1024 * 1024


async def test_a_client_may_open_so_many_channels_whatever_they_are_called() -> None:
    owner = Channels()
    peer = Peer("single", MediaPort(clock=time.monotonic), new_certificate(), owner)
    for number in range(3 * MAX_CHANNELS):
        request = struct.pack("!BBHLHH", 3, 0, 0, 0, 1, 0) + b"x"  # DATA_CHANNEL_OPEN (RFC 8832 section 5.1)
        await peer._sctp._data_channel_receive(number, 50, request)
    assert owner.opened == MAX_CHANNELS
    await peer.close()


class Cable:
    """One end of a link that loses every tenth packet; stands below SCTP in the place of DTLS."""

    state = "connected"

    def __init__(self, role: str) -> None:
        self._role = role
        self.other: Cable
        self.above: RTCSctpTransport
        self.count = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def _register_data_receiver(self, above: RTCSctpTransport) -> None:
        self.above = above

    def _unregister_data_receiver(self, above: RTCSctpTransport) -> None:
        del above

    async def _send_data(self, data: bytes) -> None:
        self.count += 1
        if self.count % 10:
            asyncio.get_running_loop().call_soon(self.other.carry, data)

    def carry(self, data: bytes) -> None:
        task = asyncio.create_task(self.above._handle_data(data))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def test_what_a_client_sends_reliably_arrives_whole_over_a_link_that_loses_packets() -> None:
    near, far = Cable("server"), Cable("client")
    near.other, far.other = far, near
    ours, theirs = _Sctp(near), RTCSctpTransport(far)  # type: ignore[arg-type]  # duck-typed DTLS
    arrived: list[bytes] = []
    done = asyncio.Event()

    def take(data: bytes) -> None:
        arrived.append(data)
        if len(arrived) == len(messages):
            done.set()

    ours.on("datachannel", lambda channel: channel.on("message", take))
    messages = [bytes([number]) * 60_000 for number in range(20)] + [bytes([number]) for number in range(200)]
    await ours.start(RTCSctpCapabilities(maxMessageSize=65535), 5000)
    await theirs.start(RTCSctpCapabilities(maxMessageSize=65535), 5000)
    channel = RTCDataChannel(theirs, RTCDataChannelParameters(label="_reliable", ordered=True))
    opened = asyncio.Event()
    channel.on("open", opened.set)
    async with asyncio.timeout(20):
        await opened.wait()
        for message in messages:
            channel.send(message)
        await done.wait()
    assert arrived == messages
    await theirs.stop()
    await ours.stop()
