"""The rooms of a process with real sessions, on a clock of the test's own, without sockets."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from livekit.protocol import models, rtc
from livekit.protocol.room import CreateRoomRequest, SendDataRequest

from roomkeeper.sfu import rooms as sfu_rooms
from roomkeeper.sfu.config import SfuConfig
from roomkeeper.sfu.host import RoomHost
from roomkeeper.sfu.limits import Limits, Rate
from roomkeeper.sfu.media.certificate import new_certificate
from roomkeeper.sfu.media.connection import MediaStack
from roomkeeper.sfu.media.ice import MediaPort
from roomkeeper.sfu.metrics import Metrics
from roomkeeper.sfu.participant import Joiner
from roomkeeper.sfu.room import MAX_TOKENS
from roomkeeper.sfu.rooms import Rooms, Stopping
from roomkeeper.sfu.session import SILENCE_GONE, Session
from roomkeeper.sfu.signal import MAX_UNSENT_BYTES, SignalEndpoint, SignalSink
from roomkeeper.sfu.tombstones import Tombstones
from roomkeeper.wire.claims import Claims, VideoGrants

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from roomkeeper.sfu.live import LiveRoom

START = 1_000.0
ANSWER_WITHIN = 15
ALL = models.ParticipantPermission(can_subscribe=True, can_publish=True, can_publish_data=True)
CONTENT = rtc.SignalResponse(refresh_token="t" * 1024)


class Ignoring:
    """Takes whatever it is told: webhooks and dispatches."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return lambda *_, **__: None


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.seconds = START

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rooms(clock: Clock) -> Rooms:
    stack = MediaStack(MediaPort(clock=clock), new_certificate(), clock, clock, lambda *_: None)
    rooms = Rooms(SfuConfig(), stack, Ignoring(), Tombstones(), Limits())
    rooms.dispatcher = cast("Any", Ignoring())
    return rooms


def enter(live: LiveRoom, rooms: Rooms, identity: str = "ann", *, single: bool = True) -> Session:
    """Bring somebody in whose media is up."""
    session = live.join(Joiner(identity=identity, permission=ALL), single=single)
    grants = VideoGrants(room_join=True, room=live.name)
    rooms.remember_claims(session.sid, Claims(api_key="devkey", identity=identity, video=grants, expires_at=START))
    live.apply(live.room.answered(session.sid))
    session.media_connected(primary=True)
    session.connection.primary.connected = True
    session.connection.primary.ice.heard_at = rooms.stack.now()
    return session


class Client:
    """The far end of a WebSocket: says what the test says, and reads if it `reads`."""

    def __init__(self, *frames: bytes, reads: bool = True) -> None:
        self.frames = list(frames)
        self.reads = reads
        self.sent: list[bytes] = []
        self.closed = False

    async def receive(self) -> dict[str, object]:
        if not self.frames:
            await asyncio.Event().wait()
        return {"type": "websocket.receive", "bytes": self.frames.pop(0)}

    async def send_bytes(self, data: bytes) -> None:
        if not self.reads:
            await asyncio.Event().wait()
        self.sent.append(data)

    async def accept(self) -> None:
        raise ConnectionResetError

    async def close(self, code: int) -> None:
        self.closed = code == 1000


def served(client: Client, rooms: Rooms) -> tuple[SignalEndpoint, SignalSink, WebSocket]:
    """A signal endpoint that serves this client."""
    websocket = cast("WebSocket", client)
    endpoint = SignalEndpoint(rooms, {}, rooms.limits, models.ServerInfo(), Metrics())
    return endpoint, SignalSink(websocket, Metrics()), websocket


async def test_a_repeated_nonce_is_known_as_long_as_its_room_lives(rooms: Rooms, clock: Clock) -> None:
    host = RoomHost(rooms)
    delivered: list[int] = []
    for _ in range(2):
        live = rooms.open(CreateRoomRequest(name="tea", empty_timeout=1))
        session = enter(live, rooms)
        for _ in range(2):
            host.send_data(SendDataRequest(room="tea", data=b"x", nonce=b"0123456789abcdef"))
            delivered.append(rooms.delivered_bytes)
        live.leave(session.sid, models.DisconnectReason.CLIENT_INITIATED, tell=False)
        clock.seconds += 60
        live.tick()
        assert not len(rooms)
    assert delivered[0] == delivered[1] < delivered[2] == delivered[3]
    await rooms.close()


