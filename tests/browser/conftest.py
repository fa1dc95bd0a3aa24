"""One house for all tests, and one Chromium in which everybody has a window of their own.

With `LIVEKIT_URL` the room server is somebody else's: tests that lose or mend a network, or ask for more than a plain
server, are left out then.
"""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from tests.browser.home import LONG, Chromium, networks_of, visits_to
from tests.browser.house import REPOSITORY, RUNNING_URL, House
from tests.browser.microphone import write_voice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from playwright.async_api import Browser

    from tests.browser.home import Networks, Visit
    from tests.conformance.support.relay import TcpRelay, UdpRelay

STORIES = REPOSITORY / "web" / "apps" / "stories" / "dist"
HERE = Path(__file__).parent
OURS = frozenset({"media", "signal", "homes"})
"""Fixtures that need a room server which the tests start."""


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of this suite."""
    config.addinivalue_line("markers", "long: takes minutes; for `make page`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes too long, and what somebody else's room server cannot be put through."""

    def is_left_out(item: pytest.Item) -> bool:
        if HERE not in item.path.parents:
            return False
        needs_ours = OURS & set(getattr(item, "fixturenames", ()))
        return bool(RUNNING_URL and needs_ours) or (not LONG and item.get_closest_marker("long") is not None)

    left_out = [item for item in items if is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Room server, control plane and interviewer; browsers reach the room server through `networks`."""
    with House(tmp_path_factory.mktemp("house"), relayed=True) as house:
        yield house


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def networks(house: House) -> AsyncIterator[Networks]:
    """What lies between all browsers and the room server."""
    async with networks_of(house) as networks:
        yield networks


@pytest.fixture
def media(networks: Networks) -> UdpRelay:
    """The network of sound."""
    assert networks.media
    return networks.media


@pytest.fixture
def signal(networks: Networks) -> TcpRelay:
    """The network of the signal."""
    assert networks.signal
    return networks.signal


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
async def launcher(chromium_executable: str | None) -> AsyncIterator[Chromium]:
    """Starts browsers."""
    async with async_playwright() as playwright:
        yield Chromium(playwright, chromium_executable)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium(launcher: Chromium) -> AsyncIterator[Browser]:
    """A browser whose microphone beeps each second."""
    browser = await launcher.launch()
    yield browser
    await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(house: House, networks: Networks, launcher: Chromium, chromium: Browser) -> AsyncIterator[Visit]:
    """Visits to the interview page; after the test, nothing may have gone wrong on any."""
    async with visits_to(house, networks, launcher, chromium) as visit:
        yield visit


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """A microphone that hears a man read, again and again."""
    path = tmp_path / "microphone.wav"
    write_voice(path, before=0.5, after=0, times=20)
    return path
