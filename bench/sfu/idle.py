"""A process that watches from beside a server what holds up the server's event loop, and has nothing else to do.

It runs on the server's cores for as long as its standard input is open, and prints a line a time:

- `held SECONDS`: for so long it was itself held up, without its waits for a core that somebody else was using.
- `call SECONDS NAME`: at two looks so far apart the server slept in this call of the kernel, not in waiting for events.
- `seen SECONDS`: at the end; for so long in all the server was seen to wait for events.

After the first word comes the time when it was over, seconds since 1970.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path

import uvloop

from roomkeeper.sfu.metrics import Metrics

TOLD = 0.001
"""Seconds below which nothing is printed of this process."""
LOOK_EVERY = 0.002
"""Seconds between two looks at the server."""
EVENTS = ("ep_poll", "do_epoll_wait")
"""Where in the kernel an event loop waits for events."""


def _tell(what: str, *words: object) -> None:
    print(what, time.time(), *words)


async def _watch(server: int) -> None:
    """Look where the server's main thread sleeps, until cancelled; where the kernel does not say, nothing is seen."""
    where, waited, before = Path(f"/proc/{server}/wchan"), 0.0, time.perf_counter()
    try:
        with suppress(OSError):
            while True:
                await asyncio.sleep(LOOK_EVERY)
                name, now = where.read_text(), time.perf_counter()
                if name in EVENTS:
                    waited += now - before
                elif name not in {"", "0"}:
                    _tell("call", now - before, name)
                before = now
    finally:
        _tell("seen", waited)


async def main(server: int) -> None:
    """Watch until nobody listens any more."""
    own = Metrics().watch_loop(lambda seconds, _: _tell("held", seconds), above=TOLD)
    watching = [asyncio.create_task(own), asyncio.create_task(_watch(server))]
    await asyncio.to_thread(sys.stdin.read)
    for each in watching:
        each.cancel()
    await asyncio.gather(*watching, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
