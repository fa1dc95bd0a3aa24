"""Our room configuration: what a token says of the room that its join creates.

LiveKit takes it from the token of whoever creates the room, and from nobody after. It gives the room timeouts that
outlast the policy's, dispatches the agent with the session and its epoch as attributes of the job, and leaves a mark in
the room's metadata by which the control plane knows the room for its own. Only holders of the API secret can write room
metadata, so the mark can be trusted.

Source: livekit/protocol `livekit_room.proto` (RoomConfiguration), livekit-server `pkg/service/utils.go`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeGuard

from livekit.protocol.agent_dispatch import JobRestartPolicy, RoomAgentDispatch
from livekit.protocol.room import RoomConfiguration

from roomkeeper.lifecycle.policy import Kind, Policy
from roomkeeper.lifecycle.state import State
from roomkeeper.wire.ids import new_id
from roomkeeper.wire.reading import is_name

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY: Final = "roomkeeper"
"""Of the room's metadata."""
_MOST_ID: Final = 64
SESSION: Final = "roomkeeper.session"
"""Attribute of participants who enter by our tokens, and of jobs that we dispatch: the session's id."""
AGENT: Final = "roomkeeper.agent"
"""Attribute of participants who enter by our tokens: the name of the agent that the session is for."""
EPOCH: Final = "roomkeeper.epoch"
"""Attribute of jobs that we dispatch."""

SPARE: Final = 30
"""Seconds by which the room outlives what the policy waits for: the control plane decides, not the room's timeout."""


def room_config(
    agent: str,
    *,
    session: str | None = None,
    kind: str = Kind.WEB,
    metadata: str = "",
    room_metadata: Mapping[str, object] | None = None,
    hold: float | None = None,
    join_timeout: float | None = None,
) -> RoomConfiguration:
    """Make the room configuration for a token of your own backend, or for a SIP dispatch rule.

    The room that such a token creates is kept by Roomkeeper, as if the token came from `POST /api/token`:

    ```python
    token = api.AccessToken().with_identity("ann").with_grants(api.VideoGrants(room_join=True, room="interview-17"))
    token.with_room_config(roomkeeper.room_config("interviewer", metadata=json.dumps({"job": 17})))
    ```

    Args:
        agent: Name of the agent to dispatch.
        session: Id of the session, `S_…`, such as `POST /api/sessions` gave; None: a new one, and for `kind="sip"`
            none, since a dispatch rule serves many calls. With an id, a token that is used again after the end brings
            nobody back; without, the room's name is free again when its session has ended.
        kind: `web`, `sip` or `other`: which part of the policy holds.
        metadata: Your own words for the agent; every agent of the session gets them unchanged.
        room_metadata: Your own keys of the room's metadata.
        hold: Seconds that the policy waits for users to return, if not the default of the kind.
        join_timeout: Seconds that it waits for the first user, if not the default.

    Raises:
        ValueError: no such kind.
    """
    policy, treated = Policy(), Kind(kind)
    if session is None:
        session = "" if treated is Kind.SIP else new_id("S_")
    return configure(
        RoomConfiguration(metadata=json.dumps(dict(room_metadata)) if room_metadata else ""),
        Mark(session=session, agent=agent, kind=treated),
        metadata=metadata,
        hold=policy.hold_for(treated) if hold is None else hold,
        join_timeout=policy.join_timeout if join_timeout is None else join_timeout,
    )


@dataclass(frozen=True, slots=True)
class Mark:
    """What the room's metadata says before the control plane has written there.

    Attributes:
        session: `S_…`; empty: the next one of the room's name.
        agent: Name of the agent; None: the metadata is a session's state, which does not say.
    """

    session: str = ""
    agent: str | None = None
    kind: Kind = Kind.WEB


def configure(
    config: RoomConfiguration,
    mark: Mark,
    *,
    metadata: str = "",
    epoch: int = 1,
    dispatch: bool = True,
    hold: float,
    join_timeout: float,
) -> RoomConfiguration:
    """Make a room configuration ours; what it says already stays, but for metadata that is no JSON object.

    Args:
        config: The application's.
        mark: Whose the room is.
        metadata: For the agent, if the configuration does not name it.
        epoch: The agent's.
        dispatch: Whether the room sends the agent.
        hold: Seconds the policy waits for users to return.
        join_timeout: Seconds it waits for the first.
    """
    ours = RoomConfiguration()
    ours.CopyFrom(config)
    ours.empty_timeout = config.empty_timeout or math.ceil(join_timeout) + SPARE
    ours.departure_timeout = config.departure_timeout or math.ceil(hold) + SPARE
    others = metadata_object(config.metadata)
    if others is not None:
        shown = {"v": 1, "session": mark.session, "seq": 0, "state": str(State.WAITING)}
        said = {**shown, "agent": mark.agent or "", "kind": str(mark.kind)}
        ours.metadata = json.dumps({**others, KEY: said}, separators=(",", ":"))
    if dispatch and mark.agent:
        _send(ours, mark, metadata, epoch)
    return ours


def _send(config: RoomConfiguration, mark: Mark, metadata: str, epoch: int) -> None:
    """Dispatch the agent, never restarted by LiveKit: whether another one comes is for Roomkeeper to say."""
    named = next((each for each in config.agents if each.agent_name == mark.agent), None)
    if named is None:
        named = config.agents.add()
        named.CopyFrom(RoomAgentDispatch(agent_name=mark.agent or "", metadata=metadata))
    named.restart_policy = JobRestartPolicy.JRP_NEVER
    named.attributes[EPOCH] = str(epoch)
    if mark.session:
        named.attributes[SESSION] = mark.session


def mark_in(metadata: str) -> Mark | None:
    """Read whose a room is; None if it is not marked."""
    said = (metadata_object(metadata) or {}).get(KEY)
    if not isinstance(said, dict):
        return None
    session, agent, kind = said.get("session"), said.get("agent"), said.get("kind")
    return Mark(
        session=session if _is_session(session) else "",
        agent=agent if agent == "" or is_name(agent) else None,
        kind=Kind(kind) if isinstance(kind, str) and kind in tuple(Kind) else Kind.WEB,
    )


def _is_session(said: object) -> TypeGuard[str]:
    return is_name(said) and said.startswith("S_") and len("S_") < len(said) <= _MOST_ID


def metadata_object(metadata: str) -> dict[str, object] | None:
    """Read a room's metadata; None if it is not a JSON object and so belongs to somebody else."""
    if not metadata:
        return {}
    try:
        value = json.loads(metadata, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _finite(text: str) -> float:
    """Read a number that can be written again: Python's `NaN` and `Infinity` are no JSON, and no page would read on.

    Raises:
        ValueError: it is none.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
