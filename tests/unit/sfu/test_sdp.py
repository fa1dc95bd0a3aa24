"""Session descriptions: what is read, and what cannot be."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkeeper.sfu.media.ice import Candidate, Credentials
from roomkeeper.sfu.media.sdp import AUDIO_LEVEL, MAX_SDP, MID, InvalidDescription, Line, Ours, Sent, read

HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n"
TRANSPORT = (
    "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\n"
    "a=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\n"
)
AUDIO = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\n"
    + TRANSPORT
    + f"a=mid:0\r\na=sendonly\r\na=extmap:3 {AUDIO_LEVEL}\r\na=extmap:4 {MID}\r\na=msid:stream mic\r\n"
    "a=rtpmap:63 red/48000/2\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n"
    "a=ssrc:1234 cname:x\r\n"
)
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + TRANSPORT + "a=mid:1\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n"
DATA = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n" + TRANSPORT + "a=mid:2\r\na=sctp-port:5000\r\n"
OFFER = HEAD + AUDIO + VIDEO + DATA


def test_an_offer_tells_sections_codecs_sources_and_extensions() -> None:
    description = read(OFFER)
    audio, video, data = description.sections
    assert (description.ufrag, description.sctp_port) == ("abcd", 5000)
    assert description.fingerprints == (("sha-256", "AA:BB"),)
    assert (audio.mid, audio.opus, audio.track, audio.ssrcs) == ("0", 111, "mic", (1234,))
    assert (audio.level_id, audio.mid_id, audio.sends, audio.receives) == (3, 4, True, False)
    assert (video.fallback, video.sends, video.receives) == ((96, "VP8/90000"), False, True)
    assert data.kind == "application"


def test_what_we_write_is_read_back() -> None:
    ours = Ours(
        origin=1,
        version=2,
        credentials=Credentials("ufrag", "password"),
        fingerprints=(("sha-256", "AA:BB"),),
        candidates=(Candidate("udp", "127.0.0.1", 7882), Candidate("tcp", "127.0.0.1", 7882)),
        setup="actpass",
        lines=(
            Line("0", "application"),
            Line("1", "audio", "sendonly", 111, sent=Sent(99, "PA_1|TR_1", "TR_1"), level_id=3, mid_id=4),
            Line("2", "audio"),
            Line("3", "video", payload_type=96, codec="VP8/90000"),
        ),
    )
    data, sent, idle, video = read(ours.text()).sections
    assert data.kind == "application"
    assert (sent.stream, sent.track, sent.ssrcs, sent.direction) == ("PA_1|TR_1", "TR_1", (99,), "sendonly")
    assert (sent.level_id, sent.mid_id) == (3, 4)
    assert (idle.direction, idle.ssrcs, idle.opus) == ("inactive", (), 111)
    assert (video.direction, video.rejected) == ("inactive", False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        HEAD,
        OFFER.replace("a=ice-ufrag:abcd\r\n", ""),
        OFFER.replace("a=fingerprint:sha-256 AA:BB\r\n", ""),
        OFFER.replace("a=mid:1", "a=mid:0"),
        OFFER.replace("m=video", "m=image"),
        OFFER.replace("a=rtpmap:96 VP8/90000", "a=rtpmap:96"),
        HEAD + AUDIO * 300,
        OFFER + "a=x:" + "y" * MAX_SDP,
    ],
)
def test_a_description_that_cannot_be_used_says_so(text: str) -> None:
    with pytest.raises(InvalidDescription):
        read(text)


@given(st.data())
def test_no_text_breaks_the_reader(data: st.DataObject) -> None:
    lines = OFFER.split("\r\n")
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = data.draw(st.text(max_size=60) | st.sampled_from(lines).map(lambda line: line[::-1]))
    text = "\r\n".join(lines)[data.draw(st.integers(0, 40)) :]
    try:
        description = read(text)
    except InvalidDescription:
        return
    assert description.sections


MANY = [f"a=rtpmap:{number} opus/48000/2\r\n" for number in range(35, 60)] * 160
LONG = {
    "feedback": ["a=rtcp-fb:* nack\r\n"] * 4000,
    "parameters": ["a=fmtp:59 a=1\r\n"] * 4000,
    "candidates": ["a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n"] * 3000,
}


@pytest.mark.parametrize("lines", LONG.values(), ids=[*LONG])
def test_a_long_description_takes_little_time(lines: list[str]) -> None:
    text = HEAD + AUDIO + "".join(MANY + lines)
    assert len(text) <= MAX_SDP
    began = time.process_time()
    assert read(text).sections[0].opus == 111
    assert time.process_time() - began < 1.0  # 47 s were seen


@pytest.mark.parametrize(
    "text",
    [
        OFFER + "m=audio 9 X 1\r\n" * 300,
        HEAD + AUDIO + "".join(f"a=ssrc:{number} cname:x\r\n" for number in range(2000)),
        HEAD + AUDIO.replace("a=mid:0", "a=mid:" + "0" * 65),
    ],
    ids=["sections", "sources", "mid"],
)
def test_more_than_any_client_needs_is_refused(text: str) -> None:
    with pytest.raises(InvalidDescription, match=r"allowed|more than 64"):
        read(text)
