"""Runs the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

from roomkeeper.control.app import create_app

if TYPE_CHECKING:
    from roomkeeper.control.config import ControlConfig

GRACE = 3
"""Seconds that open requests get when the server is told to stop."""


def serve(config: ControlConfig) -> None:
    """Listen until SIGINT or SIGTERM."""
    uvicorn.run(
        create_app(config),
        host=config.host,
        port=config.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
