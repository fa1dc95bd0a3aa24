"""Participants made of the unmodified python SDK, that remember every event."""

from __future__ import annotations

import asyncio
import typing
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from livekit import rtc
from livekit.rtc.room import EventTypes

from tests.conformance.support.sound import Tone

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conformance.support.server import Kind, Server

SignalPath = Literal["v0", "v1"]
"""`v0` has two peer connections and signals on `/rtc`, `v1` has one and signals on `/rtc/v1`."""

CONNECTION: frozenset[EventTypes] = frozenset(
    {"reconnecting", "reconnected", "disconnected", "participant_disconnected"}
)
"""Events that tell how a connection fares."""

PATIENCE = 10.0
"""Seconds to wait for what happens at once."""


def mute(publication: rtc.LocalTrackPublication, *, muted: bool = True) -> None:
    """Mute a published track, or let it be heard again."""
    track = publication.track
    assert track is not None, "the track is not published any more"
    if muted:
        track.mute()
    else:
        track.unmute()


@dataclass(frozen=True)
class Event:
    """What a room told its listeners, and when on the loop's clock."""

    name: EventTypes
    args: tuple[Any, ...]
    at: float


@dataclass
class Client:
    """A participant.

    Attributes:
        identity: Its identity.
        room: The SDK's room.
        events: What happened and was not yet taken by `wait_for`, oldest first.
    """

    identity: str
    room: rtc.Room = field(default_factory=rtc.Room)
    events: deque[Event] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _tones: list[Tone] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in typing.get_args(EventTypes):
            self.room.on(name, self._recorder(name))

    def _recorder(self, name: EventTypes) -> Callable[..., None]:
        def record(*args: Any) -> None:  # noqa: ANN401 - each event has arguments of its own
            self.events.append(Event(name, args, asyncio.get_running_loop().time()))
            self._arrived.set()

        return record

    @property
    def me(self) -> rtc.LocalParticipant:
        """The local participant."""
        return self.room.local_participant

    def other(self, identity: str) -> rtc.RemoteParticipant:
        """The remote participant of that identity."""
        return self.room.remote_participants[identity]

    @property
    def story(self) -> str:
        """What happened to its connection and was not yet taken, with the seconds of the loop's clock."""
        told = [event for event in self.events if event.name in CONNECTION]
        return ", ".join(f"{event.at:.1f} {event.name}{event.args}" for event in told)

    async def connect(self, url: str, token: str, path: SignalPath = "v0", *, auto_subscribe: bool = True) -> None:
        """Join the room of the token.

        Raises:
            rtc.ConnectError: The server refused.
        """
        options = rtc.RoomOptions(auto_subscribe=auto_subscribe, single_peer_connection=path == "v1")
        await self.room.connect(url, token, options)

    async def wait_for(
        self, name: EventTypes, where: Callable[..., bool] = lambda *_: True, *, within: float = PATIENCE
    ) -> Event:
        """Wait for an event, and take it: each event satisfies one wait only.

        Args:
            name: Of the event; one that came before this call counts too.
            where: Told the arguments of the event, says whether it is the one.
            within: Seconds to wait.

        Raises:
            AssertionError: It did not come; the message tells which other events did.
        """
        try:
            async with asyncio.timeout(within):
                while True:
                    for event in self.events:
                        if event.name == name and where(*event.args):
                            self.events.remove(event)
                            return event
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pass
        seen = ", ".join(event.name for event in self.events)
        raise AssertionError(f"{self.identity} saw no {name} within {within} s; it did see: {seen or 'nothing'}")

    async def wait_until(self, condition: Callable[[], bool], *, within: float = PATIENCE) -> None:
        """Wait until something holds; it is looked at again after each event.

        Raises:
            AssertionError: It does not hold in time.
        """
        try:
            async with asyncio.timeout(within):
                while not condition():
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pass
        assert condition(), f"{self.identity} waited {within} s in vain, among {self.room.remote_participants}"

    def saw(self, name: EventTypes) -> bool:
        """Whether such an event happened and was not yet taken."""
        return any(event.name == name for event in self.events)

    async def wait_for_participant(self, identity: str, *, within: float = PATIENCE) -> rtc.RemoteParticipant:
        """Wait until a participant is in the room, as seen from here."""
        if identity not in self.room.remote_participants:
            await self.wait_for("participant_connected", lambda them: them.identity == identity, within=within)
        return self.other(identity)

    async def wait_for_track(self, identity: str, *, within: float = PATIENCE) -> rtc.RemoteAudioTrack:
        """Wait until a track of that participant is subscribed, and return it."""
        event = await self.wait_for("track_subscribed", lambda *args: args[2].identity == identity, within=within)
        track = event.args[0]
        assert isinstance(track, rtc.RemoteAudioTrack)
        return track

    async def wait_for_disconnect(self, *, within: float = PATIENCE) -> rtc.DisconnectReason.ValueType:
        """Wait until this client is out of the room, and return why."""
        event = await self.wait_for("disconnected", within=within)
        return typing.cast("rtc.DisconnectReason.ValueType", event.args[0])

    async def speak(
        self, hz: float, source: rtc.TrackSource.ValueType = rtc.TrackSource.SOURCE_MICROPHONE
    ) -> rtc.LocalTrackPublication:
        """Publish a tone of that frequency as a microphone."""
        tone = Tone(hz)
        self._tones.append(tone)
        async with asyncio.timeout(PATIENCE):
            return await self.me.publish_track(tone.start(), rtc.TrackPublishOptions(source=source))

    def change_tone(self, hz: float) -> None:
        """Speak another tone from now on, 0 for silence."""
        self._tones[-1].hz = hz

    async def close(self, reason: rtc.DisconnectReason.ValueType = rtc.DisconnectReason.CLIENT_INITIATED) -> None:
        """Leave the room and free everything."""
        await self.room.disconnect(reason=reason)
        # A room that was told to go ends its listener a little later, and nothing public waits for that.
        await asyncio.wait([self.room._task], timeout=PATIENCE)
        for tone in self._tones:
            await tone.close()
        self._tones.clear()


@dataclass
class Joiner:
    """Lets clients join one room of one server; they leave at the end of the test.

    Attributes:
        server: To join.
        room: Name of the room.
        path: How clients signal unless the test says otherwise.
    """

    server: Server
    room: str
    path: SignalPath = "v0"
    clients: list[Client] = field(default_factory=list)

    async def __call__(
        self,
        identity: str,
        *,
        path: SignalPath | None = None,
        kind: Kind = "standard",
        token: str | None = None,
        auto_subscribe: bool = True,
        url: str | None = None,
        **grants: Any,  # noqa: ANN401 - fields of VideoGrants
    ) -> Client:
        """Join as that participant.

        Args:
            identity: The participant.
            path: Of the signal connection.
            kind: Of the participant.
            token: To join with; by default one for this room with `grants`.
            auto_subscribe: Whether to subscribe to every track.
            url: Where to connect, when not directly to the server.
            grants: Further fields of `VideoGrants`.

        Raises:
            rtc.ConnectError: The server refused.
        """
        token = token or self.server.token(identity, kind=kind, **{"room": self.room, **grants})
        client = Client(identity)
        await client.connect(url or self.server.url, token, path or self.path, auto_subscribe=auto_subscribe)
        self.clients.append(client)
        return client

    async def aclose(self) -> None:
        """Let every client leave."""
        for client in self.clients:
            await client.close()
