"""One house for all tests, and one Chromium in which everybody has a window of their own."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from tests.browser.house import REPOSITORY, House
from tests.browser.microphone import write_voice
from tests.browser.visitor import Visitor
from tests.conformance.support.relay import RELAY_HOST, tcp_relay, udp_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator
    from pathlib import Path

    from playwright.async_api import Browser, Playwright, ViewportSize

    from tests.conformance.support.relay import TcpRelay, UdpRelay

FLAGS = (
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
)
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
STORIES = REPOSITORY / "web" / "apps" / "stories" / "dist"


class Visit(Protocol):
    """Opens the interview page in a window of its own."""

    def __call__(
        self, *, microphone: Path | None = None, phone: bool = False, dark: bool = False, address: str | None = None
    ) -> Awaitable[Visitor]:
        """Open it.

        Args:
            microphone: What the microphone hears, once; a beep each second if None.
            phone: On a screen of a telephone's size.
            dark: With dark colours preferred.
            address: Another page than the house's.
        """


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Room server, control plane and interviewer; media passes through `network`, the signal through `signal`."""
    with House(tmp_path_factory.mktemp("house"), relayed=True) as house:
        yield house


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def network(house: House) -> AsyncIterator[UdpRelay]:
    """What lies between all browsers and the room server's media."""
    async with udp_relay(house.sfu.udp_port) as relay:
        yield relay


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def signal(house: House) -> AsyncIterator[TcpRelay]:
    """What lies between all browsers and the room server's signal port."""
    async with tcp_relay(house.sfu.port) as relay:
        yield relay


@pytest.fixture(scope="session")
def stories() -> Iterator[str]:
    """Address of the stories: every state of the page, and the hook in LiveKit's own rooms."""
    assert STORIES.is_dir(), "run `make pages` first"
    handler = partial(_Quiet, directory=str(STORIES))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing of each request."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    async with async_playwright() as playwright:
        yield playwright


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium(playwright: Playwright, chromium_executable: str | None) -> AsyncIterator[Browser]:
    """A browser whose microphone beeps each second."""
    browser = await playwright.chromium.launch(executable_path=chromium_executable, args=_flags())
    yield browser
    await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(
    house: House,
    network: UdpRelay,
    signal: TcpRelay,
    playwright: Playwright,
    chromium: Browser,
    chromium_executable: str | None,
) -> AsyncIterator[Visit]:
    """Visits to the interview page; after the test, nothing may have gone wrong on any."""
    visitors: list[Visitor] = []
    async with AsyncExitStack() as stack:

        async def visit(
            *, microphone: Path | None = None, phone: bool = False, dark: bool = False, address: str | None = None
        ) -> Visitor:
            browser = chromium
            if microphone is not None:
                browser = await playwright.chromium.launch(
                    executable_path=chromium_executable,
                    args=[*_flags(), f"--use-file-for-fake-audio-capture={microphone}%noloop"],
                )
                stack.push_async_callback(browser.close)
            context = await browser.new_context(
                viewport=PHONE if phone else DESKTOP, color_scheme="dark" if dark else "light", locale="en-US"
            )
            stack.push_async_callback(context.close)
            visitor = Visitor(await context.new_page(), address or house.address)
            visitors.append(visitor)
            await visitor.open()
            return visitor

        yield visit
    network.lossy = signal.lossy = signal.refusing = False
    for process in (house.control, house.worker):
        print(process.printed()[-4_000:])  # noqa: T201 - pytest shows it with a failure
    for visitor in visitors:
        assert visitor.problems == []
        assert visitor.hosts <= {"127.0.0.1", RELAY_HOST}


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """A microphone that hears a man read, again and again."""
    path = tmp_path / "microphone.wav"
    write_voice(path, before=0.5, after=0, times=20)
    return path


def _flags() -> list[str]:
    # Chromium refuses its sandbox to root.
    return [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else [*FLAGS]
