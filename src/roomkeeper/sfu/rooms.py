"""Every room of the process: made, found, ended, and kept in time."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from livekit.protocol import models

from roomkeeper.errors import RoomkeeperError
from roomkeeper.sfu.backlog import STRICT_WINDOW, WINDOW
from roomkeeper.sfu.live import Dispatcher, LiveRoom, Surroundings, webhook_event
from roomkeeper.sfu.room import Room
from roomkeeper.wire import tokens
from roomkeeper.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from livekit.protocol.agent_dispatch import RoomAgentDispatch
    from livekit.protocol.room import CreateRoomRequest
    from livekit.protocol.webhook import WebhookEvent

    from roomkeeper.sfu.config import SfuConfig
    from roomkeeper.sfu.limits import Limits
    from roomkeeper.sfu.media.connection import MediaStack
    from roomkeeper.sfu.participant import Participant
    from roomkeeper.sfu.tombstones import Tombstones
    from roomkeeper.wire.claims import Claims

logger = logging.getLogger(__name__)

Reason = models.DisconnectReason

OPUS = "audio/opus"
TICK = 0.25
"""Seconds that a timeout may be late; the original looks once a second (facts A: "Closing")."""
SPEAKER_WINDOW = 0.4
QUALITY_INTERVAL = 5.0
REPORT_SLICES = 5
"""RTCP reports of a second are spread over so many moments, so that a burst never holds up the packets."""
REFRESH_INTERVAL = 300.0
STOP_WITHIN = 5.0
"""Seconds that sessions have to end when the server stops."""


class NoSuchRoom(RoomkeeperError):
    """No such room is live; create it, or join it with a token."""


class TooManyRooms(RoomkeeperError):
    """The server has as many rooms as it takes; end some, raise `max_rooms`, or use a LiveKit cluster."""


class Stopping(TooManyRooms):
    """The server is stopping and begins no more rooms; try again when it is back."""


class RoomDispatcher(Dispatcher, Protocol):
    """Who brings agents into rooms, from a room's start to its end."""

    def room_opened(self, room: models.Room, agents: Sequence[RoomAgentDispatch]) -> None:
        """A room has begun."""

    def room_closed(self, room_name: str) -> None:
        """A room is over."""


class Publisher(Protocol):
    """Who tells the webhooks (see `webhooks.py`)."""

    def notify(self, event: WebhookEvent) -> None:
        """Queues an event."""


