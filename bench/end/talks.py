"""One talk: the user joins, the agent comes, the user says "bye"; when does the user learn that it is over?"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from livekit import api, rtc

from bench.end.processes import AGENT, session_state

if TYPE_CHECKING:
    from roomkeeper.testing.room_server import RoomServer

READY_WITHIN = 30.0
ENDED_WITHIN = 12.0
"""Seconds a user waits for a word about the end; without a control plane there is none, however long."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the user saw, in milliseconds after the server said that the agent had gone.

    Attributes:
        told: When the room said `ended`; None: it did not.
        reason: The reason that it said.
        freed: When the user was disconnected, because the room was gone; None: they were not.
    """

    told: float | None
    reason: str
    freed: float | None


async def talk(server: RoomServer, room: str) -> Outcome:
    """Have one talk."""
    user = rtc.Room()
    gone, told, freed, ready = (asyncio.Event() for _ in range(4))
    at: dict[str, float] = {}
    reason = ""

    @user.on("participant_disconnected")
    def left(_: rtc.RemoteParticipant) -> None:
        at.setdefault("gone", time.perf_counter())
        gone.set()

    @user.on("room_metadata_changed")
    def changed(_: str, metadata: str) -> None:
        nonlocal reason
        state = session_state(metadata)
        if state.get("state") == "ended":
            at.setdefault("told", time.perf_counter())
            reason = str(state.get("reason"))
            told.set()

    @user.on("disconnected")
    def disconnected(_: object) -> None:
        at.setdefault("freed", time.perf_counter())
        freed.set()

    @user.on("participant_attributes_changed")
    def attributes(changed: dict[str, str], _: rtc.Participant) -> None:
        if "ready" in changed:
            ready.set()

    grants = api.VideoGrants(room_join=True, room=room)
    config = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name=AGENT)], departure_timeout=20)
    token = api.AccessToken(server.api_key, server.api_secret).with_identity("ann").with_grants(grants)
    await user.connect(server.url, token.with_room_config(config).with_ttl(timedelta(hours=1)).to_jwt())
    try:
        async with asyncio.timeout(READY_WITHIN):
            await ready.wait()
        await user.local_participant.send_text("bye", topic="lk.chat")
        async with asyncio.timeout(READY_WITHIN):
            await gone.wait()
        for event in (told, freed):
            try:
                async with asyncio.timeout(max(0.1, at["gone"] + ENDED_WITHIN - time.perf_counter())):
                    await event.wait()
            except TimeoutError:
                break
    finally:
        at.setdefault("left", time.perf_counter())
        await user.disconnect()
    after = {name: 1000 * (when - at["gone"]) for name, when in at.items()}
    was_freed = "freed" in after and at["freed"] <= at["left"]
    return Outcome(after.get("told"), reason, after["freed"] if was_freed else None)
