"""Whether everything held, from outside: what the receiver wrote down, what the database holds, what rooms are left."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import aiohttp
import sqlalchemy as sa
from livekit import api

from roomkeeper.control.store.engine import open_engine
from roomkeeper.control.store.store import Store
from roomkeeper.control.store.tables import deliveries, outbox
from roomkeeper.lifecycle.events import Noted
from roomkeeper.lifecycle.replay import replay
from roomkeeper.lifecycle.state import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roomkeeper.lifecycle.state import Session
    from tests.chaos.house import House
    from tests.chaos.talks import Talk

OVER_WITHIN = 180.0
"""Seconds after the last fault until all must be over: a start gives spools 30 s, and their facts 30 s more."""
LOOK_EVERY = 1.5
CALM = 3
"""Looks in a row that must find nothing left to do."""
_UNSETTLED = re.compile(r"^roomkeeper_unsettled_sessions(?:_total)? (\S+)$", re.MULTILINE)


async def until_over(house: House, talks: Sequence[Talk]) -> None:
    """Wait until nothing is left to be done.

    Raises:
        AssertionError: It does not come to that; with what is left.
    """
    deadline, calm, left = time.monotonic() + OVER_WITHIN, 0, "everything"
    while calm < CALM:
        if time.monotonic() > deadline:
            raise AssertionError(f"not over within {OVER_WITHIN:g} s: {left}")
        await asyncio.sleep(LOOK_EVERY)
        try:
            left = await _left(house, talks)
        except (aiohttp.ClientError, api.TwirpError, OSError, TimeoutError) as error:
            left = repr(error)
        calm = 0 if left else calm + 1


async def _left(house: House, talks: Sequence[Talk]) -> str:
    """Say what is left to be done; nothing if nothing is."""
    reported = {line["session"] for line in house.inbox.lines() if "session" in line}
    if missing := [f"{talk.room} ({talk.agent}, {talk.ending})" for talk in talks if talk.session not in reported]:
        return f"no report of {missing}"
    if spools := sorted(each.name for each in (house.folder / "spool").glob("*.jsonl")):
        return f"spools {spools}"
    if rooms := await house.rooms():
        return f"rooms {sorted(rooms)}"
    async with aiohttp.ClientSession() as http:
        for plane in house.planes:
            async with http.get(f"{plane.url}/metrics") as answer:
                if (found := _UNSETTLED.search(await answer.text())) is None or float(found[1]):
                    return f"{found and found[1]} unsettled sessions"
    return ""


async def check(house: House, talks: Sequence[Talk]) -> Counter[str]:
    """Check what holds in the end; the control plane is killed for that, since SQLite is for one process.

    Returns:
        How many sessions ended for each reason.

    Raises:
        AssertionError: Something does not hold.
    """
    for plane in house.planes:
        await plane.kill()
    lines = house.inbox.lines()
    assert not [line for line in lines if "refused" in line], "a post was not believed"
    bodies = defaultdict(set)
    for line in lines:
        bodies[line["id"]].add(line["body"])
    assert all(len(each) == 1 for each in bodies.values()), "one webhook-id, two bodies"
    effects = [line for line in lines if "session" in line]
    assert len({line["id"] for line in effects}) == len(effects), "one webhook-id, two effects"
    reasons = Counter[str]()
    async with open_engine(house.database) as engine:
        store = Store(engine)
        for talk in talks:
            session = await store.get(talk.session)
            try:
                mine = [line for line in effects if line["session"] == session.id]
                await _check_session(store, session, talk, mine)
                said = set(_notes(house, talk))
                assert said <= await _told(store, session), "a line of a spool is lost"
                final = max(mine, key=lambda line: line["revision"])
                assert said <= set(final["said"]), "the last report lacks what was said"
            except AssertionError as error:
                raise AssertionError(await _story(store, session, talk, error)) from error
            reasons[str(session.end and session.end.reason)] += 1
        async with engine.connect() as connection:
            pending = (await connection.execute(sa.select(outbox))).all()
            undelivered = sa.select(deliveries).where(deliveries.c.delivered_at.is_(None))
            assert not pending, pending
            assert not (await connection.execute(undelivered)).all()
    return reasons


async def _check_session(store: Store, session: Session, talk: Talk, effects: list[dict[str, Any]]) -> None:
    assert session.state is State.ENDED
    assert session.settled
    journal = await store.journal(session.id)
    assert replay(journal) == session, "the journal tells another story"
    latest = await store.find(talk.room)
    assert latest is not None
    assert latest.id == session.id, "the room has a second session"
    assert sorted(line["revision"] for line in effects) == list(range(1, session.report + 1)), "revisions"
    assert session.end is not None
    assert {line["reason"] for line in effects} == {str(session.end.reason)}, "a report tells another end"
    by_job: dict[str, list[int]] = defaultdict(list)
    for event in journal:
        if isinstance(event, Noted) and event.job is not None:
            by_job[event.job].append(event.seq)
    assert all(len(set(numbers)) == len(numbers) for numbers in by_job.values()), "a line of a spool is there twice"


def _notes(house: House, talk: Talk) -> list[str]:
    """Return what the kept agents of a talk said, as they noted it beside their journals."""
    if not talk.is_kept:
        return []
    files = (house.folder / "notes").glob(f"{talk.room}.*.said")
    return [line for file in files for line in file.read_text().splitlines()]


async def _told(store: Store, session: Session) -> set[str]:
    """Return what the journal has of that."""
    told: set[str] = set()
    for event in await store.journal(session.id):
        item = event.data.get("item") if isinstance(event, Noted) and event.what == "item" else None
        content = item.get("content") if isinstance(item, dict) else None
        told.update(content if isinstance(content, list) else [str(content)])
    return told


async def _story(store: Store, session: Session, talk: Talk, error: AssertionError) -> str:
    """Return what happened to a session, for whoever has to find out why."""
    lines = [f"{talk.room} ({talk.agent}, {talk.ending}), {session.id}: {error}", f" {session.end}"]
    lines += [f"  {event.at} {event}"[:300] for event in await store.journal(session.id)]
    with contextlib.suppress(Exception):
        lines.append(f" {session}")
    return "\n".join(lines)
