"""How connections begin: what the first descriptions of a joiner hold."""

from __future__ import annotations

import struct
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiortc.rtp import RtcpRrPacket

from roomkeeper.sfu.media.certificate import new_certificate
from roomkeeper.sfu.media.connection import MAX_SOURCES, Exchange, MediaStack, Wanted
from roomkeeper.sfu.media.dual import DualConnection
from roomkeeper.sfu.media.forward import UpTrack
from roomkeeper.sfu.media.ice import MediaPort
from roomkeeper.sfu.media.single import SingleConnection
from tests.fuzz.samples import OFFER
from tests.unit.sfu.test_sdp import OFFER as AUDIO_OFFER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANSWER = OFFER.replace("actpass", "active")


class Owner:
    """The observer of a connection."""

    def __init__(self) -> None:
        self.offers: list[Exchange] = []
        self.required: list[int] = []
        self.overdid: list[str] = []
        self.binds = False

    def bind_track(self, cid: str, mid: str) -> str | None:
        del cid
        return f"TR_{mid}" if self.binds else None

    def track_live(self, sid: str) -> None: ...

    def track_gone(self, sid: str) -> None: ...

    def send_offer(self, exchange: Exchange) -> None:
        self.offers.append(exchange)

    def require_sections(self, audios: int) -> None:
        self.required.append(audios)

    def media_connected(self, *, primary: bool) -> None: ...

    def media_failed(self, why: str) -> None: ...

    def overdone(self, what: str) -> None:
        self.overdid.append(what)

    def channel_open(self, label: str) -> None: ...

    def channel_message(self, label: str, data: bytes) -> None: ...


@asynccontextmanager
async def stack() -> AsyncIterator[MediaStack]:
    port = MediaPort(clock=time.monotonic)
    yield MediaStack(port, new_certificate(), time.monotonic, time.time, lambda *_: None)
    port.close()


async def test_two_connections_offer_data_first_and_the_tracks_of_a_joiner_after_the_answer() -> None:
    owner = Owner()
    async with stack() as shared:
        connection = DualConnection(shared, owner)
        connection.want(wanted("TR_1", "TR_2"))
        assert owner.offers == []
        connection.begin()
        [first] = owner.offers
        connection.answered(ANSWER, first.id)
        await connection.close()
    [_, second] = owner.offers
    assert not first.mid_to_track
    assert "m=application" in first.text
    assert list(second.mid_to_track.values()) == ["TR_1", "TR_2"]


async def test_a_track_flows_once_its_offer_is_answered_and_the_connection_is_up() -> None:
    owner = Owner()
    async with stack() as shared:
        connection = DualConnection(shared, owner)
        connection.want(wanted("TR_1"))
        connection.begin()
        connection.answered(ANSWER, owner.offers[0].id)
        connection.subscriber.connected = True
        assert connection.flowing() == set()
        connection.answered(ANSWER, owner.offers[1].id)
        assert connection.flowing() == {"TR_1"}
        connection.subscriber.connected = False
        assert connection.flowing() == set()
        connection.want({})
        connection.subscriber.connected = True
        assert connection.flowing() == set()
        await connection.close()


async def test_a_single_connection_asks_for_missing_sections_only_after_the_first_offer() -> None:
    owner = Owner()
    async with stack() as shared:
        connection = SingleConnection(shared, owner)
        connection.want(wanted("TR_1", "TR_2"))
        assert owner.required == []
        connection.begin()
        assert owner.required == [0]
        answer = connection.offered(OFFER, 1)  # with one section to receive in
        await connection.close()
    assert list(answer.mid_to_track.values()) == ["TR_1"]
    assert owner.required == [0, 1]


async def test_sources_that_a_client_announced_once_are_not_kept_for_ever() -> None:
    owner = Owner()
    owner.binds = True
    async with stack() as shared:
        connection = DualConnection(shared, owner)
        for ssrc in range(1, 50):
            connection.offered(announcing(ssrc), ssrc)
        assert list(connection.tracks.ups) == [49]
        await connection.close()


async def test_who_sends_from_ever_new_sources_is_told_on_once() -> None:
    owner = Owner()
    async with stack() as shared:
        connection = SingleConnection(shared, owner)
        for ssrc in range(MAX_SOURCES):
            connection.rtp_received(connection.primary, struct.pack("!BBHII", 0x80, 111, 1, 0, ssrc))
        assert owner.overdid == []
        for ssrc in range(MAX_SOURCES, MAX_SOURCES + 5):
            connection.rtcp_received(connection.primary, bytes(RtcpRrPacket(ssrc=ssrc)))
        assert owner.overdid == ["sources"]
        await connection.close()


def announcing(ssrc: int) -> str:
    """An offer whose audio comes from this source."""
    return AUDIO_OFFER.replace("a=ssrc:1234 ", f"a=ssrc:{ssrc} ")


def wanted(*tracks: str) -> dict[str, Wanted]:
    return {sid: Wanted(UpTrack(sid, 0), "PA_1") for sid in tracks}