class Rooms:
    """The rooms of this process."""

    def __init__(
        self, config: SfuConfig, stack: MediaStack, webhooks: Publisher, tombstones: Tombstones, limits: Limits
    ) -> None:
        self.config = config
        self.limits = limits
        self.stack = stack
        self.tombstones = tombstones
        self.dispatcher: RoomDispatcher | None = None
        self.delivered_bytes = 0
        self.users_cut_until = 0.0
        """Seconds of the stack's clock until which no user is answered; see `outage.py`."""
        self._webhooks = webhooks
        self._live: dict[str, LiveRoom] = {}
        self._claims: dict[str, Claims] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def __iter__(self) -> Iterator[LiveRoom]:
        return iter(list(self._live.values()))

    def __len__(self) -> int:
        return len(self._live)

    def find(self, name: str) -> LiveRoom | None:
        """Returns a live room by name."""
        return self._live.get(name)

    def get(self, name: str) -> LiveRoom:
        """Returns a live room by name.

        Raises:
            NoSuchRoom: It is not live.
        """
        live = self._live.get(name)
        if live is None:
            raise NoSuchRoom(f"Room {name!r}.")
        return live

    def open(self, request: CreateRoomRequest) -> LiveRoom:
        """Returns the live room of that name unchanged, or begins it as asked (facts A).

        Raises:
            TooManyRooms: The process is full, or about to end.
            LimitExceeded: Name or metadata are too long.
        """
        live = self._live.get(request.name)
        if live is not None:
            return live
        if self._stopping:
            raise Stopping
        if len(self._live) >= self.config.max_rooms:
            raise TooManyRooms(f"There are {len(self._live)}.")
        self.limits.check_name(request.name, what="room name")
        self.limits.check_metadata(request.metadata)
        if self.dispatcher is None:
            raise RuntimeError("rooms were opened before the server was put together")
        wall = self.stack.wall()
        info = models.Room(
            sid=new_id("RM_"),
            name=request.name,
            empty_timeout=request.empty_timeout or self.config.empty_timeout,
            departure_timeout=request.departure_timeout or self.config.departure_timeout,
            max_participants=request.max_participants or self.config.max_participants,
            creation_time=int(wall),
            creation_time_ms=int(wall * 1000),
            turn_password=secrets.token_urlsafe(24),
            enabled_codecs=[models.Codec(mime=OPUS)],
            metadata=request.metadata,
        )
        live = LiveRoom(Room(info, new_id, self.limits), self._surroundings(self.dispatcher))
        self._live[request.name] = live
        self._webhooks.notify(webhook_event("room_started", live.room.describe()))
        self.dispatcher.room_opened(live.room.describe(), list(request.agents))
        return live

    def _surroundings(self, dispatcher: RoomDispatcher) -> Surroundings:
        return Surroundings(
            stack=self.stack,
            dispatcher=dispatcher,
            publicize=self._webhooks.notify,
            spawn=self.spawn,
            refresh=self._refresh,
            forget=self.forget_claims,
            closed=self._closed,
            delivered=self._count_delivered,
            patience=STRICT_WINDOW if self.config.strict else WINDOW,
        )

    def _count_delivered(self, size: int, receivers: int) -> None:
        self.delivered_bytes += size * receivers

    def delete(self, name: str) -> None:
        """Ends a room for everybody and, unless strict, buries its name for the tokens that were used in it.

        Raises:
            NoSuchRoom: It is not live.
        """
        live = self.get(name)
        if not self.config.strict:
            self.tombstones.bury(name, at=self.stack.wall(), digests=live.room.tokens)
        live.close(Reason.ROOM_DELETED)

    def _closed(self, live: LiveRoom) -> None:
        self._live.pop(live.name, None)
        if self.dispatcher is not None:
            self.dispatcher.room_closed(live.name)

    # -- tokens -------------------------------------------------------------------------------------------------------

    def remember_claims(self, sid: str, claims: Claims) -> None:
        """Keeps what a participant's token said, to refresh it with."""
        self._claims[sid] = claims

    def forget_claims(self, sid: str) -> None:
        """Ends what `remember_claims` began."""
        self._claims.pop(sid, None)

    def _refresh(self, participant: Participant) -> str:
        claims = self._claims[participant.sid]
        present = replace(
            claims,
            name=participant.name,
            metadata=participant.metadata,
            attributes=participant.attributes,
            video=claims.video.with_permission(participant.permission),
        )
        token = tokens.refresh(present, keys=self.config.keys, now=self.stack.wall())
        live = self._live.get(claims.video.room)
        if live is not None:
            live.room.remember_token(tokens.token_digest(token))
        return token

    # -- time ---------------------------------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a task that this object owns until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task failed", exc_info=error)

    async def run(self) -> None:
        """Ticks until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(TICK, self._tick))
            group.create_task(self._every(SPEAKER_WINDOW, self._measure_speakers))
            group.create_task(self._every(QUALITY_INTERVAL, self._measure_quality))
            group.create_task(self._every(REFRESH_INTERVAL, self._refresh_tokens))
            group.create_task(self._report())

    async def _every(self, seconds: float, work: Callable[[LiveRoom], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            for live in list(self._live.values()):
                try:
                    work(live)
                except Exception:
                    # One room's fault must not stop the clock of the others.
                    logger.exception("tick failed", extra={"room": live.name})

    def _tick(self, live: LiveRoom) -> None:
        live.tick()

    def _measure_speakers(self, live: LiveRoom) -> None:
        live.measure_speakers()

    def _measure_quality(self, live: LiveRoom) -> None:
        live.measure_quality()

    def _refresh_tokens(self, live: LiveRoom) -> None:
        for session in list(live.sessions.values()):
            live.refresh_token(session)

    async def _report(self) -> None:
        while True:
            sessions = [session for live in list(self._live.values()) for session in list(live.sessions.values())]
            for part in range(REPORT_SLICES):
                for session in sessions[part::REPORT_SLICES]:
                    if not session.closed:
                        session.connection.report()
                await asyncio.sleep(1 / REPORT_SLICES)

    async def close(self) -> None:
        """Ends every room with SERVER_SHUTDOWN and waits, not for ever, for what is still being carried out."""
        self._stopping = True
        for live in list(self._live.values()):
            live.close(Reason.SERVER_SHUTDOWN)
        try:
            async with asyncio.timeout(STOP_WITHIN):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            logger.warning("tasks cut off", extra={"count": len(self._tasks)})
            for task in self._tasks:
                task.cancel()
