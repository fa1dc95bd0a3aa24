"""`roomkeeper dev` once, and Chromium as often as a test wants one."""

from __future__ import annotations

import os
import shutil
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from tests.browser.microphone import write_voice
from tests.browser.visitor import REPOSITORY, Visitor
from tests.install.running import Dev, Ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator
    from pathlib import Path

    from playwright.async_api import ViewportSize

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


class Visit(Protocol):
    """Opens the interview page in a Chromium of its own."""

    def __call__(
        self, *, microphone: Path | None = None, phone: bool = False, dark: bool = False
    ) -> Awaitable[Visitor]:
        """Open it.

        Args:
            microphone: What the microphone hears, once; a beep each second if None.
            phone: On a screen of a telephone's size.
            dark: With dark colours preferred.
        """


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """A running `roomkeeper dev`."""
    roomkeeper = shutil.which("roomkeeper", path=REPOSITORY / ".venv" / "bin")
    assert roomkeeper, "run `make setup` first"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LIVEKIT_", "ROOMKEEPER_"))}
    folder = tmp_path_factory.mktemp("dev")
    with Dev([roomkeeper, "dev", *Ports().flags], env | {"HOME": str(folder)}, folder) as dev:
        dev.wait_until_ready()
        yield dev


@pytest.fixture(scope="session")
def silence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A microphone in a quiet room, for as long as any test runs."""
    path = tmp_path_factory.mktemp("microphone") / "silence.wav"
    write_voice(path, before=0, after=600, times=0)
    return path


@pytest_asyncio.fixture(loop_scope="session")
async def visit(dev: Dev, chromium_executable: str | None) -> AsyncIterator[Visit]:
    """Visits to the interview page; after the test, nothing may have gone wrong on any."""
    visitors: list[Visitor] = []
    async with AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())

        async def visit(*, microphone: Path | None = None, phone: bool = False, dark: bool = False) -> Visitor:
            flags = [*FLAGS]
            if microphone is not None:
                flags.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
            if os.geteuid() == 0:
                flags.append("--no-sandbox")  # Chromium refuses its sandbox to root
            browser = await playwright.chromium.launch(executable_path=chromium_executable, args=flags)
            stack.push_async_callback(browser.close)
            context = await browser.new_context(
                viewport=PHONE if phone else DESKTOP, color_scheme="dark" if dark else "light"
            )
            visitor = Visitor(await context.new_page(), dev.address)
            visitors.append(visitor)
            await visitor.open()
            return visitor

        yield visit
    print(dev.printed[-20_000:])  # noqa: T201 - pytest shows it with a failure
    for visitor in visitors:
        assert visitor.problems == []
        assert visitor.hosts <= {"127.0.0.1"}
