"""What the browser tests stand on: tabs with livekit-client, a signal line that can be cut, npm folders."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import shutil
import struct
import subprocess
import threading
import wave
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from playwright.async_api import TimeoutError as PlaywrightTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.async_api import Page

    from tests.conformance.support.clients import SignalPath
    from tests.conformance.support.server import Kind, Server

HERE = Path(__file__).parent
MICROPHONE_HZ = 440.0
"""The tone in the browser's microphone."""
HUM_HZ = 880.0
"""The tone a page makes itself when it hums."""
TONE_TOLERANCE_HZ = 15.0
"""A little over one bin of the pages' FFT (11.7 Hz)."""


def npm_folder(name: str) -> Path:
    """A folder of `tests/conformance/js` with its locked packages installed; installs them at the first call."""
    folder = HERE / name
    installed = folder / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (folder / "package-lock.json").stat().st_mtime:
        npm = shutil.which("npm")
        assert npm, "npm is needed for the tests of the JavaScript SDKs"
        subprocess.run([npm, "ci", "--loglevel=error"], cwd=folder, check=True, timeout=300)
        installed.touch()
    return folder


def write_tone(path: Path, hz: float) -> None:
    """One second of a sine, 48 kHz, 16 bit, mono; whole periods, so that it loops without a click."""
    samples = (int(9830 * math.sin(2 * math.pi * hz * n / 48_000)) for n in range(48_000))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(48_000)
        out.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


class _QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: the requests are ours."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback (a secure context for the microphone) and give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_QuietFiles, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class SignalLine:
    """A TCP relay in front of the room server: signalling runs through it and can be cut, media goes its own way."""

    target: str
    """The server's own address, `ws://host:port`."""
    url: str = ""
    """The relay's address, for `Room.connect`."""
    paths: list[str] = field(default_factory=list)
    """The path of every request so far, without its query."""
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def open(self) -> None:
        """Start to listen on a free port."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = urlunsplit(urlsplit(self.target)._replace(netloc=f"127.0.0.1:{port}"))

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Reset every connection: no WebSocket close, no Leave, as when a network goes."""
        for end in self._ends:
            end.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n")
        self.paths.append(request.split()[1].split(b"?")[0].decode())
        host, _, port = urlsplit(self.target).netloc.partition(":")
        upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
        pair = {writer, upstream_writer}
        upstream_writer.write(request)
        self._ends |= pair
        try:
            await asyncio.gather(_pump(reader, upstream_writer), _pump(upstream_reader, writer))
        finally:
            self._ends -= pair
            for end in pair:
                end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@dataclass
class Tab:
    """One page of the browser, with its own `window.lab` (see `page/lab.js`)."""

    page: Page
    home: str
    """The address of the test page."""
    server: Server
    identity: str = ""

    async def open(self) -> None:
        """Load the test page afresh."""
        await self.page.goto(self.home)
        await self.page.wait_for_function("window.lab")

    async def join(
        self,
        room: str,
        identity: str,
        *,
        path: SignalPath,
        url: str = "",
        kind: Kind = "standard",
        room_options: dict[str, Any] | None = None,
        **grants: Any,  # noqa: ANN401 - fields of VideoGrants
    ) -> None:
        """Enter a room over `v0` (two peer connections) or `v1` (one, the SDK's default)."""
        self.identity = identity
        token = self.server.token(identity, kind=kind, **{"room": room, "can_update_own_metadata": True} | grants)
        options = {"room": ({"singlePeerConnection": False} if path == "v0" else {}) | (room_options or {})}
        await self.run(
            "([url, token, options]) => lab.join(url, token, options)", [url or self.server.ws, token, options]
        )

    async def run(self, script: str, argument: object = None) -> Any:  # noqa: ANN401 - whatever the script gives
        """Evaluate JavaScript in the page; promises are awaited."""
        return await self.page.evaluate(script, argument)

    async def mark(self) -> int:
        """The number of events so far: the `since` of what comes next."""
        return int(await self.run("lab.events.length"))

    async def until(self, name: str, *args: object, since: int = 0, within: float = 15) -> list[Any]:
        """Wait for a room event whose arguments begin with `args` (None: any) and give all its arguments."""
        try:
            async with asyncio.timeout(within):
                event = await self.run("([n, a, s]) => lab.until(n, a, s)", [name, list(args), since])
        except TimeoutError:
            story = await self.story(since)
            raise AssertionError(f"{self.identity}: no {name}{args} within {within} s, but {story}") from None
        return list(event["args"])

    async def story(self, since: int = 0) -> list[tuple[str, Any]]:
        """Every event since then as (name, first argument), without those that come at any time."""
        return [(name, value) for name, value in await self.run("since => lab.story(since)", since)]

    async def names(self, since: int = 0) -> list[str]:
        """The names of `story`."""
        return [name for name, _ in await self.story(since)]

    async def sees(self, identity: str, *, within: float = 10) -> None:
        """Wait until that participant is in the room, as seen from here."""
        await self.page.wait_for_function(
            "who => lab.room.remoteParticipants.has(who)", arg=identity, polling=50, timeout=within * 1000
        )

    async def hears(self, identity: str, hz: float, *, within: float = 10) -> None:
        """Wait until the loudest tone in that participant's audio is `hz` (0: silence)."""
        near = f"Math.abs(lab.tone('{identity}') - {hz}) < {TONE_TOLERANCE_HZ}"
        try:
            await self.page.wait_for_function(near, polling=50, timeout=within * 1000)
        except PlaywrightTimeout:
            heard = await self.run("who => lab.tone(who)", identity)
            raise AssertionError(f"{self.identity} hears {heard:.0f} Hz from {identity}, not {hz:.0f}") from None
