"""Whoever is no worker is kept out, and whoever breaks the protocol harms nobody but itself."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import websockets

from roomkeeper.control.link import desk, links, socket
from roomkeeper.lifecycle.state import State
from roomkeeper.wire import link
from roomkeeper.wire.rates import Rate
from roomkeeper.wire.tokens import VideoGrants
from tests.unit.control.link.scripted import AGENT, Worker, dumped, item, token

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.control.link.conftest import Replica

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

HELLO = link.write(link.Hello(v=1, worker="rude", agent_name="interviewer"))
ATTACH = {"type": "attach", "job": "j", "room": "r", "room_sid": "", "identity": "i", "agent_name": "interviewer"}


# Who gets in.


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        (dict, 401, "Send a LiveKit token"),
        (lambda: {"Authorization": "Basic eDp5"}, 401, "Send a LiveKit token"),
        (lambda: {"Authorization": "Bearer nonsense"}, 401, "not a JSON web token"),
        (lambda: bearer(token(secret="forged")), 401, "signature"),
        (lambda: bearer(token(key="unknown")), 401, "unknown here"),
        (lambda: bearer(token(age=7200)), 401, "has expired"),
        (lambda: bearer(token(replace(AGENT, video=VideoGrants(room_admin=True)))), 403, "`agent` grant"),
        # The token of a job lies in the job's process, and lets it into one room only.
        (
            lambda: bearer(token(replace(AGENT, video=VideoGrants(agent=True, room_join=True, room="tea")))),
            403,
            "joins",
        ),
        (lambda: bearer(token(replace(AGENT, video=VideoGrants(agent=True, room="tea")))), 403, "joins no room"),
    ],
)
async def test_only_a_workers_token_gets_in(
    one: Replica, headers: Callable[[], dict[str, str]], status: int, said: str
) -> None:
    address = one.address.replace("http", "ws") + link.PATH
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(address, additional_headers=headers())
    response = refused.value.response
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert said in json.loads(response.body)["detail"]
    assert b"eyJ" not in response.body
    assert one.links.workers == 0


def bearer(signed: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {signed}"}


async def test_a_token_in_the_address_is_not_looked_at(one: Replica) -> None:
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(f"{one.address.replace('http', 'ws')}{link.PATH}?access_token={token()}")


async def test_there_are_so_many_links_and_no_more(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_LINKS", 1)
    async with Worker(one.address):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with Worker(one.address):
                pass
        assert refused.value.response.status_code == 503


# Who stays.


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([link.write(link.Heartbeat(n=1))], "`hello` comes first."),
        ([dumped(type="sing")], "`hello` comes first."),
        ([dumped(type="hello", v=2, worker="w", agent_name="")], "speaks version 1"),
        ([dumped(type="hello", v=1, worker="", agent_name="")], "`hello.worker` is empty."),
        ([HELLO, HELLO], "`hello` is said once."),
        ([HELLO, "{"], "It is not JSON."),
        ([HELLO, "[]"], "It is not a JSON object."),
        ([HELLO, b"\x00\x01"], "Frames are text."),
        ([HELLO, dumped(type="attach", job="AJ_1")], "`attach.room` is missing."),
        ([HELLO, dumped(**ATTACH | {"room": "a\x00b"})], "has a character that no name has"),
        ([HELLO, '{"type":"end","job":"j","reason":"r","data":' + "[" * 50_000 + "]" * 50_000 + "}"], "JSON|deep"),
        (
            [
                HELLO,
                dumped(**ATTACH),
                dumped(
                    type="events",
                    job="j",
                    epoch=1,
                    events=[{"seq": 2, "at": 1, "type": "x"}, {"seq": 1, "at": 1, "type": "x"}],
                ),
            ],
            "in order",
        ),
        (
            [
                HELLO,
                dumped(**ATTACH),
                dumped(type="events", job="j", epoch=1, events=[{"seq": 0, "at": 1, "type": "x"}]),
            ],
            "in order",
        ),
    ],
)
async def test_a_broken_frame_is_refused_and_closed(one: Replica, frames: list[str | bytes], said: str) -> None:
    neighbour = await one.worker("polite")
    await one.live(neighbour)
    async with Worker(one.address) as worker:
        for frame in frames:
            await worker.socket.send(frame)
        code, why = await worker.closed()
        assert code == 1008
        assert any(part in why for part in said.split("|")), why
    assert await neighbour.ship([item(1)]) == 1
    assert (await one.session()).state is State.LIVE


async def test_a_frame_that_is_too_large_closes_the_connection(one: Replica) -> None:
    async with Worker(one.address) as worker:
        await worker.hello()
        await worker.socket.send(dumped(type="sing", of="x" * link.MAX_FRAME))
        assert (await worker.closed())[0] == 1009


async def test_a_worker_that_says_nothing_is_let_go(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "HELLO_WITHIN", 0.05)
    async with Worker(one.address) as worker:
        assert await worker.closed() == (1008, "Nothing was heard for too long.")
    monkeypatch.setattr(links, "HELLO_WITHIN", 5)
    monkeypatch.setattr(socket.Socket.read, "__kwdefaults__", {"within": 0.05})
    async with Worker(one.address) as worker:
        await worker.hello()
        assert await worker.closed() == (1008, "Nothing was heard for too long.")


async def test_a_worker_that_says_too_much_is_let_go(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "FRAMES", Rate(per_second=1, burst=20))
    async with Worker(one.address) as worker:
        await worker.hello()
        for _ in range(30):
            await worker.socket.send(dumped(type="sing"))
        assert await worker.closed() == (1008, "Too many frames.")


async def test_a_worker_that_does_not_read_is_let_go(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "QUEUE", 10)
    worker = await one.worker()
    await one.live(worker)
    serving = one.links._office.desks["AJ_1"]
    for _ in range(20):  # faster than the writer gets its turn
        serving.tell("AJ_1", link.Ack(job="AJ_1", seq=0))
    assert (await worker.closed())[0] == 1008


async def test_a_worker_has_so_many_jobs_and_no_more(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "MAX_JOBS", 2)
    worker = await one.worker()
    for number in (1, 2):
        await worker.attached(f"AJ_{number}", f"room-{number}", room_sid=f"RM_{number}")
    [refused] = await worker.attach("AJ_3", "room-3")
    assert refused == link.Refused(why="a worker has at most 2 jobs", job="AJ_3")
    await worker.over(link.Done(job="AJ_1"))
    await worker.attached("AJ_3", "room-3", room_sid="RM_3")


async def test_a_newer_connection_of_a_worker_closes_the_older(one: Replica) -> None:
    older = await one.worker()
    await one.live(older)
    newer = await one.worker()
    assert await older.closed() == (1008, "A later connection of this worker counts.")
    await newer.attached()
    assert await newer.ship([item(1)]) == 1
    assert one.links.workers == 1


async def test_a_database_that_fails_costs_the_connection_and_no_line(
    one: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await one.worker()
    await one.live(worker)

    async def fail(*_: object, **__: object) -> None:
        raise OSError

    with monkeypatch.context() as broken:
        broken.setattr(one.store, "tell_by", fail)
        await worker.say(link.Events(job="AJ_1", epoch=1, events=(item(1),)))
        assert await worker.closed() == (1011, "The control plane failed; try again.")
    again = await one.worker()
    assert (await again.attached()).seq == 0
    assert await again.ship([item(1)]) == 1


async def test_whatever_is_sent_the_others_go_on(one: Replica) -> None:
    """Frames that are nearly right, from a hundred connections at once, beside a worker that keeps working."""
    neighbour = await one.worker("polite")
    await one.live(neighbour)
    chance = random.Random(20261121)

    async def attack() -> None:
        async with Worker(one.address, "rude") as worker:
            try:
                await worker.socket.send(HELLO)
                for _ in range(10):
                    await worker.socket.send(mutated(chance))
                    await asyncio.wait_for(worker.socket.recv(), 1)
            except (websockets.ConnectionClosed, TimeoutError):
                pass

    async with asyncio.timeout(50), asyncio.TaskGroup() as group:
        attacks = [group.create_task(attack()) for _ in range(60)]
        for number in range(1, 21):
            assert await neighbour.ship([item(number)]) == number
            await neighbour.beat("AJ_1")
        await asyncio.wait(attacks)
    session = await one.session()
    assert (session.state, session.agent.job) == (State.LIVE, "AJ_1")
    assert [seq for job, seq, _ in await one.notes() if job == "AJ_1"] == list(range(1, 21))


def mutated(chance: random.Random) -> str | bytes:
    """Return a frame with one field that is not what it should be."""
    frames: list[dict[str, Any]] = [
        {**ATTACH, "room": "elsewhere", "room_sid": "RM_x", "epoch": 1},
        {"type": "events", "job": "AJ_1", "epoch": 1, "events": [{"seq": 1, "at": 1, "type": "end", "data": {}}]},
        {"type": "end", "job": "AJ_1", "reason": "completed", "data": {"a": [1, 2, {"b": None}]}},
        {"type": "heartbeat", "n": 1, "jobs": ["AJ_1"]},
        {"type": "lost", "job": "AJ_1", "exit": 1},
        {"type": "done", "job": "AJ_1"},
        {"type": "yield", "job": "AJ_1"},
    ]
    odd: list[Any] = [None, -1, 2**53, 1e308, "", "x" * 600, "\ud800", "\x00", [], {}, [[]], True, {"job": "AJ_1"}]
    frame = dict(chance.choice(frames))
    frame[chance.choice(list(frame))] = chance.choice(odd)
    text = json.dumps(frame)
    if chance.random() < 0.2:
        text = text[: chance.randrange(len(text))]
    return text.encode() if chance.random() < 0.05 else text
