"""A process that only watches its event loop: how late this machine wakes somebody who has nothing to do.

It runs on the server's cores for as long as its standard input is open, and prints its longest block in milliseconds.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from roomkeeper.sfu.metrics import Metrics


async def main() -> None:
    """Watch until nobody listens any more."""
    metrics = Metrics()
    watching = asyncio.create_task(metrics.watch_loop())
    await asyncio.to_thread(sys.stdin.read)
    watching.cancel()
    print(metrics.longest_block * 1000)


if __name__ == "__main__":
    uvloop.run(main())
