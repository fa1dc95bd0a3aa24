"""How the console keeps up with many sessions that change all the time.

A control plane in this process, on SQLite and without a room server; sessions are moved through its store, as webhooks
do, and a Chromium has the console open, on its right a session with a long talk. Printed are: the time from a change's
commit to the right line on the screen, for the lines in view, and the longest frames while the changes come and while
somebody scrolls; and whether what is promised of them was kept.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import uvicorn
from playwright.async_api import async_playwright

from roomkeeper.control.adoption import Adopters
from roomkeeper.control.app import create_app
from roomkeeper.control.config import ControlConfig
from roomkeeper.control.plane import run_plane
from roomkeeper.control.store.rows import ALARM
from roomkeeper.control.store.tables import outbox
from roomkeeper.lifecycle.events import Noted, ParticipantJoined, ParticipantLeft, SessionOpened
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.lifecycle.vocabulary import ParticipantKind
from roomkeeper.wire.signin import sign_in

if TYPE_CHECKING:
    from roomkeeper.control.plane import Plane

KEY, SECRET = "devkey", "secret-of-the-bench-and-long-enough"
NOBODY = "http://127.0.0.1:9"
"""A room server that is not there: an error of its API is not absence, so that no session ends for it."""
POLICY = Policy(hold_web=3600, join_timeout=3600, agent_timeout=3600)

SHOWN_WITHIN = 500
"""Milliseconds in which 95 of 100 changes in view are shown."""
LONGEST_FRAME = 100
"""Milliseconds."""
DRIVERS = 8
"""How many change sessions at the same time, each its own."""
ENOUGH = 0.95
"""Of the changes a second that were wanted."""

AT_ONCE = 100
"""Sessions opened together."""
LINES = 3_000
"""Of the journal of the session that is open."""
OPEN = 0
"""Which that is: the oldest, whose line is out of view."""
Moved = tuple[str, str, float]
"""A room, the state its session came into, and when that was committed: milliseconds since the Unix epoch."""

# What is on the screen and since when: one entry a line whose state changed.
WATCH = """() => {
  globalThis.seen = [];
  globalThis.frames = [];
  new MutationObserver(() => {
    const at = Date.now();
    for (const row of document.querySelectorAll('.row')) {
      const room = row.querySelector('.room').textContent;
      const state = row.querySelector('.badge').textContent;
      if (globalThis.known?.[room] !== state) globalThis.seen.push([room, state, at]);
      (globalThis.known ??= {})[room] = state;
    }
  }).observe(document.querySelector('.rows'), { subtree: true, childList: true, characterData: true });
  let last = performance.now();
  const tick = (now) => { globalThis.frames.push(now - last); last = now; requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
}"""


async def fill(plane: Plane, count: int) -> list[str]:
    """Open that many sessions, each live, many at a time."""

    async def one(number: int) -> str:
        opened = SessionOpened(at=0, session=f"S_{number:06}", room=f"room-{number:06}", agent_name="a", policy=POLICY)
        await plane.store.open(opened)
        await plane.store.tell(opened.session, *joined(number, "PA_first"), agent(number))
        return opened.session

    sessions: list[str] = []
    for first in range(0, count, AT_ONCE):
        sessions += await asyncio.gather(*map(one, range(first, min(count, first + AT_ONCE))))
    return sessions


async def talk(plane: Plane, session: str) -> None:
    """Let a session's agent journal a long talk."""
    for first in range(1, LINES, AT_ONCE):
        await plane.store.tell(session, *(said(seq) for seq in range(first, first + AT_ONCE)))


def said(seq: int) -> Noted:
    """Say something, both sides in turn."""
    role = ("user", "assistant")[seq % 2]
    item = {"id": f"item_{seq}", "type": "message", "role": role, "content": [f"{seq} and some words more. " * 4]}
    return Noted(at=0, job="AJ_first", seq=seq, what="item", data={"item": item})


async def settled(plane: Plane) -> None:
    """Wait until everything the sessions asked for is done, so that nothing but the changes is measured."""
    asked = sa.select(sa.func.count()).where(outbox.c.kind != ALARM)
    while True:
        async with plane.engine.connect() as connection:
            if not (await connection.execute(asked)).scalar_one():
                return
        await asyncio.sleep(0.2)


def joined(number: int, sid: str) -> tuple[ParticipantJoined, ...]:
    """Let the user of a session come."""
    return (ParticipantJoined(at=0, sid=f"{sid}{number}", identity=f"user-{number}"),)


def agent(number: int) -> ParticipantJoined:
    """Let the agent of a session come."""
    return ParticipantJoined(
        at=0, sid=f"PA_agent{number}", identity=f"agent-{number}", kind=ParticipantKind.AGENT, agent_name="a"
    )


async def change(plane: Plane, sessions: list[str], rate: float, seconds: float) -> list[Moved]:
    """Let users leave and come back, `rate` times a second; as with webhooks, no session waits for another's change."""
    parts = [range(part, len(sessions), DRIVERS) for part in range(DRIVERS)]
    moved = await asyncio.gather(*(drive(plane, sessions, part, rate / DRIVERS, seconds) for part in parts))
    return sorted((each for some in moved for each in some), key=lambda each: each[2])


async def drive(plane: Plane, sessions: list[str], mine: range, rate: float, seconds: float) -> list[Moved]:
    """Change some of the sessions, one after the other: half of the time the newest, once a second the open one."""
    moved: list[Moved] = []
    there = dict.fromkeys(mine, "PA_first")
    began = time.monotonic()
    for step in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + step / rate - time.monotonic()))
        number = random.choice(mine[-2:]) if step % 2 else random.choice(mine)
        if OPEN in mine and step % max(1, int(rate)) == 0:
            number = OPEN
        sid = there[number]
        if sid:
            left = ParticipantLeft(at=0, sid=f"{sid}{number}", identity=f"user-{number}", raw="CLIENT_INITIATED")
            await plane.store.tell(sessions[number], left)
            there[number], state = "", "holding"
        else:
            there[number], state = f"PA_{step}_", "live"
            await plane.store.tell(sessions[number], *joined(number, there[number]))
        moved.append((f"room-{number:06}", state, time.time() * 1000))
        plane.carrier.wake()
    return moved


