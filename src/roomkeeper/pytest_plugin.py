"""Fixtures for applications that test against a room server; pytest finds them once `roomkeeper[test]` is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roomkeeper.testing import RoomServer


@pytest.fixture(scope="session")
def room_server() -> Iterator[RoomServer]:
    """A LiveKit-compatible room server for the whole run; give each test a room name of its own."""
    from roomkeeper import testing

    with testing.room_server() as server:
        yield server
