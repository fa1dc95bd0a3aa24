"""Whoever gets the reports: checks their signatures, and remembers every delivery."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from standardwebhooks.webhooks import Webhook

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

SECRET: Final = "whsec_" + base64.b64encode(b"the secret of the measurement's receiver").decode()


class Receiver:
    """An HTTP server that takes reports. An async context manager.

    Attributes:
        url: Where.
        reports: Of each room, in the order in which they came: the id of the delivery and the report.
    """

    def __init__(self) -> None:
        self.url = ""
        self.reports: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        self._came = asyncio.Condition()
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/", self._take)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def of(self, room: str) -> dict[str, Any]:
        """Wait for the report of a room's session."""
        async with self._came:
            await self._came.wait_for(lambda: room in self.reports)
            return self.reports[room][-1][1]

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        said: dict[str, Any] = Webhook(SECRET).verify(body, dict(request.headers))
        report = said["data"]
        async with self._came:
            self.reports.setdefault(str(report["room"]), []).append((request.headers["webhook-id"], report))
            self._came.notify_all()
        return web.Response()
