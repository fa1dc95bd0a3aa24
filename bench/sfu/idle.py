"""A process that only watches its event loop: when and for how long the machine wakes late who has nothing to do.

It runs on the server's cores for as long as its standard input is open. It prints a line a time: when it was over
(seconds since 1970), and for how many seconds it lasted, without the wait for a core that somebody else was using.
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from roomkeeper.sfu.metrics import Metrics

TOLD = 0.001
"""Seconds below which nothing is printed."""


async def main() -> None:
    """Watch until nobody listens any more."""
    watching = asyncio.create_task(Metrics().watch_loop(lambda seconds: print(time.time(), seconds), above=TOLD))
    await asyncio.to_thread(sys.stdin.read)
    watching.cancel()


if __name__ == "__main__":
    uvloop.run(main())
