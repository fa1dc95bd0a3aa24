"""`roomkeeper.sfu`: a LiveKit-compatible room server for development, tests and one machine.

It serves LiveKit's signal protocol, room API, agent workers and webhooks, and forwards audio and data; see `server` for
how the parts are put together, and docs/room-server.md for what it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roomkeeper.sfu.config import SfuConfig


def serve(config: SfuConfig) -> None:
    """Runs a room server until SIGINT or SIGTERM.

    Raises:
        ConfigError: A port is taken, or the TLS files cannot be used.
    """
    # The protocol packages take half a second to import: a command that only reads settings should not pay.
    from roomkeeper.sfu.server import run_forever  # noqa: PLC0415

    run_forever(config)
