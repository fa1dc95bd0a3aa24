"""Text and byte streams: long texts and files in chunks."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from livekit import rtc

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.support.clients import Client, Joiner, SignalPath

TOPIC = "story"
Reader = rtc.TextStreamReader | rtc.ByteStreamReader


class Inbox:
    """Reads every stream of the topic to its end."""

    def __init__(self, client: Client) -> None:
        self._read: asyncio.Queue[tuple[str, Any, Any]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        client.room.register_text_stream_handler(TOPIC, self._open)
        client.room.register_byte_stream_handler(TOPIC, self._open)

    def _open(self, reader: Reader, sender: str) -> None:
        task = asyncio.create_task(self._read_all(reader, sender))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read_all(self, reader: Reader, sender: str) -> None:
        if isinstance(reader, rtc.TextStreamReader):
            self._read.put_nowait((sender, reader.info, await reader.read_all()))
        else:
            self._read.put_nowait((sender, reader.info, b"".join([chunk async for chunk in reader])))

    async def next(self) -> tuple[str, Any, Any]:
        """Wait for a whole stream: sender, info, content."""
        async with asyncio.timeout(10):
            return await self._read.get()


def noise(length: int) -> bytes:
    """Bytes that do not compress."""
    return random.Random(length).randbytes(length)


@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "plain"])
async def test_a_text_of_60_kilobytes_arrives_whole(join: Joiner, path: SignalPath, *, compress: bool) -> None:
    bob, ann = await join("bob"), await join("ann")
    inbox = Inbox(bob)
    text = noise(30_000).hex()
    sent = await ann.me.send_text(text, topic=TOPIC, attributes={"language": "en"}, compress=compress)
    sender, info, received = await inbox.next()
    assert received == text
    assert (sender, info.stream_id, info.topic, info.attributes) == ("ann", sent.stream_id, TOPIC, {"language": "en"})


async def test_a_text_can_be_streamed_piece_by_piece(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")
    inbox = Inbox(bob)
    writer = await ann.me.stream_text(topic=TOPIC)
    pieces = [f"word {number} äß€😀 " for number in range(100)]
    for piece in pieces:
        await writer.write(piece)
    await writer.aclose()
    _, _, received = await inbox.next()
    assert received == "".join(pieces)


@pytest.mark.parametrize("size", [0, 1, 14_999, 15_000, 15_001, 200_000])
async def test_bytes_of_any_size_arrive_whole(join: Joiner, path: SignalPath, size: int) -> None:
    bob, ann = await join("bob"), await join("ann")
    inbox = Inbox(bob)
    await ann.me.send_bytes(noise(size), topic=TOPIC, name="noise.bin", mime_type="application/x-noise")
    sender, info, received = await inbox.next()
    assert received == noise(size)
    assert (sender, info.name, info.mime_type) == ("ann", "noise.bin", "application/x-noise")


async def test_a_file_arrives_with_its_name_and_type(join: Joiner, path: SignalPath, tmp_path: Path) -> None:
    bob, ann = await join("bob"), await join("ann")
    inbox = Inbox(bob)
    file = tmp_path / "page.html"
    file.write_bytes(noise(40_000))
    await ann.me.send_file(str(file), topic=TOPIC)
    _, info, received = await inbox.next()
    assert (info.name, info.mime_type, received) == ("page.html", "text/html", file.read_bytes())


async def test_a_stream_reaches_only_its_destinations(join: Joiner, path: SignalPath) -> None:
    bob, cat, ann = await join("bob"), await join("cat"), await join("ann")
    at_bob, at_cat = Inbox(bob), Inbox(cat)
    await ann.me.send_text("for bob", topic=TOPIC, destination_identities=["bob"])
    await ann.me.send_text("for all", topic=TOPIC)
    assert {(await at_bob.next())[2], (await at_bob.next())[2]} == {
        "for bob",
        "for all",
    }  # streams do not wait for one another
    assert (await at_cat.next())[2] == "for all"


async def test_many_streams_at_once_do_not_mix(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")
    inbox = Inbox(bob)
    texts = {noise(10_000 + number).hex() for number in range(8)}
    await asyncio.gather(*(ann.me.send_text(text, topic=TOPIC) for text in texts))
    assert {(await inbox.next())[2] for _ in texts} == texts


async def test_an_agent_may_write_in_the_name_of_another(join: Joiner, path: SignalPath) -> None:
    bob, ann, agent = await join("bob"), await join("ann"), await join("agent", kind="agent", agent=True)
    inbox = Inbox(bob)
    for writer, claims, seen in ((agent, "ann", "ann"), (ann, "agent", "ann")):
        stream = await writer.me.stream_text(topic=TOPIC, sender_identity=claims)
        await stream.write("I said so")
        await stream.aclose()
        assert (await inbox.next())[0] == seen
