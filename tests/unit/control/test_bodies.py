"""Bodies that never end, and bodies that never come."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from starlette.requests import Request

from roomkeeper.control import bodies
from roomkeeper.control.bodies import read_body
from roomkeeper.control.problems import Problem

if TYPE_CHECKING:
    from starlette.types import Message


def request_with(*chunks: bytes | None) -> Request:
    """Make a request whose body comes in these pieces; after None nothing comes any more."""
    left = list(chunks)

    async def receive() -> Message:
        chunk = left.pop(0)
        if chunk is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


async def test_a_body_is_put_together_of_its_pieces() -> None:
    assert await read_body(request_with(b"one, ", b"two"), 8) == b"one, two"


async def test_a_body_that_is_too_long_is_not_read_to_its_end() -> None:
    with pytest.raises(Problem) as refused:
        await read_body(request_with(b"12345", b"6789", None), 8)
    assert refused.value.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


async def test_a_body_that_does_not_come_is_waited_for_no_longer_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", 0.01)
    with pytest.raises(Problem) as refused:
        await read_body(request_with(b"1", None), 8)
    assert refused.value.status_code == HTTPStatus.REQUEST_TIMEOUT