async def test_a_room_does_not_remember_tokens_without_end(rooms: Rooms, clock: Clock) -> None:
    live = rooms.open(CreateRoomRequest(name="tea"))
    session = enter(live, rooms)
    for _ in range(MAX_TOKENS + 10):
        clock.seconds += 1
        live.refresh_token(session)
    assert len(live.room.tokens) == MAX_TOKENS
    await rooms.close()


async def test_media_gets_the_whole_time_to_come_back_after_a_resume(rooms: Rooms, clock: Clock) -> None:
    live = rooms.open(CreateRoomRequest(name="tea"))
    session = enter(live, rooms)
    clock.seconds += SILENCE_GONE - 1
    session.tick()
    session.resume(SimpleNamespace(send=lambda _: None, close=lambda: None), rtc.ReconnectResponse())
    clock.seconds += SILENCE_GONE - 1
    session.tick()
    assert session.participant.disconnect_reason == models.DisconnectReason.UNKNOWN_REASON
    clock.seconds += 1
    session.tick()
    assert session.participant.disconnect_reason == models.DisconnectReason.CONNECTION_TIMEOUT
    await rooms.close()


async def test_who_does_not_answer_an_offer_begins_anew_after_15_seconds(rooms: Rooms, clock: Clock) -> None:
    session = enter(rooms.open(CreateRoomRequest(name="tea")), rooms, single=False)
    said: list[rtc.SignalResponse] = []
    session.attach(cast("Any", SimpleNamespace(send=said.append, close=lambda: None)))
    session.connection.begin()
    for _ in range(ANSWER_WITHIN - 1):
        clock.seconds += 1
        session.connection.primary.ice.heard_at = clock.seconds
        session.tick()
    assert not any(response.HasField("leave") for response in said)
    clock.seconds += 1
    session.tick()
    (leave,) = [response.leave for response in said if response.HasField("leave")]
    assert (leave.action, leave.reason) == (rtc.LeaveRequest.RECONNECT, models.DisconnectReason.STATE_MISMATCH)
    await rooms.close()


async def test_who_is_not_heard_for_15_seconds_is_asked_to_resume_and_after_20_is_gone(
    rooms: Rooms, clock: Clock
) -> None:
    session = enter(rooms.open(CreateRoomRequest(name="tea")), rooms)
    said: list[rtc.SignalResponse] = []
    session.attach(cast("Any", SimpleNamespace(send=said.append, close=lambda: None)))
    for seconds in range(1, 21):
        clock.seconds += 1
        session.tick()
        assert any(response.HasField("leave") for response in said) == (seconds >= 15)
        assert (session.participant.disconnect_reason == models.DisconnectReason.CONNECTION_TIMEOUT) == (seconds >= 20)
    (leave,) = [response.leave for response in said if response.HasField("leave")]
    assert (leave.action, leave.reason) == (rtc.LeaveRequest.RESUME, models.DisconnectReason.CONNECTION_TIMEOUT)
    await rooms.close()


async def test_who_left_while_the_signal_was_dead_and_nobody_knew_it_is_told_on_resume(
    rooms: Rooms, clock: Clock
) -> None:
    live = rooms.open(CreateRoomRequest(name="tea"))
    ann, bob, joe = (enter(live, rooms, identity) for identity in ("ann", "bob", "joe"))
    clock.seconds += 1
    live.leave(joe.sid, models.DisconnectReason.CLIENT_INITIATED, tell=False)
    clock.seconds += 1
    ann.receive(rtc.SignalRequest(ping=1))  # the last sign of life; joe's leave was told before it
    clock.seconds += 1
    live.leave(bob.sid, models.DisconnectReason.CLIENT_INITIATED, tell=False)
    clock.seconds += 14
    said: list[rtc.SignalResponse] = []
    ann.resume(SimpleNamespace(send=said.append, close=lambda: None), rtc.ReconnectResponse())
    told = [
        one.identity
        for response in said
        for one in response.update.participants
        if one.state == models.ParticipantInfo.DISCONNECTED
    ]
    assert told == ["bob"]
    await rooms.close()


