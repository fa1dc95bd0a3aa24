"""Webhooks: signed, complete, in order, tried again."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import jwt
import pytest
from livekit import api

from tests.conformance.support.server import SECRET, Options, Server, ServerProcess
from tests.conformance.support.signal import signal_to
from tests.conformance.support.webhooks import Delivery, WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.conformance.support.clients import Joiner, SignalPath

pytestmark = pytest.mark.own_server


@pytest.fixture(scope="module")
def receiver() -> Iterator[WebhookReceiver]:
    """A receiver that gets the webhooks of `server`."""
    receiver = WebhookReceiver()
    receiver.open()
    yield receiver
    receiver.close()
    assert not receiver.refused


@pytest.fixture(scope="module")
def server(
    receiver: WebhookReceiver, reference: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that posts webhooks."""
    folder = tmp_path_factory.mktemp("webhooks")
    options = Options(webhooks=(receiver.url,), data_dir=folder / "data")
    process = ServerProcess(options, folder / "server.log", reference)
    process.start()
    yield process.server
    process.stop()


@pytest.fixture
async def lkapi(server: Server) -> AsyncIterator[api.LiveKitAPI]:
    """The room API of the server that posts webhooks."""
    async with api.LiveKitAPI(server.http, server.key, server.secret) as lkapi:
        yield lkapi


def told(receiver: WebhookReceiver, room: str) -> list[tuple[str, str]]:
    """Event and participant of everything that was told about a room."""
    return [(each.event.event, each.event.participant.identity) for each in receiver.of_room(room)]


async def test_the_life_of_a_room_is_told_in_order(
    join: Joiner, path: SignalPath, receiver: WebhookReceiver, room: str, lkapi: api.LiveKitAPI
) -> None:
    ann = await join("ann")
    publication = await ann.speak(440)
    published = await receiver.wait_for(room, "track_published")
    await ann.me.unpublish_track(publication.sid)
    await receiver.wait_for(room, "track_unpublished")
    await ann.close()
    left = await receiver.wait_for(room, "participant_left")
    await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))
    await receiver.wait_for(room, "room_finished")
    assert told(receiver, room) == [
        ("room_started", ""),
        ("participant_joined", "ann"),
        ("track_published", "ann"),
        ("track_unpublished", "ann"),
        ("participant_left", "ann"),
        ("room_finished", ""),
    ]
    events = [each.event for each in receiver.of_room(room)]
    assert len({event.room.sid for event in events}) == 1
    assert len({event.id for event in events}) == 6
    assert published.event.track.sid == publication.sid
    assert left.event.participant.disconnect_reason == api.DisconnectReason.CLIENT_INITIATED
    assert all(event.id.startswith("EV_") for event in events)
    assert all(abs(event.created_at - time.time()) < 30 for event in events)


async def test_a_webhook_is_signed_like_the_originals(
    receiver: WebhookReceiver, room: str, lkapi: api.LiveKitAPI
) -> None:
    await lkapi.room.create_room(api.CreateRoomRequest(name=room, metadata="m"))
    started = await receiver.wait_for(room, "room_started")
    assert started.headers["Content-Type"] == "application/webhook+json"
    claims = jwt.decode(started.headers["Authorization"], SECRET, algorithms=["HS256"])
    assert claims["iss"] == "devkey"
    assert 240 < claims["exp"] - time.time() <= 301
    assert claims["sha256"]
    assert (started.event.room.metadata, started.event.room.empty_timeout) == ("m", 300)


async def test_what_is_left_when_somebody_goes_is_unpublished_first(
    join: Joiner, path: SignalPath, receiver: WebhookReceiver, room: str
) -> None:
    ann = await join("ann")
    await ann.speak(440)
    await receiver.wait_for(room, "track_published")
    await ann.close()
    await receiver.wait_for(room, "participant_left")
    assert [event for event, _ in told(receiver, room)][-2:] == ["track_unpublished", "participant_left"]


async def test_a_connection_that_never_worked_is_told_as_aborted(
    server: Server, receiver: WebhookReceiver, room: str
) -> None:
    async with signal_to(server, server.token("ann", room=room)) as ann:
        await ann.wait_for("join")
    aborted = await receiver.wait_for(room, "participant_connection_aborted")
    assert aborted.event.participant.identity == "ann"
    assert "participant_joined" not in dict(told(receiver, room))


async def test_hidden_participants_agents_and_recorders_are_told_too(
    join: Joiner, receiver: WebhookReceiver, room: str
) -> None:
    await join("ghost", hidden=True)
    await join("agent", kind="agent", agent=True)
    await join("recorder", kind="egress", hidden=True, recorder=True)
    await join("caller", kind="sip")
    for identity in ("ghost", "agent", "recorder", "caller"):
        await receiver.wait_for(room, "participant_joined", identity)
    kinds = {each.event.participant.identity: each.event.participant.kind for each in receiver.of_room(room)[1:]}
    info = api.ParticipantInfo
    assert kinds == {"ghost": info.STANDARD, "agent": info.AGENT, "recorder": info.EGRESS, "caller": info.SIP}


async def test_a_removed_participant_is_told_with_the_reason(
    join: Joiner, receiver: WebhookReceiver, room: str, lkapi: api.LiveKitAPI
) -> None:
    await join("ann")
    await lkapi.room.remove_participant(api.RoomParticipantIdentity(room=room, identity="ann"))
    left = await receiver.wait_for(room, "participant_left")
    assert left.event.participant.disconnect_reason == api.DisconnectReason.PARTICIPANT_REMOVED


async def test_an_event_that_was_refused_for_now_comes_again_before_the_next(
    receiver: WebhookReceiver, room: str, lkapi: api.LiveKitAPI
) -> None:
    tries: Counter[str] = Counter()

    def busy_at_first(event: api.WebhookEvent) -> int:
        tries[event.event] += 1
        return 503 if event.room.name == room and event.event == "room_started" and tries[event.event] < 3 else 200

    receiver.answer = busy_at_first
    await lkapi.room.create_room(api.CreateRoomRequest(name=room))
    await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))
    await receiver.wait_for(room, "room_finished")
    deliveries = receiver.of_room(room)
    assert [(each.event.event, each.status) for each in deliveries] == [
        ("room_started", 503),
        ("room_started", 503),
        ("room_started", 200),
        ("room_finished", 200),
    ]
    assert len({each.event.id for each in deliveries[:3]}) == 1
    assert gap(deliveries[0], deliveries[1]) == pytest.approx(1, abs=0.7)
    assert gap(deliveries[1], deliveries[2]) == pytest.approx(2, abs=0.9)


def gap(earlier: Delivery, later: Delivery) -> float:
    """Seconds between two deliveries."""
    return later.at - earlier.at


@pytest.mark.parametrize("status", [400, 404, 501])
async def test_an_event_that_was_refused_for_good_is_not_sent_again(
    receiver: WebhookReceiver, room: str, lkapi: api.LiveKitAPI, status: int
) -> None:
    receiver.answer = lambda event: status if event.room.name == room and event.event == "room_started" else 200
    await lkapi.room.create_room(api.CreateRoomRequest(name=room))
    await receiver.wait_for(room, "room_started", accepted=False)
    await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))
    await receiver.wait_for(room, "room_finished", within=1)
    assert [event for event, _ in told(receiver, room)] == ["room_started", "room_finished"]
