from __future__ import annotations

import http.client
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from roomkeeper.testing import RoomServerFailed, room_server

if TYPE_CHECKING:
    from roomkeeper.testing import RoomServer


def answers(server: RoomServer) -> bool:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except ConnectionRefusedError:
        return False
    finally:
        connection.close()


def test_it_serves_until_the_context_is_left() -> None:
    with room_server() as server:
        assert answers(server)
        assert server.environment["LIVEKIT_URL"] == server.url
    assert not answers(server)


def test_two_of_them_do_not_meet() -> None:
    with room_server() as one, room_server("--strict") as other:
        assert one.url != other.url


def test_one_that_cannot_start_says_why() -> None:
    with pytest.raises(RoomServerFailed, match="between 0 and 65535"), room_server("--port", "70000"):
        pytest.fail("it started")


def test_the_plugin_gives_tests_a_running_server(room_server: RoomServer) -> None:
    assert answers(room_server)
