"""A house, the networks between it and its visitors, and the visitors."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.browser.visitor import Visitor
from tests.conformance.support.relay import RELAY_HOST, TcpRelay, UdpRelay, tcp_relay, udp_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, Playwright, ViewportSize

    from tests.browser.house import House

LONG = "ROOMKEEPER_LONG" in os.environ
"""Whether there is time for all of it; `make page` takes it."""
SLACK = 1 if LONG else 10
"""How many times longer than promised something may take; `make test` runs other tests on the same cores meanwhile."""
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


@dataclass(frozen=True)
class Chromium:
    """How browsers are started.

    Attributes:
        executable: None: Playwright's own.
    """

    playwright: Playwright
    executable: str | None

    async def launch(self, *flags: str) -> Browser:
        """Start one whose microphone beeps each second, unless the flags say otherwise."""
        # Chromium refuses its sandbox to root.
        root = ("--no-sandbox",) if os.geteuid() == 0 else ()
        return await self.playwright.chromium.launch(executable_path=self.executable, args=[*FLAGS, *root, *flags])


@dataclass
class Networks:
    """What lies between all browsers and the room server; nothing where somebody else runs that one.

    Attributes:
        media: Datagrams.
        signal: Connections of the signal.
    """

    media: UdpRelay | None = None
    signal: TcpRelay | None = None

    def mend(self) -> None:
        """Let everything through."""
        if self.media:
            self.media.lossy = False
        if self.signal:
            self.signal.lossy = self.signal.refusing = False


@asynccontextmanager
async def networks_of(house: House) -> AsyncIterator[Networks]:
    """Relay what browsers and the room server tell each other."""
    if house.process is None:
        yield Networks()
        return
    async with udp_relay(house.process.udp_port) as media, tcp_relay(house.process.port) as signal:
        yield Networks(media, signal)


@dataclass
class Visit:
    """Opens pages, the interview's if not another one, each in a window of its own."""

    house: House
    chromium: Chromium
    shared: Browser
    stack: AsyncExitStack
    visitors: list[Visitor] = field(default_factory=list)

    async def __call__(
        self,
        *,
        microphone: Path | None = None,
        phone: bool = False,
        dark: bool = False,
        address: str | None = None,
        alone: bool = False,
    ) -> Visitor:
        """Open one.

        Args:
            microphone: What the microphone hears, once; a beep each second if None.
            phone: On a screen of a telephone's size.
            dark: With dark colours preferred.
            address: Another page than the house's.
            alone: In a browser that nobody else uses.
        """
        browser = self.shared
        if microphone is not None or alone:
            hears = f"--use-file-for-fake-audio-capture={microphone}%noloop"
            browser = await self.chromium.launch(*([hears] if microphone is not None else []))
            self.stack.push_async_callback(browser.close)
        context = await browser.new_context(
            viewport=PHONE if phone else DESKTOP, color_scheme="dark" if dark else "light", locale="en-US"
        )
        self.stack.push_async_callback(context.close)
        visitor = Visitor(await context.new_page(), address or self.house.address)
        self.visitors.append(visitor)
        await visitor.open()
        return visitor


@asynccontextmanager
async def visits_to(house: House, networks: Networks, chromium: Chromium, shared: Browser) -> AsyncIterator[Visit]:
    """Visits to a house; after them, nothing may have gone wrong on any page."""
    async with AsyncExitStack() as stack:
        visit = Visit(house, chromium, shared, stack)
        yield visit
    networks.mend()
    for process in (house.control, house.worker):
        print(process.printed()[-4_000:])  # noqa: T201 - pytest shows it with a failure
    for visitor in visit.visitors:
        assert visitor.problems == [], visitor.problems  # pytest spells out the asserts of tests alone
        assert visitor.hosts <= {"127.0.0.1", RELAY_HOST, urlsplit(house.server.url).hostname}
