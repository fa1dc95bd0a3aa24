"""A user in Chromium, and the recorder through whose eyes and ears the measurement sees the room."""

from __future__ import annotations

import json
import os
import shutil
import time
import wave
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import numpy as np
from aiohttp import web
from playwright.async_api import async_playwright

from bench.lifecycle.user import User

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from playwright.async_api import Browser, Page

CLIENT: Final = Path(__file__).parents[2] / "web" / "node_modules" / "livekit-client" / "dist" / "livekit-client.umd.js"
FLAGS: Final = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
RATE: Final = 48_000
PAGE: Final = """
<!doctype html>
<title>talk</title>
<link rel="icon" href="data:," />
<script src="/livekit-client.js"></script>
<script>
  const { url, token, leaves } = JSON.parse(decodeURIComponent(location.hash.slice(1)));
  const room = new LivekitClient.Room({ disconnectOnPageLeave: leaves });
  const now = () => (performance.timeOrigin + performance.now()) / 1000;
  const microphone = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  globalThis.joining = (async () => {
    await room.connect(url, token);
    const connected = now();
    await room.localParticipant.setMicrophoneEnabled(true, microphone);
    return [connected, now()];
  })();
  globalThis.ask = (text) => room.localParticipant.sendText(text, { topic: "lk.chat" });
</script>
"""


class Tab:
    """A page with livekit-client and a microphone into which somebody hums.

    Args:
        page: The tab.
        address: Where the page is served.
    """

    def __init__(self, page: Page, address: str) -> None:
        self._page = page
        self._address = address

    async def open(self, url: str, token: str, *, leaves: bool) -> None:
        """Load the page, which joins.

        Args:
            url: Of the room server.
            token: To join with, now and after each reload.
            leaves: Whether the page says Leave when it is unloaded, as livekit-client does unless told not to.
        """
        joins = {"url": url, "token": token, "leaves": leaves}
        await self._page.goto(f"{self._address}#{quote(json.dumps(joins))}")

    async def reload(self) -> None:
        """Reload the page."""
        await self._page.reload()

    async def joined(self) -> tuple[float, float]:
        """Wait until the page has joined; returns when it was connected, and when its microphone was published."""
        connected, published = await self._page.evaluate("joining")
        since_epoch = time.time() - time.perf_counter()
        return connected - since_epoch, published - since_epoch

    async def ask(self, text: str) -> None:
        """Type something."""
        await self._page.evaluate("(text) => ask(text)", text)

    async def close(self) -> None:
        """Close the tab."""
        await self._page.close(run_before_unload=True)


class Watcher(User):
    """Sees and hears what a tab's user does, in the room as a recorder, and types in the tab.

    Args:
        url: Of the room server.
        token: A recorder's.
        tab: The user's.
    """

    def __init__(self, url: str, token: str, tab: Tab) -> None:
        super().__init__(url, token)
        self._tab = tab

    async def ask(self, text: str) -> float:
        """Type something in the tab; returns when."""
        at = time.perf_counter()
        self.asked.append(text)
        await self._tab.ask(text)
        return at


@asynccontextmanager
async def tabs(folder: Path) -> AsyncIterator[Callable[[], Awaitable[Tab]]]:
    """Serve the page, and open tabs in a Chromium: `CHROMIUM`, the system's, or Playwright's own.

    Args:
        folder: For the sound of its microphone.
    """
    site = web.Application()
    site.router.add_get("/", lambda _: _answer(web.Response(text=PAGE, content_type="text/html")))
    site.router.add_get("/livekit-client.js", lambda _: _answer(web.FileResponse(CLIENT)))
    runner = web.AppRunner(site)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with _chromium(folder / "hum.wav") as browser:

            async def tab() -> Tab:
                return Tab(await browser.new_page(), address)

            yield tab
    finally:
        await runner.cleanup()


async def _answer(response: web.StreamResponse) -> web.StreamResponse:
    return response


@asynccontextmanager
async def _chromium(hum: Path) -> AsyncIterator[Browser]:
    at = np.arange(RATE) / RATE
    with wave.open(str(hum), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.sin(2 * np.pi * 300 * at) * 9000).astype(np.int16).tobytes())
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={hum}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=flags)
        try:
            yield browser
        finally:
            await browser.close()
