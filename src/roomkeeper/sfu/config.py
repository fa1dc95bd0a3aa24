"""Settings of the room server."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - read at run time by settings.load
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - likewise

from roomkeeper.errors import ConfigError

MAX_PORT = 65535
DEV_KEYS: Mapping[str, str] = {"devkey": "secret"}
"""The keys of `livekit-server --dev`."""


@dataclass(frozen=True, slots=True)
class SfuConfig:
    """How `roomkeeper.sfu` runs.

    Attributes:
        host: Address that HTTP, signal and media bind to.
        port: TCP port of HTTP and signal; 0 takes a free one.
        udp_port: Port of all media, UDP and TCP; 0 takes a free one.
        advertise: Addresses told to clients as ICE candidates; empty: `host`, or every address of the machine if
            `host` is a wildcard.
        keys: Secret by API key.
        webhooks: URLs that room events are posted to.
        webhook_key: API key that signs webhooks; empty: the first of `keys`.
        strict: Behave like livekit-server where we know better (dispatches, tombstones, webhooks).
        auto_create: Whether joining a room that does not exist makes it.
        empty_timeout: Seconds a room waits for its first participant.
        departure_timeout: Seconds a room outlives its last participant.
        max_participants: Of a room that does not say otherwise; 0 is no limit.
        data_dir: Where undelivered webhooks are kept; None: `roomkeeper/sfu-<port>` in the user's state folder, or in
            memory if the port is chosen freely.
        tls_cert, tls_key: PEM files that turn on TLS for HTTP and signal.
        outages: Whether an administrator may cut the users' network for some seconds: `roomkeeper dev` does.
        max_rooms: Rooms at once; one process serves a few hundred sessions, not more.
    """

    host: str = "127.0.0.1"
    port: int = 7880
    udp_port: int = 7882
    advertise: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=lambda: dict(DEV_KEYS), metadata={"env": ("LIVEKIT_KEYS",)})
    webhooks: tuple[str, ...] = ()
    webhook_key: str = ""
    strict: bool = False
    auto_create: bool = True
    empty_timeout: int = 300
    departure_timeout: int = 20
    max_participants: int = 0
    data_dir: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    outages: bool = False
    max_rooms: int = 2000

    def __post_init__(self) -> None:
        for name, port in (("port", self.port), ("udp_port", self.udp_port)):
            if not 0 <= port <= MAX_PORT:
                raise ConfigError(f"{name} is {port}, it must be between 0 and {MAX_PORT}.")
        if not self.keys or not all(self.keys) or not all(self.keys.values()):
            raise ConfigError("keys needs at least one KEY:SECRET, both non-empty.")
        if self.webhook_key and self.webhook_key not in self.keys:
            raise ConfigError(f"webhook_key {self.webhook_key!r} is not one of keys.")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("tls_cert and tls_key go together.")
        if min(self.empty_timeout, self.departure_timeout, self.max_participants) < 0:
            raise ConfigError("Timeouts and limits cannot be negative.")
