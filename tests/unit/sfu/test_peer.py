"""A peer connection with a real client on the other side of a real socket."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiortc.rtcdtlstransport import SRTP_PROFILES
from OpenSSL import SSL

from bench.sfu.light.peer import Peer as Client
from roomkeeper.sfu.media.certificate import new_certificate
from roomkeeper.sfu.media.ice import MediaPort
from roomkeeper.sfu.media.peer import Peer

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
