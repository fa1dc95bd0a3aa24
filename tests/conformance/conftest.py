"""The room server under test, and participants in it.

By default the suite starts `roomkeeper sfu` on free loopback ports. `LIVEKIT_URL`, `LIVEKIT_API_KEY` and
`LIVEKIT_API_SECRET` point it at a server that runs already, `LIVEKIT_SERVER` at an executable of livekit-server that it
starts instead. Tests of what Roomkeeper does better are then left out, and with `LIVEKIT_URL` also those that start,
configure and kill the server.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from livekit import api

from tests.conformance.support.clients import Joiner, SignalPath
from tests.conformance.support.server import Options, Server, ServerProcess
from tests.conformance.support.stage import Outcomes, play
from tests.conformance.support.twirp import Twirp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

RUNNING_URL = os.environ.get("LIVEKIT_URL")
REFERENCE = os.environ.get("LIVEKIT_SERVER")

MARKERS = {
    "improvement": "what `roomkeeper sfu` does better than livekit-server on purpose",
    "own_server": "needs a server that the test starts, configures or kills",
}


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers of this suite."""
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the server under test is not meant to do."""
    unfit = {"improvement"} if RUNNING_URL or REFERENCE else set()
    if RUNNING_URL:
        unfit.add("own_server")
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in unfit)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def reference() -> str | None:
    """The executable of livekit-server to run instead of `roomkeeper sfu`, if any."""
    return REFERENCE


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The room server under test."""
    if RUNNING_URL:
        yield Server(RUNNING_URL, os.environ["LIVEKIT_API_KEY"], os.environ["LIVEKIT_API_SECRET"])
        return
    process = ServerProcess(Options(), tmp_path_factory.mktemp("server") / "server.log", REFERENCE)
    process.start()
    yield process.server
    assert process.stop() == 0, process.log.read_text(errors="replace")[-2000:]


@pytest.fixture(scope="session")
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that behaves like the original throughout: that one itself, or `roomkeeper sfu --strict`."""
    if RUNNING_URL or REFERENCE:
        yield request.getfixturevalue("server")
        return
    process = ServerProcess(Options(strict=True), tmp_path_factory.mktemp("strict") / "server.log")
    process.start()
    yield process.server
    assert process.stop() == 0, process.log.read_text(errors="replace")[-2000:]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[[Options], ServerProcess]]:
    """Start servers with options of the test's own; they are killed after the test."""
    processes: list[ServerProcess] = []

    def start(options: Options) -> ServerProcess:
        process = ServerProcess(options, tmp_path / f"server-{len(processes)}.log", REFERENCE)
        processes.append(process)
        process.start()
        return process

    yield start
    for process in processes:
        process.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def outcomes(
    request: pytest.FixtureRequest,
    server: Server,
    reference: str | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Outcomes:
    """How the chosen scenarios of a file went: all of them run at once, since each waits most of its time."""
    callspecs = (getattr(item, "callspec", None) for item in request.session.items if item.path == request.path)
    chosen = [spec.params["scenario"] for spec in callspecs if spec and callable(spec.params.get("scenario"))]
    return await play(chosen, server, lambda: tmp_path_factory.mktemp("scenario"), reference)


@pytest.fixture
def room() -> str:
    """A room name of this test's own."""
    return f"room-{uuid4().hex[:12]}"


@pytest.fixture(params=["v0", "v1"])
def path(request: pytest.FixtureRequest) -> SignalPath:
    """How clients signal: the test runs over both ways."""
    chosen: SignalPath = request.param
    return chosen


@pytest.fixture
async def join(server: Server, room: str, request: pytest.FixtureRequest) -> AsyncIterator[Joiner]:
    """Let participants join the room of this test, over `path` if the test asks for it."""
    path: SignalPath = request.getfixturevalue("path") if "path" in request.fixturenames else "v0"
    joiner = Joiner(server, room, path)
    yield joiner
    await joiner.aclose()


@pytest.fixture
async def lkapi(server: Server) -> AsyncIterator[api.LiveKitAPI]:
    """The room API with every right."""
    async with api.LiveKitAPI(server.http, server.key, server.secret) as lkapi:
        yield lkapi


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Plain HTTP."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
        yield session


@pytest.fixture
def twirp(server: Server, http: aiohttp.ClientSession) -> Twirp:
    """The room API as plain HTTP."""
    return Twirp(server, http)
