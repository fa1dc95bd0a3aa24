"""The room server, as the control plane acts on it: a few verbs, each idempotent, each bounded in time.

Only LiveKit's public API is used, so that it may be Cloud, livekit-server or roomkeeper.sfu.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
from google.protobuf.message import DecodeError
from livekit import api
from livekit.protocol import agent_dispatch, models

from roomkeeper.control import dispatching
from roomkeeper.control.facts import seen
from roomkeeper.errors import RoomkeeperError
from roomkeeper.wire.room_config import metadata_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from roomkeeper.control.dispatching import Wanted
    from roomkeeper.lifecycle.events import RoomSeen

KEY = "roomkeeper"
"""Of the room's metadata, and topic of the same object as data."""
TIMEOUT = 5.0
"""Seconds for one call."""
LOOKS = 3
"""Tries to see a room that is made again meanwhile."""
GONE = frozenset({"not_found", "failed_precondition"})


class RoomApiFailed(RoomkeeperError):
    """The room API refused or did not answer; it is tried again."""


class NotDone(RoomApiFailed):
    """This is a dry run: nothing is done."""


class RoomApi:
    """One LiveKit server.

    Args:
        url: `ws://`, `wss://`, `http://` or `https://`.
        key: API key.
        secret: Its secret.
    """

    def __init__(self, url: str, key: str, secret: str) -> None:
        self._api = api.LiveKitAPI(url, key, secret, timeout=aiohttp.ClientTimeout(total=TIMEOUT))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def look(self, room: str) -> RoomSeen:
        """List a room and everybody in it.

        People are listed by the room's name, so the room is asked for again: no sid returns, so a room that has the
        same one before and after is the one they are in.

        Raises:
            RoomApiFailed: No answer, or the room was made again each time; that is not absence.
        """
        found = await self.find(room)
        for _ in range(LOOKS):
            if found is None:
                return seen(None, ())
            people = await self.people(room)
            still = await self.find(room) if people else found
            if still is not None and still.sid == found.sid:
                return seen(found.sid, people)
            found = still
        raise RoomApiFailed("the room was made again while it was looked at")

    async def people(self, room: str) -> list[models.ParticipantInfo]:
        """List everybody in a room; nobody if there is no such room.

        Raises:
            RoomApiFailed: No answer.
        """
        with _failures():
            listed = await self._api.room.list_participants(api.ListParticipantsRequest(room=room))
        return list(listed.participants)

    async def rooms(self) -> list[models.Room]:
        """List every room of the project.

        Raises:
            RoomApiFailed: No answer.
        """
        with _failures():
            return list((await self._api.room.list_rooms(api.ListRoomsRequest())).rooms)

    async def write_state(self, room: str, sid: str, state: Mapping[str, object]) -> bool:
        """Write the session's state into the room's metadata, and send it as data.

        Other keys of the metadata stay. Metadata that is no JSON object belongs to somebody else and is left alone;
        then the state goes out as data only.

        Args:
            room: The room's name.
            sid: The room that is meant; another one of that name is another session's.
            state: What everybody is to see.

        Returns:
            False if that room is not there.

        Raises:
            RoomApiFailed: No answer.
        """
        found = await self.find(room)
        if found is None or found.sid != sid:
            return False
        with _failures():
            merged = _merged(found.metadata, state)
            if merged is not None:
                await self._api.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=room, metadata=merged))
            await self._api.room.send_data(
                api.SendDataRequest(
                    room=room, data=json.dumps(state).encode(), topic=KEY, kind=models.DataPacket.RELIABLE
                )
            )
        return True

    async def delete(self, room: str, *, sid: str | None, session: str) -> models.Room | None:
        """Delete a room, if it is the one meant.

        Args:
            room: Its name.
            sid: The room that is meant; None: the one whose metadata carries the session.
            session: The session's id.

        Returns:
            The room as it was; None if that one is not there.

        Raises:
            RoomApiFailed: No answer.
        """
        found = await self.find(room)
        if found is None:
            return None
        if (found.sid != sid) if sid is not None else (carried_session(found.metadata) != session):
            return None
        with _failures_unless_gone():
            await self._api.room.delete_room(api.DeleteRoomRequest(room=room))
        return found

    async def remove(self, room: str, identity: str) -> None:
        """Take somebody out of a room; not being there is success.

        Raises:
            RoomApiFailed: No answer.
        """
        with _failures_unless_gone():
            await self._api.room.remove_participant(api.RoomParticipantIdentity(room=room, identity=identity))

    async def dispatch(self, room: str, wanted: Wanted, *, metadata: str | None = None) -> str:
        """Send an agent into a room, unless one is on its way there for the same epoch; see `dispatching`.

        Args:
            room: The room's name; it is there, so that no dispatch makes one that nobody asked for.
            wanted: Which agent.
            metadata: The application's own; None: what the room's first dispatch of this agent had.

        Returns:
            The dispatch's id.

        Raises:
            RoomApiFailed: It was refused, or there was no answer.
        """
        service = self._api.agent_dispatch
        with _failures():
            listed = await service.list_dispatch(room)
        plan = dispatching.plan(listed, wanted, time.time())
        for dispatch in plan.drop:
            with _failures_unless_gone():
                await service.delete_dispatch(dispatch, room)
        if plan.keep is not None:
            return plan.keep
        request = api.CreateAgentDispatchRequest(
            room=room,
            agent_name=wanted.agent_name,
            metadata=plan.metadata if metadata is None else metadata,
            restart_policy=agent_dispatch.JobRestartPolicy.JRP_NEVER,
        )
        request.attributes.update({dispatching.EPOCH: str(wanted.epoch), dispatching.SESSION: wanted.session})
        with _failures():
            return (await service.create_dispatch(request)).id

    async def stop_egress(self, egress: str) -> None:
        """Stop a recording; one that has ended is success.

        Raises:
            RoomApiFailed: No answer.
        """
        with _failures_unless_gone():
            await self._api.egress.stop_egress(api.StopEgressRequest(egress_id=egress))

    async def find(self, room: str) -> models.Room | None:
        """Return a room as it is listed; None if there is none of this name.

        Raises:
            RoomApiFailed: No answer.
        """
        with _failures():
            rooms = (await self._api.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms
        return next((found for found in rooms if found.name == room), None)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except api.TwirpError as error:
        raise RoomApiFailed(f"{error.code}: {error.message}") from error
    except (aiohttp.ClientError, TimeoutError, OSError, DecodeError) as error:  # a proxy's page is no answer either
        raise RoomApiFailed(type(error).__name__) from error


@contextmanager
def _failures_unless_gone() -> Iterator[None]:
    """Let it pass that the target is not there, or has ended (an ended recording: failed_precondition)."""
    try:
        with _failures():
            yield
    except RoomApiFailed as error:
        if not (isinstance(error.__cause__, api.TwirpError) and error.__cause__.code in GONE):
            raise


def carried_session(metadata: str) -> str | None:
    """Return the id of the session that a room's metadata carries."""
    state = (metadata_object(metadata) or {}).get(KEY)
    session = state.get("session") if isinstance(state, dict) else None
    return session if isinstance(session, str) else None


def _merged(metadata: str, state: Mapping[str, object]) -> str | None:
    others = metadata_object(metadata)
    return None if others is None else json.dumps({**others, KEY: state}, separators=(",", ":"))


def is_object(metadata: str) -> bool:
    """Say whether our state can be written beside what a room's metadata holds."""
    return metadata_object(metadata) is not None