async def test_a_server_that_stops_begins_no_more_rooms(rooms: Rooms) -> None:
    enter(rooms.open(CreateRoomRequest(name="tea")), rooms)
    await rooms.close()
    with pytest.raises(Stopping):
        rooms.open(CreateRoomRequest(name="tea"))
    assert not len(rooms)


async def test_a_stop_waits_for_no_task_for_ever(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sfu_rooms, "STOP_WITHIN", 0.05)
    stuck = asyncio.Event()
    rooms.spawn(cast("Any", stuck.wait()))
    await asyncio.wait_for(rooms.close(), 5)


async def test_a_client_that_reads_nothing_is_left_when_its_session_ends(rooms: Rooms) -> None:
    session = enter(rooms.open(CreateRoomRequest(name="tea")), rooms)
    endpoint, sink, websocket = served(Client(reads=False), rooms)
    session.attach(sink)
    session.send(CONTENT)
    talking = asyncio.create_task(endpoint._talk(websocket, session, sink))
    await asyncio.sleep(0)
    rooms.delete("tea")
    await asyncio.wait_for(talking, 5)
    await rooms.close()


async def test_a_client_that_reads_nothing_costs_no_more_than_so_many_bytes(rooms: Rooms) -> None:
    session = enter(rooms.open(CreateRoomRequest(name="tea")), rooms)
    endpoint, sink, websocket = served(Client(reads=False), rooms)
    session.attach(sink)
    talking = asyncio.create_task(endpoint._talk(websocket, session, sink))
    large = rtc.SignalResponse(refresh_token="t" * (MAX_UNSENT_BYTES // 4))
    for _ in range(4):
        session.send(large)
    assert not sink.closing.is_set()
    session.send(large)
    await asyncio.wait_for(talking, 5)
    assert session.sink is None
    assert not session.closed
    await rooms.close()


async def test_who_sends_too_many_bytes_of_signal_loses_the_connection(rooms: Rooms) -> None:
    rooms.limits = Limits(signal_bytes=Rate(per_second=1, burst=1500))
    session = enter(rooms.open(CreateRoomRequest(name="tea")), rooms)
    frame = rtc.SignalRequest(offer=rtc.SessionDescription(id=1, type="answer"), ping=1).SerializeToString()
    client = Client(frame, rtc.SignalRequest(answer=rtc.SessionDescription(sdp="x" * 1500)).SerializeToString(), frame)
    endpoint, sink, websocket = served(client, rooms)
    session.attach(sink)
    await asyncio.wait_for(endpoint._talk(websocket, session, sink), 5)
    assert (client.closed, client.frames) == (True, [frame])
    assert [rtc.SignalResponse.FromString(each).WhichOneof("message") for each in client.sent] == ["pong"]
    await rooms.close()


async def test_who_is_gone_before_the_answer_is_not_in_the_room(rooms: Rooms) -> None:
    endpoint, _, websocket = served(Client(), rooms)
    grants = VideoGrants(room_join=True, room="tea")
    claims = Claims(api_key="devkey", identity="ann", video=grants, expires_at=START)
    admission = SimpleNamespace(claims=claims, request=rtc.JoinRequest(), single=True)
    with pytest.raises(ConnectionResetError):
        await endpoint._join(websocket, cast("Any", admission))
    assert not rooms.get("tea").room.participants
    await rooms.close()


async def test_a_client_pretends_to_speak_once_at_a_time(rooms: Rooms) -> None:
    session = enter(rooms.open(CreateRoomRequest(name="tea")), rooms)
    for _ in range(50):
        session.receive(rtc.SignalRequest(simulate=rtc.SimulateScenario(speaker_update=3600)))
    assert len(rooms._tasks) == 1
    await rooms.close()
