"""The signal protocol frame by frame, where an SDK would hide it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from livekit.protocol import models, rtc
from websockets.asyncio.client import connect

from tests.conformance.support.server import Options
from tests.conformance.support.signal import Signal, join_request, refusal, signal_to, signal_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conformance.support.clients import Joiner, SignalPath
    from tests.conformance.support.server import Server, ServerProcess

OpenSignal = Callable[..., Awaitable[Signal]]
Reason = rtc.RequestResponse
RECONNECT = rtc.LeaveRequest.RECONNECT
DISCONNECT = rtc.LeaveRequest.DISCONNECT
MICROPHONE = rtc.AddTrackRequest(cid="mic", type=models.AUDIO, source=models.MICROPHONE, name="voice")


@pytest.fixture
async def open_signal(server: Server, room: str, path: SignalPath) -> AsyncIterator[OpenSignal]:
    """Open signal connections of the path under test; they are closed after the test."""
    async with AsyncExitStack() as stack:

        async def open_signal(identity: str, query: dict[str, Any] | None = None, **grants: Any) -> Signal:  # noqa: ANN401
            token = server.token(identity, **{"room": room, **grants})
            return await stack.enter_async_context(signal_to(server, token, path, **(query or {})))

        yield open_signal


async def test_the_first_message_tells_all_about_the_room(open_signal: OpenSignal, room: str, path: str) -> None:
    bob = await open_signal("bob")
    await bob.wait_for("join")
    await open_signal("ghost", hidden=True)
    ann = await open_signal("ann", can_publish_data=False)
    first = await ann.receive()
    assert first.WhichOneof("message") == "join"
    join = first.join
    assert (join.room.name, join.participant.identity, join.participant.state) == (
        room,
        "ann",
        models.ParticipantInfo.JOINING,
    )
    assert [other.identity for other in join.other_participants] == ["bob"]
    assert (join.ping_interval, join.ping_timeout) == (5, 15)
    assert join.subscriber_primary == (path == "v0")
    assert join.fast_publish
    assert join.server_info.protocol >= 16
    assert join.server_info.agent_protocol == 1
    assert "audio/opus" in {codec.mime for codec in join.enabled_publish_codecs}
    permission = join.participant.permission
    assert (permission.can_publish, permission.can_subscribe, permission.can_publish_data) == (True, True, False)
    assert join.participant.sid.startswith("PA_")
    assert abs(join.participant.joined_at - time.time()) < 5


async def test_two_connections_begin_with_the_servers_offer_of_data(open_signal: OpenSignal, path: str) -> None:
    ann = await open_signal("ann")
    await ann.wait_for("join")
    if path == "v0":
        offer = await ann.wait_for("offer")
        assert offer.type == "offer"
        assert "m=application" in offer.sdp
        assert offer.id
    else:  # with one connection the client offers, also what it is to be given
        await ann.send(ping=1)
        await ann.wait_for("pong")
        assert "offer" not in ann.kinds


async def test_who_may_not_subscribe_publishes_on_the_primary_connection(open_signal: OpenSignal) -> None:
    ann = await open_signal("ann", can_subscribe=False)
    assert not (await ann.wait_for("join")).subscriber_primary


async def test_a_fresh_token_follows_the_join(open_signal: OpenSignal) -> None:
    ann = await open_signal("ann")
    await ann.wait_for("join")
    assert (await ann.wait_for("refresh_token")).count(".") == 2


async def test_both_kinds_of_ping_are_answered(open_signal: OpenSignal) -> None:
    ann = await open_signal("ann")
    await ann.send(ping=int(time.time() * 1000))
    assert abs(await ann.wait_for("pong") / 1000 - time.time()) < 5
    await ann.send(ping_req=rtc.Ping(timestamp=12345, rtt=7))
    pong = await ann.wait_for("pong_resp")
    assert pong.last_ping_timestamp == 12345
    assert abs(pong.timestamp / 1000 - time.time()) < 5


async def test_a_text_frame_is_answered_in_json_until_the_next_binary_one(open_signal: OpenSignal) -> None:
    ann = await open_signal("ann")
    await ann.wait_for("join")
    await ann.ws.send(json_format.MessageToJson(rtc.SignalRequest(ping=1)))
    while isinstance(frame := await ann.ws.recv(), bytes):
        pass
    assert json_format.Parse(frame, rtc.SignalResponse()).WhichOneof("message")
    await ann.send(ping=2)
    while isinstance(frame, str):
        frame = await ann.ws.recv()


async def test_a_track_is_announced_before_its_media(open_signal: OpenSignal) -> None:
    ann = await open_signal("ann")
    await ann.wait_for("join")
    await ann.send(add_track=MICROPHONE)
    published = await ann.wait_for("track_published", cid="mic")
    track = published.track
    assert (track.name, track.type, track.source, track.muted) == ("voice", models.AUDIO, models.MICROPHONE, False)
    assert track.sid.startswith("TR_AM")
    assert track.stream == "camera"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (rtc.SignalRequest(update_metadata=rtc.UpdateParticipantMetadata(name="Ann")), Reason.NOT_ALLOWED),
        (rtc.SignalRequest(add_track=MICROPHONE), Reason.NOT_ALLOWED),
        (rtc.SignalRequest(mute=rtc.MuteTrackRequest(sid="TR_unknown", muted=True)), Reason.NOT_FOUND),
    ],
    ids=["metadata", "track", "mute"],
)
async def test_a_refused_request_is_answered_with_the_reason(
    open_signal: OpenSignal, request_: rtc.SignalRequest, reason: int
) -> None:
    ann = await open_signal("ann", can_publish=False)
    await ann.wait_for("join")
    if request_.HasField("update_metadata"):
        request_.update_metadata.request_id = 7
    await ann.send(request_)
    response = await ann.wait_for("request_response", reason=reason)
    assert response.WhichOneof("request") == request_.WhichOneof("message")
    if request_.HasField("update_metadata"):
        assert response.request_id == 7
    await ann.send(ping=1)
    await ann.wait_for("pong")


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ({"name": "Ann"}, Reason.OK),
        ({"metadata": "x" * (512 * 1024 + 1)}, Reason.LIMIT_EXCEEDED),
        ({"name": "n" * 257}, Reason.LIMIT_EXCEEDED),
        ({"attributes": {"a": "x" * (64 * 1024 + 1)}}, Reason.LIMIT_EXCEEDED),
    ],
    ids=["fits", "metadata", "name", "attributes"],
)
async def test_what_one_says_of_oneself_is_limited(
    open_signal: OpenSignal, update: dict[str, Any], reason: int
) -> None:
    ann = await open_signal("ann", can_update_own_metadata=True)
    await ann.wait_for("join")
    await ann.send(update_metadata=rtc.UpdateParticipantMetadata(request_id=3, **update))
    assert (await ann.wait_for("request_response", request_id=3)).reason == reason


async def test_a_track_that_is_neither_audio_nor_video_is_unsupported(open_signal: OpenSignal) -> None:
    ann = await open_signal("ann")
    await ann.wait_for("join")
    await ann.send(add_track=rtc.AddTrackRequest(cid="x", type=models.DATA, name="data"))
    response = await ann.wait_for("request_response")
    assert (response.reason, response.add_track.cid) == (Reason.UNSUPPORTED_TYPE, "x")


@pytest.mark.improvement  # of a server that does not forward video, over one that would not say so
async def test_a_video_track_is_refused_clearly(open_signal: OpenSignal) -> None:
    ann = await open_signal("ann")
    await ann.wait_for("join")
    await ann.send(add_track=rtc.AddTrackRequest(cid="cam", type=models.VIDEO, source=models.CAMERA, name="camera"))
    response = await ann.wait_for("request_response")
    assert (response.reason, response.add_track.cid) == (Reason.UNSUPPORTED_TYPE, "cam")
    assert "video" in response.message.lower()


async def test_a_leave_is_heard_by_the_others(open_signal: OpenSignal) -> None:
    bob, ann = await open_signal("bob"), await open_signal("ann")
    await ann.wait_for("join")
    await ann.send(leave=rtc.LeaveRequest(reason=models.USER_UNAVAILABLE))
    assert await ann.closed() == 1000
    while True:
        update = await bob.wait_for("update")
        gone = [each for each in update.participants if each.state == models.ParticipantInfo.DISCONNECTED]
        if gone:
            break
    assert [(each.identity, each.disconnect_reason) for each in gone] == [("ann", models.USER_UNAVAILABLE)]


async def test_a_second_join_is_told_to_the_first_as_duplicate(open_signal: OpenSignal) -> None:
    first = await open_signal("ann")
    await first.wait_for("join")
    second = await open_signal("ann")
    await second.wait_for("join")
    leave = await first.wait_for("leave")
    assert (leave.action, leave.reason) == (DISCONNECT, models.DUPLICATE_IDENTITY)
    assert await first.closed() == 1000


async def test_a_resume_begins_with_reconnect_and_tells_who_is_there(
    open_signal: OpenSignal, path: str, join: Joiner
) -> None:
    await join("bob")
    first = await open_signal("ann")
    sid = (await first.wait_for("join")).participant.sid
    query = {"reconnect": 1, "sid": sid} if path == "v0" else {"reconnect": True, "participant_sid": sid}
    again = await open_signal("ann", query)
    response = await again.receive()
    assert response.WhichOneof("message") == "reconnect"
    assert response.reconnect.server_info.version
    assert response.reconnect.last_message_seq == 0
    update = await again.wait_for("update")
    assert {each.identity for each in update.participants} == {"ann", "bob"}
    assert {each.sid for each in update.participants if each.identity == "ann"} == {sid}
    await again.wait_for_all("room_update", "refresh_token", *(["offer"] if path == "v0" else []))
    await first.closed()
    assert "leave" not in first.kinds


@pytest.mark.parametrize("tracks", [[], ["TR_AMunknown"]], ids=["known", "unknown"])
async def test_a_resume_with_unknown_tracks_must_start_anew(
    open_signal: OpenSignal, path: str, tracks: list[str]
) -> None:
    first = await open_signal("ann")
    sid = (await first.wait_for("join")).participant.sid
    query = {"reconnect": 1, "sid": sid} if path == "v0" else {"reconnect": True, "participant_sid": sid}
    again = await open_signal("ann", query)
    await again.wait_for("reconnect")
    published = [rtc.TrackPublishedResponse(cid="c", track=models.TrackInfo(sid=track)) for track in tracks]
    await again.send(sync_state=rtc.SyncState(publish_tracks=published))
    if tracks:
        leave = await again.wait_for("leave")
        assert (leave.action, leave.reason) == (RECONNECT, models.STATE_MISMATCH)
        await again.closed()
    else:
        await again.send(ping=1)
        await again.wait_for("pong")
        assert "leave" not in again.kinds


async def test_a_resume_of_nobody_must_start_anew(open_signal: OpenSignal, path: str) -> None:
    query = {"reconnect": 1, "sid": "PA_gone"} if path == "v0" else {"reconnect": True, "participant_sid": "PA_gone"}
    ann = await open_signal("ann", query)
    first = await ann.receive()
    assert first.WhichOneof("message") == "leave"
    assert (first.leave.action, first.leave.reason) == (RECONNECT, models.STATE_MISMATCH)
    assert await ann.closed() == 1000


async def test_a_frame_that_does_not_parse_closes_only_its_connection(open_signal: OpenSignal) -> None:
    bob, ann = await open_signal("bob"), await open_signal("ann")
    await ann.wait_for("join")
    await ann.ws.send(b"\xff\xff\xff\xff")
    assert await ann.closed() in {1000, 1002, 1003, 1007, 1008}
    await bob.send(ping=1)
    await bob.wait_for("pong")


@pytest.mark.parametrize(
    "request_",
    [
        rtc.SignalRequest(),
        rtc.SignalRequest(trickle=rtc.TrickleRequest(candidateInit="{nonsense", target=rtc.PUBLISHER)),
        rtc.SignalRequest(subscription=rtc.UpdateSubscription(track_sids=["TR_x"], subscribe=True)),
        rtc.SignalRequest(track_setting=rtc.UpdateTrackSettings(track_sids=["TR_x"], disabled=True)),
        rtc.SignalRequest(subscription_permission=rtc.SubscriptionPermission(all_participants=False)),
        rtc.SignalRequest(simulate=rtc.SimulateScenario()),
    ],
    ids=lambda request: request.WhichOneof("message") or "empty",
)
async def test_senseless_requests_hurt_nobody_else(open_signal: OpenSignal, request_: rtc.SignalRequest) -> None:
    bob, ann = await open_signal("bob"), await open_signal("ann")
    await ann.wait_for("join")
    await ann.send(request_)
    await ann.send(ping=1)
    await ann.wait_for("pong")
    await bob.send(ping=1)
    await bob.wait_for("pong")


@pytest.mark.parametrize("sdp", ["", "v=0 nonsense", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"])
async def test_a_senseless_offer_ends_at_most_its_senders_session(open_signal: OpenSignal, sdp: str) -> None:
    bob, ann = await open_signal("bob"), await open_signal("ann")
    await ann.wait_for("join")
    await ann.send(offer=rtc.SessionDescription(type="offer", sdp=sdp, id=1))
    await ann.send(ping=1)
    while (answer := await ann.receive()).WhichOneof("message") not in {"pong", "leave"}:
        pass
    if answer.HasField("leave"):
        assert (answer.leave.action, answer.leave.reason) == (RECONNECT, models.STATE_MISMATCH)
    await bob.send(ping=1)
    await bob.wait_for("pong")


@pytest.mark.improvement  # the original waits for its participants
async def test_a_server_stops_at_once_whatever_it_was_asked_to_simulate(
    start_server: Callable[[Options], ServerProcess],
) -> None:
    process = start_server(Options())
    async with signal_to(process.server, process.server.token("ann", room="play"), "v1") as ann:
        await ann.send(simulate=rtc.SimulateScenario(speaker_update=3600))
        await ann.wait_for("speakers_changed")
        assert await asyncio.to_thread(process.stop) == 0
        assert (await ann.wait_for("leave")).reason == models.SERVER_SHUTDOWN


@pytest.mark.parametrize("encoding", ["plain", "gzip"])
async def test_a_join_request_may_be_compressed_and_carry_tracks(server: Server, room: str, encoding: Any) -> None:  # noqa: ANN401
    query = {"encoding": encoding, "add_track_requests": [MICROPHONE]}
    async with signal_to(server, server.token("ann", room=room), "v1", **query) as ann:
        assert (await ann.receive()).WhichOneof("message") == "join"
        await ann.wait_for("track_published", cid="mic")


async def test_v0_understands_a_join_request_too(server: Server, room: str) -> None:
    url = signal_url(server, server.token("ann", room=room), "v1").replace("/rtc/v1?", "/rtc?")
    async with connect(url, proxy=None) as ws:
        ann = Signal(ws)
        assert not (await ann.wait_for("join")).subscriber_primary


@pytest.mark.parametrize(
    ("asked", "status"),
    [(None, 400), ("%%%", 400), ("bm90IGEgbWVzc2FnZQ==", 400)],
    ids=["none", "not base64", "not protobuf"],
)
async def test_v1_without_a_readable_join_request_is_refused(
    server: Server, room: str, asked: str | None, status: int
) -> None:
    url = f"{server.ws}/rtc/v1?access_token={server.token('ann', room=room)}"
    got, _ = await refusal(url if asked is None else f"{url}&join_request={asked}")
    assert got == status


async def test_a_join_request_may_not_unpack_to_more_than_a_megabyte(server: Server, room: str) -> None:
    asked = join_request(encoding="gzip", metadata="x" * (1024 * 1024 + 1))
    got, _ = await refusal(f"{server.ws}/rtc/v1?access_token={server.token('ann', room=room)}&join_request={asked}")
    assert got == 400
