"""A room server, a control plane with its pages, and an operator in front of the console."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import uvicorn
from aiohttp import web
from playwright.async_api import async_playwright

from roomkeeper.control.adoption import Adopters
from roomkeeper.control.app import create_app
from roomkeeper.control.config import ControlConfig
from roomkeeper.control.plane import run_plane
from roomkeeper.lifecycle.policy import Policy
from roomkeeper.wire.signin import sign_in
from tests.conformance.support.server import Options, ServerProcess
from tests.control.conftest import AGENT, House
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import ConsoleMessage, Page

    from roomkeeper.control.plane import Plane

POLICY = Policy(hold_web=60, linger=1)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@asynccontextmanager
async def serve_pages(config: ControlConfig, plane: Plane) -> AsyncIterator[None]:
    """Serve the whole application on the port of the settings."""
    settings = uvicorn.Config(
        create_app(config, plane),
        host=config.host,
        port=config.port,
        log_level="warning",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(settings)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        plane.stream.close()
        server.should_exit = True
        await task


@dataclass
class Backend:
    """The application's, which takes reports when it likes.

    Attributes:
        awake: While it is not set, nothing is answered.
        url: Where reports go.
    """

    awake: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def take(self, _: web.Request) -> web.Response:
        """Take a report."""
        await self.awake.wait()
        return web.Response()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Serve for the length of a `with` block."""
        app = web.Application()
        app.router.add_post("/reports", self.take)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}/reports"
        try:
            yield
        finally:
            self.awake.set()
            await runner.cleanup()


@dataclass
class Desk:
    """What an operator has: the house to look at, and a browser.

    Attributes:
        house: The servers, and people who come and go.
        page: The console's tab.
        url: Of the control plane.
        backend: Has the reports.
        problems: Errors on the page, and whatever its policy forbade.
    """

    house: House
    page: Page
    url: str
    backend: Backend
    problems: list[str] = field(default_factory=list)

    async def stranger(self) -> Page:
        """Open a window that shares nothing with the operator's tab."""
        browser = self.page.context.browser
        assert browser is not None
        return await browser.new_page()

    def note(self, line: ConsoleMessage) -> None:
        """Keep what the browser complains about."""
        if line.type in {"error", "warning"}:
            self.problems.append(line.text)

    def link(self, *, age: float = 0) -> str:
        """Make the link that `roomkeeper login` printed `age` seconds ago."""
        server = self.house.server
        token = sign_in(api_key=server.key, secret=server.secret, now=time.time() - age)
        return f"{self.url}/console/#token={token}"


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    backend = Backend()
    async with backend.serve():
        yield backend


@pytest.fixture
async def desk(tmp_path: Path, chromium_executable: str | None, backend: Backend) -> AsyncIterator[Desk]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = ServerProcess(Options(webhooks=(f"{url}/webhooks/livekit",)), tmp_path / "sfu.log")
    process.start()
    server = process.server
    config = ControlConfig(
        port=port,
        livekit_url=server.http,
        api_key=server.key,
        api_secret=server.secret,
        database=f"sqlite:///{tmp_path}/control.db",
        report_url=backend.url,
        report_secret=SECRET,
        dev=True,
        supervisor=str(tmp_path / "nobody.sock"),
    )
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses its sandbox to root
    try:
        async with (
            run_plane(config.plane(Adopters(agents={AGENT: POLICY}))) as plane,
            serve_pages(config, plane),
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(executable_path=chromium_executable, args=flags)
            page = await (await browser.new_context(viewport={"width": 1280, "height": 860})).new_page()
            house = House(server, plane)
            desk = Desk(house, page, url, backend)
            page.on(
                "console", lambda line: desk.problems.append(line.text) if line.type in {"error", "warning"} else None
            )
            page.on("pageerror", lambda error: desk.problems.append(str(error)))
            yield desk
            await asyncio.gather(*(client.close() for client in house.clients))
            await browser.close()
    finally:
        process.kill()
