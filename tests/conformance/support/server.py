"""The room server under test: one that we start and stop, or one that somebody else runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from livekit import api

from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "devkey"
SECRET = "a-conformance-secret-of-enough-length"
Kind = Literal["standard", "egress", "ingress", "sip", "agent"]

READY_WITHIN = 30.0
STOP_WITHIN = 15.0


@dataclass(frozen=True)
class Server:
    """Where a room server listens, and a key to it.

    Attributes:
        url: Its address, `http://…` or `ws://…`.
        key: API key.
        secret: The secret of that key.
    """

    url: str
    key: str = KEY
    secret: str = SECRET

    @property
    def http(self) -> str:
        """The address for plain HTTP."""
        return self.url.replace("ws", "http", 1) if self.url.startswith("ws") else self.url

    @property
    def ws(self) -> str:
        """The address for WebSockets."""
        return self.url.replace("http", "ws", 1) if self.url.startswith("http") else self.url

    def unsigned_token(self, identity: str = "", *, kind: Kind = "standard", **grants: Any) -> api.AccessToken:  # noqa: ANN401
        """Start a participant's token; the test may add to it before `to_jwt()`.

        Args:
            identity: Of the participant; empty for a token of the room API.
            kind: The participant's kind.
            grants: Fields of `VideoGrants`; a `room` alone lets the participant join it.
        """
        if "room" in grants and identity:
            grants = {"room_join": True, **grants}
        token = api.AccessToken(self.key, self.secret).with_grants(api.VideoGrants(**grants))
        if identity:
            token = token.with_identity(identity)
        return token.with_kind(kind).with_ttl(timedelta(hours=1))

    def token(self, identity: str = "", *, kind: Kind = "standard", **grants: Any) -> str:  # noqa: ANN401
        """Issue a participant's token, see `unsigned_token`."""
        return self.unsigned_token(identity, kind=kind, **grants).to_jwt()


@dataclass(frozen=True)
class Options:
    """How a server of our own is started.

    Attributes:
        strict: Only for `roomkeeper sfu`: behave like livekit-server where we know better.
        auto_create: Whether a join makes the room.
        webhooks: Where room events are posted to.
        advertise: The only address told to clients as ICE candidate, UDP only; None leaves it to the server.
        data_dir: Where undelivered webhooks are kept.
        port, udp_port: Ports to listen on; None takes free ones.
    """

    strict: bool = False
    auto_create: bool = True
    webhooks: tuple[str, ...] = ()
    advertise: str | None = None
    data_dir: Path | None = None
    port: int | None = None
    udp_port: int | None = None


@dataclass
class ServerProcess:
    """A room server of our own; `start()` and `kill()` may alternate, the ports stay.

    Attributes:
        options: How it was asked to run.
        log: Where its output goes.
        reference: An executable of livekit-server to run instead of `roomkeeper sfu`.
    """

    options: Options
    log: Path
    reference: str | None = None
    port: int = 0
    udp_port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.port = self.options.port or free_port()
        self.udp_port = self.options.udp_port or free_port()

    @property
    def server(self) -> Server:
        """Where it listens."""
        return Server(f"http://127.0.0.1:{self.port}")

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            RuntimeError: It ended at once, or did not answer in time; with the end of its log.
        """
        command, environment = self._reference() if self.reference else self._roomkeeper()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + READY_WITHIN
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                code = self._process.poll()
                self.kill()
                tail = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{command[0]} is not ready (exit code {code}):\n{tail}")
            time.sleep(0.05)

    def stop(self) -> int:
        """Ask it to stop, as an operator would, and return its exit code.

        Raises:
            subprocess.TimeoutExpired: It did not; it is killed now.
        """
        assert self._process is not None, "the server is not running"
        if self.reference:  # livekit-server waits for its participants without limit
            self.kill()
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_WITHIN)
        finally:
            self.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        assert self._process is not None, "the server is not running"
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it, as the kernel would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _roomkeeper(self) -> tuple[list[str], Mapping[str, str]]:
        options = self.options
        command = [str(Path(sys.executable).with_name("roomkeeper")), "sfu"]
        command += ["--port", str(self.port), "--udp-port", str(self.udp_port)]
        if options.strict:
            command.append("--strict")
        environment = {
            "LIVEKIT_KEYS": f"{KEY}: {SECRET}",
            "ROOMKEEPER_SFU_AUTO_CREATE": str(options.auto_create).lower(),
            "ROOMKEEPER_SFU_WEBHOOKS": ",".join(options.webhooks),
            "ROOMKEEPER_SFU_ADVERTISE": options.advertise or "",
            "ROOMKEEPER_SFU_DATA_DIR": str(options.data_dir or ""),
        }
        return command, environment

    def _reference(self) -> tuple[list[str], Mapping[str, str]]:
        options = self.options
        rtc: dict[str, Any] = {"udp_port": self.udp_port, "tcp_port": self.udp_port, "use_external_ip": False}
        if options.advertise:
            rtc |= {
                "tcp_port": 0,
                "node_ip": options.advertise,
                "use_ice_lite": True,  # else it calls clients from its own address, past the advertised one
                "enable_loopback_candidate": True,
                "interfaces": {"includes": ["lo"]},
            }
        config: dict[str, Any] = {
            "port": self.port,
            "bind_addresses": ["127.0.0.1"],
            "keys": {KEY: SECRET},
            "rtc": rtc,
            "room": {"auto_create": options.auto_create},
        }
        if options.webhooks:
            config["webhook"] = {"api_key": KEY, "urls": list(options.webhooks)}
        assert self.reference is not None
        return [self.reference], {"LIVEKIT_CONFIG": json.dumps(config)}
