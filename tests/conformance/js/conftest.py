"""A Chromium, its tabs and the test page, for the tests of livekit-client."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from livekit import api
from playwright.async_api import async_playwright

from tests.conformance.js.lab import MICROPHONE_HZ, SignalLine, Tab, npm_folder, served, write_tone
from tests.conformance.support.clients import Joiner

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.conformance.support.clients import SignalPath
    from tests.conformance.support.server import Server

OpenTab = Callable[[], Awaitable[Tab]]

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


@pytest.fixture(scope="session")
def home() -> Iterator[str]:
    """The address of the test page."""
    with served(npm_folder("page")) as address:
        yield address


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory, chromium_executable: str | None) -> AsyncIterator[Browser]:
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


@pytest.fixture(scope="session")
def idle_tabs() -> list[Tab]:
    """Tabs to use again, each in a browser context of its own: opening one costs more than loading a page."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(browser: Browser, idle_tabs: list[Tab], home: str, server: Server) -> AsyncIterator[OpenTab]:
    """Open tabs; their pages are left after the test."""
    async with AsyncExitStack() as stack:

        async def open_tab() -> Tab:
            if idle_tabs:
                tab = idle_tabs.pop()
            else:
                context = await browser.new_context()
                await context.grant_permissions(["microphone"], origin=home)
                tab = Tab(await context.new_page(), f"{home}/index.html", server)
            stack.push_async_callback(leave, tab)
            await tab.open()
            return tab

        async def leave(tab: Tab) -> None:
            await tab.page.goto("about:blank")
            idle_tabs.append(tab)

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
    line = SignalLine(server.ws)
    await line.open()
    yield line
    await line.close()


@pytest_asyncio.fixture(loop_scope="session")
async def lkapi(server: Server) -> AsyncIterator[api.LiveKitAPI]:
    """The room API with every right, on the loop of the browser."""
    async with api.LiveKitAPI(server.http, server.key, server.secret) as lkapi:
        yield lkapi


@pytest_asyncio.fixture(loop_scope="session")
async def join(server: Server, room: str, path: SignalPath) -> AsyncIterator[Joiner]:
    """Let participants of the python SDK join the room, on the loop of the browser."""
    joiner = Joiner(server, room, path)
    yield joiner
    await joiner.aclose()
