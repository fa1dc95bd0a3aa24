"""The live stream: complete, in order, resumable, and for whom it is meant."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from starlette.requests import Request

from roomkeeper.control import streaming
from roomkeeper.control.store.engine import open_engine
from roomkeeper.control.store.tables import stream as rows
from roomkeeper.control.stream import KEPT_FOR, Position, Stream
from roomkeeper.control.streaming import Streaming
from roomkeeper.lifecycle.events import (
    AgentAttached,
    AgentDone,
    EndAsked,
    Noted,
    ParticipantJoined,
    ParticipantLeft,
    SessionOpened,
)
from roomkeeper.lifecycle.reasons import By, Reason
from roomkeeper.wire.tokens import LEEWAY, Claims, VideoGrants
from tests.unit.control.serving import ADMIN, ANN, KEY, KEYS, Site, site, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from roomkeeper.control.store.store import Store
    from tests.unit.control.conftest import Clock

TEA = Claims(api_key=KEY, video=VideoGrants(room_admin=True, room="tea"))


class Reader:
    """Reads server-sent events as the standard says."""

    def __init__(self, lines: Any) -> None:  # noqa: ANN401 - an aiohttp stream
        self._lines = lines

    async def next(self, *, within: float = 20) -> tuple[str, str, Any]:
        """Return id, type and data of the next event, heartbeats passed over."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(within):
            async for raw in self._lines:
                line = raw.decode().rstrip("\n")
                if line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields:
                    return fields.get("id", ""), fields["event"], json.loads(fields["data"])
        raise EOFError

    async def until(self, wanted: str) -> tuple[str, str, Any]:
        """Pass over events of other types."""
        while (event := await self.next())[1] != wanted:
            pass
        return event


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as served:
        yield served


