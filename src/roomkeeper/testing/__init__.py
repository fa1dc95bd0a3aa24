"""What an application's own tests may use: a room server of their own, in a process of its own."""

from __future__ import annotations

from roomkeeper.testing.room_server import RoomServer, RoomServerFailed, room_server

__all__ = ["RoomServer", "RoomServerFailed", "room_server"]