async def measure(options: argparse.Namespace, folder: Path) -> bool:
    """Run it, print what came of it, and say whether every promise was kept."""
    config = ControlConfig(
        port=0, livekit_url=NOBODY, api_key=KEY, api_secret=SECRET, database=f"sqlite:///{folder}/bench.db"
    )
    async with run_plane(config.plane(Adopters(agents={"a": POLICY}))) as plane, async_playwright() as playwright:
        settings = uvicorn.Config(create_app(config, plane), port=0, log_level="error", lifespan="off")
        server = uvicorn.Server(settings)
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        began = time.monotonic()
        sessions = await fill(plane, options.sessions)
        await talk(plane, sessions[OPEN])
        print(f"{options.sessions} sessions opened and live in {time.monotonic() - began:.1f} s", end="")
        await settled(plane)
        print(f", and everybody told of them after {time.monotonic() - began:.1f} s")
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=chromium, args=flags)
        page = await browser.new_page(viewport={"width": 1280, "height": 860})
        began = time.monotonic()
        token = sign_in(api_key=KEY, secret=SECRET, now=time.time())
        await page.goto(f"{url}/console/#token={token}&session={sessions[OPEN]}")
        await page.get_by_text(f"{options.sessions} shown").wait_for(timeout=120_000)
        await page.locator(".talk li").nth(LINES - 1).wait_for(timeout=120_000)
        print(f"all of them in the console, and {LINES} lines of one talk, ", end="")
        print(f"{time.monotonic() - began:.1f} s after its address was opened")
        await page.evaluate(WATCH)
        began = time.monotonic()
        moved = await change(plane, sessions, options.rate, options.seconds)
        took = time.monotonic() - began
        print(f"{len(moved)} changes committed in {took:.1f} s, {len(moved) / took:.0f} a second")
        await asyncio.sleep(2)
        missed = report_changes(moved, await page.evaluate("seen"))
        if len(moved) / took < options.rate * ENOUGH:
            missed.append(f"the changes came more slowly than {options.rate:g} a second")
        missed += report_frames(await page.evaluate("frames"), "changes")
        await page.evaluate("frames.length = 0")
        for _ in range(60):
            await page.locator(".rows").evaluate("(rows) => { rows.scrollTop += rows.scrollHeight / 60; }")
            await asyncio.sleep(0.05)
        missed += report_frames(await page.evaluate("frames"), "scrolling through all")
        await browser.close()
        plane.stream.close()
        server.should_exit = True
        await serving
    print("\n".join(f"not kept: {each}" for each in missed) or "every promise was kept")
    return not missed


def report_changes(moved: list[Moved], seen: list[Any]) -> list[str]:
    """Print how late changes were shown; returns which promises were not kept."""
    delays, wrong = delays_of(moved, seen)
    print(f"changes: {len(moved)} made, {len(delays)} of them in view; {wrong} lines wrong at the end", end="")
    missed = [f"{wrong} lines were wrong at the end"] if wrong else []
    if len(delays) < 2:
        print()
        return [*missed, "too few changes were shown to say how late"]
    p95 = statistics.quantiles(delays, n=20)[18]
    print(f"; shown after p50 {statistics.median(delays):.0f} ms, p95 {p95:.0f} ms, max {max(delays):.0f} ms")
    return missed if p95 <= SHOWN_WITHIN else [*missed, f"p95 is {p95:.0f} ms, more than {SHOWN_WITHIN}"]


def report_frames(frames: list[float], what: str) -> list[str]:
    """Print the longest frames; returns which promises were not kept."""
    longest = sorted(frames, reverse=True)[:5]
    print(f"{what}: {len(frames)} frames, the longest {', '.join(f'{each:.0f}' for each in longest)} ms")
    if not longest:
        return [f"{what}: there was no frame"]
    return [f"{what}: a frame of {longest[0]:.0f} ms, more than {LONGEST_FRAME}"] if longest[0] > LONGEST_FRAME else []


def delays_of(moved: list[Moved], seen: list[Any]) -> tuple[list[float], int]:
    """Say how long each change in view made its line wrong: until the line said how the session stood by then.

    A change that the next one takes back at once need never be shown.

    Returns:
        Milliseconds of each, and how many lines that were in view last said something else than was so.
    """
    happened: dict[str, list[tuple[float, bool, str]]] = {room: [] for room, _, _ in seen}
    for room, state, at in seen:
        happened[room].append((at, True, state))
    for room, state, at in moved:
        if room in happened:
            happened[room].append((at, False, state))
    delays: list[float] = []
    wrong = 0
    for events in happened.values():
        so = shown = ""
        waiting: list[float] = []
        for at, is_shown, state in sorted(events):
            if is_shown:
                shown = state
            else:
                so = state
                waiting.append(at)
            if shown == so:
                delays += [at - since for since in waiting]
                waiting = []
        wrong += bool(waiting)
    return delays, wrong


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m bench.console", description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=200.0, help="changes a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--check", action="store_true", help="end with status 1 if a promise is not kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept_all = asyncio.run(measure(options, Path(folder)))
    sys.exit(1 if options.check and not kept_all else 0)


if __name__ == "__main__":
    main()
