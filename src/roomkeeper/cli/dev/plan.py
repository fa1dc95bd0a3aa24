"""What `roomkeeper dev` runs: three processes that find each other by the LIVEKIT_* environment."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

import roomkeeper
from roomkeeper.cli.dev import probes
from roomkeeper.errors import ConfigError
from roomkeeper.wire.signin import CONSOLE_TTL, sign_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from roomkeeper.cli.dev.child import Child

AGENT_NAME = "interviewer"
API_KEY, API_SECRET = "devkey", "secret"
PAGE_PORT, SFU_PORT, UDP_PORT = 8080, 7880, 7882


@dataclass(frozen=True, slots=True)
class DevSettings:
    """Section `dev`; a port that is not set is the usual one or, where that is taken, a free one."""

    host: str = "127.0.0.1"
    port: int | None = None
    sfu_port: int | None = None
    udp_port: int | None = None
    open: bool = True
    stock: bool = False
    """Without Roomkeeper: the same example as livekit-agents runs it by itself."""
    data: Path | None = None
    """Folder that keeps the sessions; None: they go with this run."""

    def __post_init__(self) -> None:
        if self.host != "localhost" and not ipaddress.ip_address(self.host).is_loopback:
            raise ConfigError(
                f"--host {self.host}: `dev` gives tokens to anyone who reaches it, so it stays on loopback. "
                "To be reached by others, run `roomkeeper sfu` with keys of your own."
            )


@dataclass(frozen=True, slots=True)
class Command:
    """One process to run."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    ready: Callable[[Child], Awaitable[None]]
    """Returns once the process serves; what it waits for is real, not a delay."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Buttons that break things, and what they reach.

    Attributes:
        address: The page of the interview, with the buttons beside it.
        socket: Where its wishes come in.
        worker: What another worker is started with.
        sfu_port: TCP, of the room server: whoever of a worker's processes is connected to it is an agent.
        leave: Seconds that the old worker gets to hand its conversations over.
    """

    address: str
    socket: Path
    worker: Command
    sfu_port: int
    leave: float = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that runs, in stages: those of one stage start together, after the stage before is ready."""

    stages: tuple[tuple[Command, ...], ...]
    address: str
    """What the user opens."""
    panel: Panel | None = None
    console: str = ""
    """A link that signs in to the console; empty: there is nothing to see in it."""


def plan(settings: DevSettings, data: Path) -> Plan:
    """Choose the ports and put the commands together.

    Args:
        settings: What was asked for.
        data: Folder for whatever has to be stored.

    Raises:
        ConfigError: A chosen port is taken, or the example is not there.
    """
    page_port = _port(settings, settings.port, PAGE_PORT, "--port")
    sfu_port = _port(settings, settings.sfu_port, SFU_PORT, "--sfu-port")
    udp_port = _port(settings, settings.udp_port, UDP_PORT, "--udp-port")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address, sfu_url = f"http://{host}:{page_port}/", f"http://{host}:{sfu_port}/"
    # LIVEKIT_* of the caller point elsewhere: everything here stays on this machine.
    env = {name: value for name, value in os.environ.items() if not name.startswith("LIVEKIT_")}
    env |= {
        "LIVEKIT_URL": f"ws://{host}:{sfu_port}",
        "LIVEKIT_API_KEY": API_KEY,
        "LIVEKIT_API_SECRET": API_SECRET,
        "PYTHONUNBUFFERED": "1",
        # The secret is as short as that of `livekit-server --dev`; who runs `dev` cannot act on that.
        "PYTHONWARNINGS": "ignore:The HMAC key is",
    }
    wishes = _socket_in(data)

    def stock(name: str) -> dict[str, str]:
        return {name: "true"} if settings.stock else {}

    sfu = Command(
        "sfu",
        (
            *(sys.executable, "-P", "-m", "roomkeeper.cli", "sfu"),
            *("--host", settings.host, "--port", str(sfu_port), "--udp-port", str(udp_port)),
            *("--keys", f"{API_KEY}:{API_SECRET}", "--log-format", "json"),
            *("--webhook", f"{address}webhooks/livekit", "--data-dir", str(data / "sfu")),
            *(["--strict"] if settings.stock else []),
        ),
        env | {"ROOMKEEPER_SFU_OUTAGES": "true"},
        probes.answers(sfu_url),
    )
    control = Command(
        "control",
        (
            *(sys.executable, "-P", "-m", "roomkeeper.cli", "serve", "--log-format", "json"),
            *("--host", settings.host, "--port", str(page_port), "--agent", AGENT_NAME),
            *("--database", f"sqlite:///{data / 'roomkeeper.db'}"),
        ),
        env
        | {"ROOMKEEPER_CONTROL_DEV": "true", "ROOMKEEPER_CONTROL_SUPERVISOR": str(wishes)}
        | stock("ROOMKEEPER_CONTROL_STOCK"),
        probes.answers(address),
    )
    worker = Command(
        AGENT_NAME,
        (sys.executable, str(_example()), "start", "--drain-timeout", "25"),
        env | {"ROOMKEEPER_URL": address, "ROOMKEEPER_SPOOL": str(data / "spool")} | stock("ROOMKEEPER_STOCK"),
        probes.says("registered worker"),
    )
    panel = Panel(f"{address}console/panel.html", wishes, worker, sfu_port)
    console = "" if settings.stock else f"{address}console/#token={_sign_in()}"
    return Plan(((sfu,), (control, worker)), address, panel, console)


def _sign_in() -> str:
    """Sign one for as long as a working day: whoever reaches `dev` gets any token there is."""
    return sign_in(api_key=API_KEY, secret=API_SECRET, now=time.time(), ttl=CONSOLE_TTL)


def _socket_in(data: Path) -> Path:
    """Name a UNIX socket: in the folder, unless its address has no room for that (unix(7): 104 bytes on macOS)."""
    beside = data / "dev.sock"
    return beside if len(os.fsencode(beside)) < 100 else Path(gettempdir(), f"roomkeeper-dev-{os.getpid()}.sock")  # noqa: PLR2004


def _example() -> Path:
    """Find the interviewer: in the wheel it is inside the package, in a checkout beside it.

    Raises:
        ConfigError: It is in neither place.
    """
    package = Path(roomkeeper.__file__).parent
    for folder in (package, package.parents[1]):
        if (program := folder / "examples" / AGENT_NAME / "agent.py").is_file():
            return program
    raise ConfigError("The example interviewer is not there; install the wheel, or run from a checkout.")


def _port(settings: DevSettings, wanted: int | None, usual: int, flag: str) -> int:
    if wanted is not None and wanted != 0:
        if not _is_free(settings.host, wanted):
            raise ConfigError(f"Port {wanted} on {settings.host} is in use; choose another with {flag}, 0 for any.")
        return wanted
    if wanted is None and _is_free(settings.host, usual):
        return usual
    while True:
        with _socket(settings.host, socket.SOCK_STREAM) as probe:
            probe.bind((settings.host, 0))
            given: int = probe.getsockname()[1]
        if _is_free(settings.host, given):
            return given


def _is_free(host: str, port: int) -> bool:
    """Tell whether both the TCP and the UDP port can be had: media takes both."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with _socket(host, kind) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def _socket(host: str, kind: socket.SocketKind) -> socket.socket:
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    if kind is socket.SOCK_STREAM:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do, or TIME_WAIT looks taken
    return probe
