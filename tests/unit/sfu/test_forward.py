"""RTP forwarding: headers, lost and late packets, loudness, reports."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, cast

import pytest
from aiortc.rtp import (
    RtcpPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
    RtpPacket,
)
from hypothesis import given
from hypothesis import strategies as st

from roomkeeper.sfu.media.forward import HISTORY, MAX_RESENT_PER_SECOND, DownTrack, UpTrack, ntp_time
from roomkeeper.sfu.media.rtcp import Tracks

if TYPE_CHECKING:
    from roomkeeper.sfu.media.peer import Peer

LEVEL_ID = 1
NOW = 5.0
WALL = 1_700_000_000.25


class Sent:
    """Stands for the peer: keeps what would be encrypted."""

    def __init__(self) -> None:
        self.packets: list[RtpPacket] = []

    def send_rtp(self, packet: bytes) -> None:
        self.packets.append(RtpPacket.parse(packet))


def rtp(
    sequence: int, *, payload: bytes = b"opus", timestamp: int = 0, ssrc: int = 7, level: int | None = None
) -> bytes:
    first, extension = 0x80, b""
    if level is not None:
        first |= 0x10
        extension = struct.pack("!HHBBxx", 0xBEDE, 1, LEVEL_ID << 4, level)
    return struct.pack("!BBHII", first, 111, sequence & 0xFFFF, timestamp, ssrc) + extension + payload


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def up() -> UpTrack:
    return UpTrack("TR_1", LEVEL_ID)


@pytest.fixture
def down(up: UpTrack, sent: Sent) -> DownTrack:
    track = DownTrack(up, cast("Peer", sent), ssrc=99, payload_type=63)
    track.start()
    return track


def numbers(sent: Sent) -> list[int]:
    return [packet.sequence_number - DownTrack.FIRST_SEQUENCE for packet in sent.packets]


@pytest.mark.usefixtures("down")
def test_a_packet_gets_a_new_header_and_keeps_payload_and_timestamp(up: UpTrack, sent: Sent) -> None:
    assert up.receive(rtp(5, payload=b"voice", timestamp=960, level=10), NOW) == 1
    [packet] = sent.packets
    assert (packet.ssrc, packet.payload_type, packet.timestamp, packet.payload) == (99, 63, 960, b"voice")
    assert packet.extensions.audio_level is None


@pytest.mark.usefixtures("down")
def test_padding_is_taken_off(up: UpTrack, sent: Sent) -> None:
    padded = bytearray(rtp(5, payload=b"voice\0\0\3"))
    padded[0] |= 0x20
    up.receive(bytes(padded), NOW)
    assert sent.packets[0].payload == b"voice"


@pytest.mark.usefixtures("down")
def test_numbers_stay_in_step_across_the_wrap_gaps_and_late_packets(up: UpTrack, sent: Sent) -> None:
    for sequence in (65534, 65535, 0, 3, 1, 2):
        up.receive(rtp(sequence), NOW)
    assert numbers(sent) == [0, 1, 2, 5, 3, 4]


@pytest.mark.usefixtures("down")
def test_a_packet_older_than_the_first_is_dropped(up: UpTrack, sent: Sent) -> None:
    for sequence in (10, 9, 11):
        up.receive(rtp(sequence), NOW)
    assert numbers(sent) == [0, 1]


@pytest.mark.usefixtures("down")
def test_a_new_source_goes_on_without_a_gap(up: UpTrack, sent: Sent) -> None:
    for ssrc, sequence in ((7, 100), (7, 101), (8, 40_000), (8, 40_001)):
        up.receive(rtp(sequence, ssrc=ssrc), NOW)
    assert numbers(sent) == [0, 1, 2, 3]


def test_a_paused_track_sends_nothing_and_goes_on_without_a_gap(up: UpTrack, down: DownTrack, sent: Sent) -> None:
    up.receive(rtp(1), NOW)
    down.paused = True
    up.receive(rtp(2), NOW)
    down.paused = False
    up.receive(rtp(3), NOW)
    assert numbers(sent) == [0, 1]


def test_a_late_packet_from_before_a_pause_takes_no_number_of_another(up: UpTrack, down: DownTrack, sent: Sent) -> None:
    up.receive(rtp(1, payload=b"sent"), NOW)
    down.paused = True
    up.receive(rtp(2), NOW)
    down.paused = False
    up.receive(rtp(5), NOW)
    up.receive(rtp(4, payload=b"late"), NOW)
    up.receive(rtp(6), NOW)
    assert numbers(sent) == [0, 1, 2]
    sent.packets.clear()
    down.resend([DownTrack.FIRST_SEQUENCE])
    assert sent.packets[0].payload == b"sent"


def test_the_clock_of_a_former_source_is_told_nobody(up: UpTrack, down: DownTrack) -> None:
    up.receive(rtp(1), NOW)
    up.sender_report(RtcpSenderInfo(ntp_time(1.0), 48_000, 1, 4), NOW)
    up.receive(rtp(1, ssrc=8), NOW)
    assert down.sender_report(WALL, NOW) is None
    report = up.receiver_report(NOW)
    assert report is not None
    assert (report.ssrc, report.lsr) == (8, 0)


def test_a_stopped_track_receives_nothing(up: UpTrack, down: DownTrack, sent: Sent) -> None:
    down.stop()
    assert up.receive(rtp(1), NOW) == 0
    assert sent.packets == []


def test_lost_packets_are_sent_again_while_they_are_remembered(up: UpTrack, down: DownTrack, sent: Sent) -> None:
    for sequence in range(HISTORY + 10):
        up.receive(rtp(sequence, payload=bytes([sequence])), NOW)
    sent.packets.clear()
    first = DownTrack.FIRST_SEQUENCE
    assert down.resend([first + 5, first + 20, first + HISTORY + 500]) == 1
    assert sent.packets[0].payload == bytes([20])


def test_who_asks_for_too_much_gets_no_more_until_the_next_second(up: UpTrack, down: DownTrack) -> None:
    up.receive(rtp(1), NOW)
    asked = [DownTrack.FIRST_SEQUENCE] * (MAX_RESENT_PER_SECOND + 5)
    assert down.resend(asked) == MAX_RESENT_PER_SECOND
    down.sender_report(WALL, NOW)
    assert down.resend(asked[:1]) == 1


def test_loudness_is_the_share_and_level_of_loud_packets(up: UpTrack) -> None:
    for sequence, level in enumerate([20, 20, 127, 127]):
        up.receive(rtp(sequence, level=level), NOW)
    loudness = up.loudness()
    assert loudness.share == 0.5
    assert loudness.level == pytest.approx(0.1)
    assert up.loudness().share == 0


def test_the_publisher_is_told_what_was_lost(up: UpTrack) -> None:
    for sequence in (10, 11, 13):
        up.receive(rtp(sequence), NOW)
    report = up.receiver_report(NOW)
    assert report is not None
    assert (report.ssrc, report.packets_lost, report.fraction_lost) == (7, 1, 64)
    assert report.highest_sequence & 0xFFFF == 13
    assert up.loss_share == 0.25


def test_a_subscriber_gets_the_publishers_clock_in_our_time(up: UpTrack, down: DownTrack) -> None:
    up.receive(rtp(1), NOW)
    assert down.sender_report(WALL, NOW) is None
    up.sender_report(RtcpSenderInfo(ntp_time(1.0), 48_000, 1, 4), NOW)
    report = down.sender_report(WALL, NOW + 0.5)
    assert report is not None
    assert report.sender_info.rtp_timestamp == 72_000
    assert report.sender_info.ntp_timestamp >> 32 == int(WALL) + 2_208_988_800


def test_round_trip_and_loss_come_from_the_subscribers_report(up: UpTrack, down: DownTrack) -> None:
    tracks = Tracks(downs={99: down}, ups={7: up})
    sent_at = (ntp_time(WALL) >> 16) & 0xFFFFFFFF
    block = RtcpReceiverInfo(99, fraction_lost=128, packets_lost=1, highest_sequence=1, jitter=480, lsr=sent_at, dlsr=0)
    tracks.rtcp(bytes(RtcpRrPacket(ssrc=1, reports=[block])), WALL + 0.25, NOW)
    assert down.report.fraction_lost == 0.5
    assert down.report.jitter == 0.01
    assert down.report.round_trip == pytest.approx(0.25, abs=0.001)


def test_a_nack_reaches_its_track(up: UpTrack, down: DownTrack, sent: Sent) -> None:
    up.receive(rtp(1), NOW)
    nack = RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=99, lost=[DownTrack.FIRST_SEQUENCE])
    assert Tracks(downs={99: down}).rtcp(bytes(nack), WALL, NOW) == 1
    assert len(sent.packets) == 2


def test_reports_answer_what_comes_in_and_describe_what_goes_out(up: UpTrack, down: DownTrack) -> None:
    up.receive(rtp(1), NOW)
    up.sender_report(RtcpSenderInfo(ntp_time(1.0), 48_000, 1, 4), NOW)
    [compound] = Tracks(ups={7: up}, downs={99: down}).reports(WALL, NOW)
    sender, _ = RtcpPacket.parse(compound)
    assert isinstance(sender, RtcpSrPacket)
    assert [block.ssrc for block in sender.reports] == [7]
    [compound] = Tracks(ups={7: up}).reports(WALL, NOW)
    [receiver] = RtcpPacket.parse(compound)
    assert isinstance(receiver, RtcpRrPacket)


@given(st.binary(min_size=12, max_size=200))
def test_no_packet_breaks_a_track(data: bytes) -> None:
    up, sent = UpTrack("TR_1", LEVEL_ID), Sent()
    DownTrack(up, cast("Peer", sent), 99, 63).start()
    up.receive(bytes([0x80 | (data[0] & 0x3F)]) + data[1:], NOW)
    up.receiver_report(NOW)
    assert all(packet.ssrc == 99 for packet in sent.packets)


@given(st.binary(max_size=200))
def test_a_malformed_report_raises_nothing_but_value_error(data: bytes) -> None:
    tracks = Tracks()
    try:
        tracks.rtcp(data, WALL, NOW)
    except ValueError:
        return


@given(st.lists(st.tuples(st.integers(0, 65_535) | st.integers(0, 9), st.integers(7, 9)), min_size=1, max_size=60))
def test_no_number_is_ever_sent_with_two_payloads(packets: list[tuple[int, int]]) -> None:
    up, sent = UpTrack("TR_1", 0), Sent()
    down = DownTrack(up, cast("Peer", sent), 99, 63)
    down.start()
    for sequence, ssrc in packets:
        # The third source stands for a pause.
        down.paused = ssrc == 9
        up.receive(rtp(sequence, ssrc=min(ssrc, 8), payload=bytes([min(ssrc, 8), *sequence.to_bytes(2, "big")])), NOW)
    seen: dict[int, bytes] = {}
    for packet in sent.packets:
        assert seen.setdefault(packet.sequence_number, packet.payload) == packet.payload
