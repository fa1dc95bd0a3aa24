"""A Chromium, its tabs and the test page, for the tests of livekit-client."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import pytest_asyncio
from livekit import api
from playwright.async_api import async_playwright

from tests.conformance.js.lab import MICROPHONE_HZ, SignalLine, Tab, npm_folder, served, write_tone

if TYPE_CHECKING:
    from playwright.async_api import Browser

OpenTab = Callable[[], Awaitable[Tab]]
OpenLine = Callable[[], Awaitable[SignalLine]]

FLAGS = (
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
)


@dataclass(frozen=True)
class Server:
    url: str
    key: str = "devkey"
    secret: str = "secret"


@pytest.fixture(scope="session")
def server() -> Server:
    return Server(os.environ["LIVEKIT_URL"])


@pytest.fixture(params=["v0", "v1"])
def path(request: pytest.FixtureRequest) -> str:
    """The signal path: v0 with two peer connections, v1 with one."""
    return str(request.param)


@pytest.fixture
def room() -> str:
    """A room name of this test's own."""
    return f"js-{uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def home() -> Iterator[str]:
    """The address of the test page."""
    with served(npm_folder("page")) as address:
        yield address


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(
    tmp_path_factory: pytest.TempPathFactory, chromium_executable: str | None
) -> AsyncIterator[Browser]:
    """One headless Chromium whose microphone plays a tone."""
    tone = tmp_path_factory.mktemp("microphone") / "tone.wav"
    write_tone(tone, MICROPHONE_HZ)
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={tone}"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses its sandbox to root
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_executable, args=flags)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(browser: Browser, home: str, server: Server) -> AsyncIterator[OpenTab]:
    """Open tabs, each in a browser context of its own; they are closed after the test."""
    async with AsyncExitStack() as stack:

        async def open_tab() -> Tab:
            context = await browser.new_context()
            stack.push_async_callback(context.close)
            await context.grant_permissions(["microphone"], origin=home)
            tab = Tab(await context.new_page(), f"{home}/index.html", server)
            await tab.open()
            return tab

        yield open_tab


@pytest_asyncio.fixture(loop_scope="session")
async def ann(open_tab: OpenTab) -> Tab:
    """The first tab; its participant is called ann."""
    return await open_tab()


@pytest_asyncio.fixture(loop_scope="session")
async def bob(open_tab: OpenTab) -> Tab:
    """The second tab; its participant is called bob."""
    return await open_tab()


@pytest_asyncio.fixture(loop_scope="session")
async def line(server: Server) -> AsyncIterator[SignalLine]:
    """A way to the server's signalling that the test can cut."""
    line = SignalLine(server.url)
    await line.open()
    yield line
    await line.close()


@pytest_asyncio.fixture(loop_scope="session")
async def lkapi(server: Server) -> AsyncIterator[api.LiveKitAPI]:
    """The room server's API with every right."""
    async with api.LiveKitAPI(server.url, server.key, server.secret) as lkapi:
        yield lkapi
