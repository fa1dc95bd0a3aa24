"""What the control plane counts, for `/metrics`: one registry a plane, none for the process.

What is exact is named as what it is. What Roomkeeper saves can only be known where the other course is known: see
`saved_room_seconds` and `wasted_room_seconds`, and `docs/operating.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from livekit.protocol.models import Room

PREFIX: Final = "roomkeeper_"
DEPARTURE: Final = 20
"""Seconds a room lives after its last participant left, unless LiveKit is told otherwise."""


class Metrics:
    """The figures of one control plane.

    Attributes:
        registry: All of them, and whatever else wants to be shown.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.rounds = self._counter("reconciler_rounds", "Comparisons with the room API, by how they went.", "outcome")
        self.looks = self._counter("reconciler_looks", "Rooms whose participants were listed.")
        self.news = self._counter("reconciler_news", "Facts that a listing told first, by what they are.", "what")
        self.rooms = self._gauge("rooms", "Live rooms of the LiveKit project: ours, or strange and untouched.", "whose")
        self.unsettled = self._gauge("unsettled_sessions", "Sessions that go on, or whose room or report is not done.")
        self.round_seconds = Histogram(
            f"{PREFIX}reconciler_round_seconds", "How long a comparison took.", registry=self.registry
        )
        self.swept = self._counter("swept", "What was ended because its session had ended, by what it is.", "what")
        self.saved_room_seconds = self._counter(
            "saved_room_seconds",
            "At least this long would rooms that were deleted with people in them have lived on: their departure time.",
        )
        self.saved_agent_seconds = self._counter(
            "saved_agent_seconds", "At least this long would the agents in those rooms have stayed."
        )
        self.wasted_room_seconds = self._counter(
            "wasted_room_seconds",
            "How long rooms were seen to live although their session had ended and its linger was over.",
        )
        self.wasted_agent_seconds = self._counter(
            "wasted_agent_seconds", "How long agents were seen in such rooms, summed over agents."
        )
        self.deliveries = self._counter("deliveries", "Tries to deliver an event to a receiver.", "outcome")

    def deleted(self, room: Room, agents: int) -> None:
        """Count a room that was deleted because its session had ended.

        Args:
            room: As it was; with people in it, it would have lived for its departure time after the last of them left.
            agents: How many were in it.
        """
        self.swept.labels("room").inc()
        if room.num_participants:
            # Our own room configuration makes it longer than LiveKit's: what we made longer is not saved by us.
            seconds = min(room.departure_timeout, DEPARTURE)
            self.saved_room_seconds.inc(seconds)
            self.saved_agent_seconds.inc(seconds * agents)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}{name}", meaning, labels, registry=self.registry)
