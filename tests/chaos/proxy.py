"""Takes webhooks for the control plane, and does to them what networks do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    import random
    from collections import Counter


class Proxy:
    """Loses, doubles and delays webhooks.

    Args:
        port: Where they come in.
        hooks: Where they go, to any of these.
        chance: Seeded.
        lossy: Probability of each: lost, doubled, late.
        counted: Counts what was done to them.
    """

    def __init__(self, port: int, hooks: list[str], chance: random.Random, lossy: float, counted: Counter[str]) -> None:
        self.port = port
        self._hooks, self._chance, self._lossy, self._counted = hooks, chance, lossy, counted
        self._late: set[asyncio.Task[int]] = set()
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Where webhooks go first."""
        return f"http://127.0.0.1:{self.port}/webhooks/livekit"

    async def up(self) -> None:
        """Listen."""
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        app = web.Application()
        app.router.add_post("/webhooks/livekit", self._take)
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
            self._counted["lose webhook"] += 1
            return web.Response()
        if draw < 2 * self._lossy:
            self._counted["double webhook"] += 1
            self._later(body, authorization)
        elif draw < 3 * self._lossy:
            self._counted["delay webhook"] += 1
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
        if not self._hooks:
            return 503  # somebody else's server tells of what was before
        headers = {"authorization": authorization, "content-type": "application/webhook+json"}
        try:
            async with self._http.post(self._chance.choice(self._hooks), data=body, headers=headers) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 503
