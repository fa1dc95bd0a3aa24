"""The signal connection without an SDK: protobuf frames on a WebSocket."""

from __future__ import annotations

import asyncio
import base64
import gzip
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from google.protobuf import json_format
from livekit.protocol import models, rtc
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conformance.support.clients import SignalPath
    from tests.conformance.support.server import Server

PROTOCOL = 16
PATIENCE = 10.0
Encoding = Literal["plain", "gzip"]


def join_request(*, encoding: Encoding = "plain", protocol: int = PROTOCOL, **fields: Any) -> str:  # noqa: ANN401
    """Encode what a client of `/rtc/v1` asks for.

    Args:
        encoding: Of the wrapped request.
        protocol: Version that the client speaks.
        fields: Of `JoinRequest`.
    """
    request = rtc.JoinRequest(client_info=models.ClientInfo(protocol=protocol, sdk=models.ClientInfo.GO), **fields)
    if "connection_settings" not in fields:
        request.connection_settings.auto_subscribe = True
    packed = request.SerializeToString()
    wrapped = (
        rtc.WrappedJoinRequest(compression=rtc.WrappedJoinRequest.GZIP, join_request=gzip.compress(packed))
        if encoding == "gzip"
        else rtc.WrappedJoinRequest(join_request=packed)
    )
    return base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()


@dataclass
class Signal:
    """One signal connection.

    Attributes:
        ws: The WebSocket.
        seen: Every message, oldest first.
    """

    ws: ClientConnection
    seen: list[rtc.SignalResponse] = field(default_factory=list)

    async def send(self, request: rtc.SignalRequest | None = None, **fields: Any) -> None:  # noqa: ANN401
        """Send a request; `fields` are those of `SignalRequest`."""
        await self.ws.send((request or rtc.SignalRequest(**fields)).SerializeToString())

    async def receive(self, *, within: float = PATIENCE) -> rtc.SignalResponse:
        """Wait for the next message, in protobuf or JSON.

        Raises:
            ConnectionClosed: There is none: the server closed.
        """
        async with asyncio.timeout(within):
            frame = await self.ws.recv()
        response = rtc.SignalResponse()
        if isinstance(frame, str):
            json_format.Parse(frame, response)
        else:
            response.ParseFromString(frame)
        self.seen.append(response)
        return response

    async def wait_for(self, kind: str, **wanted: Any) -> Any:  # noqa: ANN401 - each kind has a type of its own
        """Wait for a message of a kind and return its content; others in between are kept in `seen` only.

        Args:
            kind: A field of `SignalResponse`, `leave`.
            wanted: Values that its fields must have.

        Raises:
            AssertionError: It did not come in time, or the server closed; the message tells what came.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    response = await self.receive()
                    content = getattr(response, kind)
                    if response.WhichOneof("message") == kind and all(
                        getattr(content, name) == value for name, value in wanted.items()
                    ):
                        return content
        except (TimeoutError, ConnectionClosed) as error:
            raise AssertionError(f"no {kind} {wanted or ''}: {error!r}; {self.kinds}") from error

    async def wait_for_all(self, *kinds: str) -> None:
        """Wait until each of these kinds has come, in any order.

        Raises:
            AssertionError: One did not.
        """
        for kind in kinds:
            if kind not in self.kinds:
                await self.wait_for(kind)

    async def closed(self, *, within: float = PATIENCE) -> int:
        """Read on until the server closes, and return the code of the close frame; 1006 if there was none."""
        try:
            async with asyncio.timeout(within):
                while True:
                    await self.receive(within=within)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    @property
    def kinds(self) -> list[str | None]:
        """The kinds of the messages seen."""
        return [response.WhichOneof("message") for response in self.seen]


def signal_url(server: Server, token: str, path: SignalPath = "v0", **query: Any) -> str:  # noqa: ANN401
    """The address that a client of that path would open.

    Args:
        server: To join.
        token: To join with.
        path: `v0` puts `query` into the URL, `v1` into a `JoinRequest`.
        query: `auto_subscribe`, `reconnect`, `sid` …, or fields of `JoinRequest`.
    """
    if path == "v0":
        query = {"protocol": PROTOCOL, "auto_subscribe": 1, "sdk": "go", "version": "1", **query}
        return f"{server.ws}/rtc?{urlencode({'access_token': token, **query})}"
    request = join_request(**query)
    return f"{server.ws}/rtc/v1?{urlencode({'access_token': token, 'join_request': request})}"


@asynccontextmanager
async def signal_to(server: Server, token: str, path: SignalPath = "v0", **query: Any) -> AsyncIterator[Signal]:  # noqa: ANN401
    """Open a signal connection, see `signal_url`.

    Raises:
        InvalidStatus: The server refused with an HTTP status.
    """
    async with connect(signal_url(server, token, path, **query), proxy=None, max_size=None) as ws:
        yield Signal(ws)


async def refusal(url: str) -> tuple[int, str]:
    """Open a signal connection that is to be refused, and return the HTTP status and text.

    Raises:
        AssertionError: It was not refused.
    """
    try:
        async with connect(url, proxy=None):
            pass
    except InvalidStatus as refused:
        return refused.response.status_code, (refused.response.body or b"").decode().strip()
    raise AssertionError(f"{url} was not refused")
