"""Reliable data for a participant whose channel is not open yet (facts, livekit-server C: "Reliable sequence")."""

from __future__ import annotations

from collections import deque

WINDOW = 10.0
"""Seconds that a packet waits: a busy machine may take as many to open a channel."""
STRICT_WINDOW = 2.0
"""The same as the original has it."""
MOST_BYTES = 1024 * 1024
"""Bytes that wait at once."""


class Backlog:
    """Packets that wait.

    Args:
        window: Seconds after which a packet is dropped.
    """

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._bytes = 0

    def keep(self, packet: bytes, *, now: float) -> None:
        """Adds a packet, unless there are too many already that still wait."""
        while self._waiting and now - self._waiting[0][0] > self._window:
            self._bytes -= len(self._waiting.popleft()[1])
        if self._bytes + len(packet) <= MOST_BYTES:
            self._waiting.append((now, packet))
            self._bytes += len(packet)

    def take(self, *, now: float) -> list[bytes]:
        """Returns what has not waited too long, oldest first, and keeps nothing."""
        fresh = [packet for at, packet in self._waiting if now - at <= self._window]
        self._waiting.clear()
        self._bytes = 0
        return fresh
