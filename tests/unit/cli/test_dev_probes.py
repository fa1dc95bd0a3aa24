from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from roomkeeper.cli.dev import probes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from roomkeeper.cli.dev.child import Child

NOBODY = cast("Child", None)


class Answers:
    """An HTTP server that gives each answer once, the last one for ever."""

    def __init__(self, *given: str) -> None:
        self.left = list(given)
        self.asked = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        writer.write(f"HTTP/1.1 {self.left.pop(0) if self.left[1:] else self.left[0]}".encode())
        writer.close()
        await writer.wait_closed()

    async def listening(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


EMPTY = "200 OK\r\nContent-Length: 0\r\n\r\n"


async def test_it_asks_until_the_answer_is_200() -> None:
    answers = Answers("404 Not Found\r\nContent-Length: 0\r\n\r\n", "nonsense", EMPTY)
    async for url in answers.listening():
        await probes.answers(url)(NOBODY)
    assert answers.asked == 3


async def test_an_answer_that_says_why_it_cannot_be_ready_ends_the_wait() -> None:
    async for url in Answers("503 No\r\nContent-Length: 14\r\n\r\nno pages here\n").listening():
        with pytest.raises(probes.NotReady, match=r"no pages here$"):
            await probes.answers(url)(NOBODY)


async def test_the_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async for url in Answers(EMPTY).listening():
        await asyncio.wait_for(probes.answers(url)(NOBODY), 5)
