"""The network between the users of the measurement and their room server; it can be lost."""

from __future__ import annotations

import asyncio
import contextlib
import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOST: Final = "127.0.0.2"
"""The only address that the server tells its clients; it listens on 127.0.0.1 itself."""

Address = tuple[str, int]


class Network:
    """Passes on signalling and media. Only what this process sends and gets can be lost: agents have another network.

    Attributes:
        url: Of the room server, for the users.
        lost: Whether nothing gets through now.
    """

    def __init__(self) -> None:
        self.url = ""
        self.lost = False
        self._there = asyncio.Event()
        self._there.set()

    def cut(self) -> None:
        """Lose every packet from now on, without a word."""
        self.lost = True
        self._there.clear()

    def mend(self) -> None:
        """Let everything through again; what TCP sent meanwhile arrives now."""
        self.lost = False
        self._there.set()

    async def there(self) -> None:
        """Wait until it is not lost."""
        await self._there.wait()


class _Far(asyncio.DatagramProtocol):
    """The relay's socket toward the server, one for each client, as a NAT has."""

    def __init__(self, near: _Near, client: Address) -> None:
        self._near = near
        self._client = client

    def datagram_received(self, data: bytes, _: Any) -> None:  # noqa: ANN401 - whatever asyncio calls an address
        self._near.back(data, self._client)

    def error_received(self, _: Exception) -> None:
        """Ignore it, as UDP does."""


class _Near(asyncio.DatagramProtocol):
    """The relay's socket toward the clients."""

    def __init__(self, network: Network, port: int) -> None:
        self._network = network
        self._port = port
        self._far: dict[Address, asyncio.Task[asyncio.DatagramTransport]] = {}
        self._ours: dict[Address, bool] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: Any) -> None:  # noqa: ANN401 - whatever asyncio calls an address
        if self._is_lost(address):
            return
        if address not in self._far:
            self._far[address] = asyncio.ensure_future(self._open(address))
        far = self._far[address]
        if far.done():
            far.result().sendto(data)
        else:
            far.add_done_callback(lambda opened: opened.result().sendto(data))

    def back(self, data: bytes, client: Address) -> None:
        """Pass on what the server sent."""
        if self._transport is not None and not self._is_lost(client):
            self._transport.sendto(data, client)

    async def close(self) -> None:
        """Close every socket."""
        if self._transport is not None:
            self._transport.close()
        for far in self._far.values():
            (await far).close()

    def _is_lost(self, client: Address) -> bool:
        if client not in self._ours:
            self._ours[client] = client[1] in _own_ports()
        return self._network.lost and self._ours[client]

    async def _open(self, client: Address) -> asyncio.DatagramTransport:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Far(self, client), remote_addr=("127.0.0.1", self._port)
        )
        return transport


def _own_ports() -> set[int]:
    """UDP ports of this process. Source: proc_pid_net(5), proc_pid_fd(5)."""
    inodes = set()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if found := re.match(r"socket:\[(\d+)\]", str(fd.readlink())):
                inodes.add(found[1])
    ports = set()
    for table in ("udp", "udp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


@asynccontextmanager
async def network(port: int, udp_port: int) -> AsyncIterator[Network]:
    """Relay to a room server whose only address for media is `HOST`.

    Args:
        port: Of its HTTP and signalling.
        udp_port: Of its media.
    """
    net = Network()
    near = _Near(net, udp_port)
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await net.there()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: it runs in one
        tasks.add(task)
        try:
            await net.there()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        except (OSError, asyncio.CancelledError):  # cancelled below: asyncio's streams would report it as an error
            writer.close()
        finally:
            tasks.discard(task)

    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: near, local_addr=(HOST, udp_port))
    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        net.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield net
    finally:
        net.mend()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await near.close()