@asynccontextmanager
async def reading(served: Site, *, by: Claims | str = ADMIN, last: str = "", query: str = "") -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {by if isinstance(by, str) else token(by)}"}
    headers |= {"Last-Event-ID": last} if last else {}
    async with served.http.get(f"{served.address}/api/stream{query}", headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Reader(answer.content)


async def carry(served: Site) -> None:
    """Carry out what tells the stream; whatever needs a LiveKit server fails and waits."""
    while await served.plane.carrier.carry_out_due():
        pass


async def live(served: Site, session: str = "S_1", room: str = "tea") -> None:
    await served.plane.store.open(SessionOpened(at=0, session=session, room=room, agent_name="interviewer"))
    await served.plane.store.tell(
        session,
        ParticipantJoined(at=0, sid=f"PA_{session}", identity="ann"),
        AgentAttached(at=0, job=f"AJ_{session}", identity="agent"),
        Noted(at=0, job=f"AJ_{session}", seq=1, what="item", data={"role": "user", "text": "hello"}),
    )
    await carry(served)


async def test_a_reader_gets_a_snapshot_and_then_what_happens(served: Site) -> None:
    async with reading(served) as reader:
        number, kind, data = await reader.next()
        assert (number, kind, data["type"], data["resumed"]) == ("0-0", "snapshot", "snapshot", False)
        assert data["counts"] == dict.fromkeys(("waiting", "live", "holding", "recovering", "ending", "ended"), 0)
        await live(served)
        number, kind, data = await reader.next()
        assert (kind, data["type"], data["id"], data["data"]) == ("session.opened", "session.opened", number, {})
        assert (data["session"]["id"], data["session"]["room"]) == ("S_1", "tea")
        _, _, item = await reader.until("item.added")
        assert item["data"] == {"epoch": 1, "seq": 1, "item": {"role": "user", "text": "hello"}}
        _, _, counts = await reader.until("counts")
        assert counts["counts"]["waiting"] == 1


async def test_who_comes_back_misses_nothing_and_gets_nothing_twice(served: Site) -> None:
    await live(served)
    async with reading(served) as reader:
        last, _, _ = await reader.next()
    await served.plane.store.tell("S_1", EndAsked(at=0, reason=Reason.COMPLETED, by=By.APP))
    await carry(served)
    await live(served, "S_2", "coffee")
    async with reading(served, last=last) as reader:
        _, _, snapshot = await reader.next()
        assert snapshot["resumed"] is True
        told = [await reader.next() for _ in range(5)]
    assert [(kind, data["session"]["id"]) for _, kind, data in told] == [
        ("session.ended", "S_1"),
        ("session.opened", "S_2"),
        ("session.changed", "S_2"),
        ("session.changed", "S_2"),
        ("item.added", "S_2"),
    ]
    async with reading(served, last=told[0][0]) as reader:
        assert [(await reader.next())[1] for _ in range(5)] == ["snapshot", *(kind for _, kind, _ in told[1:])]


async def test_somebody_who_comes_or_goes_without_a_change_of_state_is_told(served: Site) -> None:
    async with reading(served) as reader:
        await live(served)
        told = [(await reader.until("session.changed"))[2] for _ in range(2)]
        assert [event["data"] for event in told] == [{"attendance": 1}, {"attendance": 2}]
        session = told[-1]["session"]
        assert (session["users"], session["agent"], session["attendance"]) == (["ann"], "agent", 2)
        await served.plane.store.tell("S_1", ParticipantLeft(at=0, sid="PA_S_1", identity="ann"))
        await carry(served)
        session = (await reader.until("session.holding"))[2]["session"]
        assert (session["users"], session["attendance"], session["idle_since"]) == ([], 3, session["since"])
        await served.plane.store.tell("S_1", AgentDone(at=0, job="AJ_S_1"))
        await carry(served)
        session = (await reader.until("session.changed"))[2]["session"]
        assert (session["state"], session["agent"], session["idle_since"]) == ("holding", None, None)


@pytest.mark.parametrize("last", ["0-999", "7-1", "x", "-", "0-", "1" * 40])
async def test_a_place_that_is_not_kept_begins_anew(served: Site, last: str) -> None:
    await live(served)
    async with reading(served, last=last) as reader:
        number, kind, data = await reader.next()
        assert (kind, data["resumed"]) == ("snapshot", False)
        assert number == str(await served.plane.stream.head())


async def test_an_administrator_of_one_room_hears_of_that_room_only(served: Site) -> None:
    async with reading(served, by=TEA) as reader, reading(served, query="?session=S_2") as watcher:
        assert (await reader.next())[1] == (await watcher.next())[1] == "snapshot"
        await live(served, "S_2", "coffee")
        await live(served, "S_1", "tea")
        assert (await reader.next())[2]["session"]["id"] == "S_1"
        assert (await reader.until("counts"))[2]["counts"]["waiting"] == 1
        assert (await watcher.next())[2]["session"]["id"] == "S_2"


async def test_participants_and_strangers_hear_nothing(served: Site) -> None:
    assert (await served("GET", "/api/stream")).status == 401
    assert (await served("GET", "/api/stream", by=ANN)).status == 403
    assert (await served("GET", "/api/stream?session=%00", by=ADMIN)).status == 400


async def test_a_silent_connection_is_kept_alive_until_its_token_is_not_taken_any_more(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT", 0.0)
    monkeypatch.setattr(streaming, "LOOK_AGAIN", 0.05)
    expires_at = time.time() - LEEWAY + 3  # within the leeway of clocks
    short = token(ADMIN, ttl=expires_at - time.time())
    headers = {"Authorization": f"Bearer {short}"}
    async with served.http.get(f"{served.address}/api/stream", headers=headers) as answer:
        text = await answer.text()
    assert text.startswith("id: 0-0\nevent: snapshot\n")
    assert text.count(": \n\n") > 1
    assert time.time() > expires_at + LEEWAY - 1  # a token has whole seconds
    assert (await served("GET", "/api/stream", by=short)).status == 401

    async with served.http.get(f"{served.address}/api/stream", headers={"Authorization": f"Bearer {token(ADMIN)}"}) as (
        answer
    ):
        lines = [await answer.content.readline() for _ in range(6)]
        assert lines[-2:] == [b": \n", b"\n"]


async def test_a_server_that_stops_lets_its_readers_go(served: Site) -> None:
    async with reading(served) as reader:
        await reader.next()
        served.plane.stream.close()
        with pytest.raises(EOFError):
            await reader.next()


async def test_too_many_readers_are_sent_away(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MOST_READERS", 0)
    answer = await served("GET", "/api/stream", by=ADMIN)
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")


async def test_a_reader_that_takes_nothing_gives_its_place_back(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "TAKEN_WITHIN", 0.05)
    plane = served.plane
    endpoint = Streaming(plane.store, plane.stream, plane.listing, KEYS)
    headers = [(b"authorization", f"Bearer {token(ADMIN)}".encode())]
    scope = {"type": "http", "method": "GET", "headers": headers, "query_string": b""}
    taken: list[str] = []

    async def never() -> Any:  # noqa: ANN401 - a message
        await asyncio.Event().wait()

    async def take_one(message: Any) -> None:  # noqa: ANN401 - likewise
        if taken:
            assert endpoint.readers == 1
            await asyncio.Event().wait()
        taken.append(message["type"])

    response = await endpoint.endpoint(Request(scope))
    async with asyncio.timeout(5):
        await response(scope, never, take_one)
    assert (taken, endpoint.readers) == (["http.response.start"], 0)


# The stream itself, on both databases.


async def opened(store: Store, session: str = "S_1") -> Any:  # noqa: ANN401 - a session
    return await store.open(SessionOpened(at=0, session=session, room=session.lower()))


async def test_telling_twice_is_telling_once(store: Store, engine: AsyncEngine) -> None:
    stream, session = Stream(store, engine), await opened(store)
    for data in ({"seq": 1}, {"seq": 1}, {"seq": 2}):
        await stream.emit(session, "session.live", data)
    told = await stream.after(Position())
    assert [json.loads(each.body)["data"]["seq"] for each in told] == [1, 2]
    assert told[0].position < told[1].position
    assert await stream.after(told[0].position) == told[1:]


async def test_another_replica_reads_the_same(store: Store, engine: AsyncEngine, database_url: str) -> None:
    if not store.postgres:
        return  # one process has the file
    session = await opened(store)
    await Stream(store, engine).emit(session, "session.live", {})
    async with open_engine(database_url) as other:
        assert [each.topic for each in await Stream(store, other).after(Position())] == ["session.live"]


async def test_what_is_committed_late_is_not_skipped(store: Store, engine: AsyncEngine) -> None:
    """A smaller number may be committed after a larger one: readers wait for it."""
    if not store.postgres:
        return  # one writer at a time: numbers are committed in order
    stream, session = Stream(store, engine), await opened(store)
    slow = {"session": "S_9", "key": "k", "room": "r", "topic": "slow", "at": 0, "body": "{}"}
    async with engine.connect() as connection, connection.begin() as transaction:
        mine = sa.cast(sa.cast(sa.func.pg_current_xact_id(), sa.Text), sa.BigInteger)
        await connection.execute(sa.insert(rows).values(slow | {"xact": mine}))
        await stream.emit(session, "session.live", {})
        assert await stream.after(Position()) == []
        await transaction.commit()
    assert [each.topic for each in await stream.after(Position())] == ["slow", "session.live"]


async def test_the_backlog_is_bounded(store: Store, engine: AsyncEngine, clock: Clock) -> None:
    stream, session = Stream(store, engine), await opened(store)
    await stream.emit(session, "session.opened", {})
    [first] = await stream.after(Position())
    clock.pass_by(KEPT_FOR / 1000 + 1)
    await stream.emit(session, "session.live", {})
    assert await stream.keeps(first.position)
    assert await stream.prune() == 1
    assert [each.topic for each in await stream.after(Position())] == ["session.live"]
    assert not await stream.keeps(first.position)
    assert await stream.keeps(await stream.head())


def test_positions_are_read_as_they_are_written() -> None:
    assert Position.parse(str(Position(7, 9))) == Position(7, 9)
    assert Position(1, 3) > Position(1, 2)
    assert Position(2, 1) > Position(1, 9)
