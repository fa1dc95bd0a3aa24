"""How much is measured, and what the project promises of the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["sdk", "light"]
"""Participants of the unmodified python SDK, or light ones (`bench.sfu.light`)."""

JOIN_LIMIT = {"v1": 60.0, "v0": 100.0}
"""Milliseconds, median."""
AUDIO_LIMIT = 80.0
"""Milliseconds, median."""
CPU_LIMIT = 2.0
"""Percent of a core per 1:1 session, at `CPU_LIMITED` and more sessions."""
CPU_LIMITED = 10
LOSS_LIMIT = 1.0
"""Percent of packets."""
BASE_LIMIT, ROOM_LIMIT = 120.0, 1.0
"""Megabytes of the server without rooms, and of each room."""
BLOCKED_LIMIT = 20.0
"""Milliseconds that the event loop may be busy at once."""
LEFT_LIMIT = 0.02
"""Megabytes that a room which is over may leave behind: 10 MB over 500 rooms count as flat."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: Times that everything but the churn is repeated.
        joins, subscriptions, calls: Samples a round, of each signal path.
        audio_seconds: Of bursts, a round and path.
        sessions: Kinds of client and numbers of 1:1 sessions.
        window: Seconds over which CPU and packets are counted.
        churn: Rooms.
    """

    rounds: int
    joins: int
    subscriptions: int
    calls: int
    audio_seconds: float
    sessions: tuple[tuple[Kind, int], ...]
    window: float
    churn: int


FULL = Plan(2, 15, 5, 50, 4.0, (("sdk", 1), ("sdk", 10), ("light", 30)), 8.0, 500)
QUICK = Plan(1, 3, 1, 10, 1.0, (("light", 4),), 2.0, 25)
