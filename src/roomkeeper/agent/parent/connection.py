"""The WebSocket to the control plane: made again for as long as the worker lives, with growing pauses and jitter."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp

from roomkeeper.wire import link

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

log = logging.getLogger("roomkeeper.agent")

FIRST_PAUSE: Final = 0.2
MAX_PAUSE: Final = 2.0
"""Seconds between two attempts, first and at most; a random part of the second half is left out."""
CONNECT_WITHIN: Final = 5.0
"""Seconds for the connection and for its `welcome`."""
REFUSED: Final = {401, 403}


class Owner(Protocol):
    """Who is told what comes over the link."""

    def welcomed(self) -> None:
        """A connection is up."""

    def says(self, frame: link.FromControl) -> None:
        """A frame came."""

    def parted(self) -> None:
        """The connection is down."""


class Connection:
    """The link of one worker.

    Attributes:
        up: Whether frames can be sent now.
        lease, heartbeat: Seconds, as the control plane has it.
    """

    def __init__(self, url: str, *, token: Callable[[], str], hello: link.Hello, owner: Owner) -> None:
        """Prepare it.

        Args:
            url: Of the control plane, http or https.
            token: Makes a LiveKit API token with the `agent` grant.
            hello: The first frame of every connection.
            owner: Who is told.
        """
        self.lease = link.LEASE
        self.heartbeat = link.HEARTBEAT
        self._url = url.rstrip("/") + link.PATH
        self._token = token
        self._hello = hello
        self._owner = owner
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._outage = False

    @property
    def up(self) -> bool:
        """Whether frames can be sent now."""
        return self._socket is not None

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        pause = FIRST_PAUSE
        async with aiohttp.ClientSession() as http:
            while True:
                try:
                    async with asyncio.timeout(CONNECT_WITHIN) as limit:
                        async with self._connect(http) as connected:
                            welcome = await self._greet(connected)
                            limit.reschedule(None)
                            pause = FIRST_PAUSE
                            await self._talk(connected, welcome)
                except (aiohttp.ClientError, OSError, link.InvalidFrame) as error:
                    self._complain(error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads workers, keeps no secret
                pause = min(pause * 2, MAX_PAUSE)

    async def send(self, frame: link.FromWorker) -> None:
        """Send a frame; on a link that is down or stuck it is lost, and the link is made anew."""
        if (connected := self._socket) is None:
            return
        text = link.write(frame).encode("utf-8", "replace").decode()
        try:
            async with asyncio.timeout(self.lease):
                await connected.send_str(text)
        except (OSError, aiohttp.ClientError):
            self.drop()

    def drop(self) -> None:
        """Give the connection up at once; another one is made."""
        connected, self._socket = self._socket, None
        if connected is not None:
            if (transport := connected.get_extra_info("transport", None)) is not None:
                transport.abort()
            self._owner.parted()

    def _connect(self, http: aiohttp.ClientSession) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        headers = {"Authorization": f"Bearer {self._token()}"}
        return http.ws_connect(self._url, headers=headers, max_msg_size=link.MAX_FRAME, timeout=_CLOSE)

    async def _greet(self, connected: aiohttp.ClientWebSocketResponse) -> link.Welcome:
        await connected.send_str(link.write(self._hello))
        frame = await self._receive(connected)
        if isinstance(frame, link.Refused):
            raise link.InvalidFrame(f"The control plane refused this worker: {frame.why}")
        if not isinstance(frame, link.Welcome):
            raise link.InvalidFrame("The control plane did not begin with `welcome`.")
        return frame

    async def _talk(self, connected: aiohttp.ClientWebSocketResponse, welcome: link.Welcome) -> None:
        self.lease, self.heartbeat = welcome.lease, welcome.heartbeat
        self._socket = connected
        if self._outage:
            log.warning("the control plane is back")
        self._outage = False
        try:
            self._owner.welcomed()
            while True:
                async with asyncio.timeout(self.lease):
                    frame = await self._receive(connected)
                if frame is not None:
                    self._owner.says(frame)
        finally:
            self.drop()

    async def _receive(self, connected: aiohttp.ClientWebSocketResponse) -> link.FromControl | None:
        """Return the next frame; None for one that a newer control plane sent.

        Raises:
            ConnectionError: The link is closed.
            InvalidFrame: It is no frame.
        """
        message = await connected.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionError(f"closed with {connected.close_code} {message.extra or ''}".strip())
        return link.read_from_control(message.data)

    def _complain(self, error: Exception) -> None:
        """Say once an outage that it is one."""
        if self._outage:
            log.debug("the control plane is still away", extra={"error": repr(error)})
            return
        self._outage = True
        fields = {"url": self._url, "error": repr(error)}
        if isinstance(error, aiohttp.WSServerHandshakeError) and error.status in REFUSED:
            log.error("the control plane refuses this worker: both need the same API key and secret", extra=fields)
        else:
            log.warning("the control plane is away; the agents go on, and it is told later", extra=fields)


_CLOSE: Final = aiohttp.ClientWSTimeout(ws_close=1.0)
