"""Settings of a worker: `[agent]` in roomkeeper.toml, `ROOMKEEPER_AGENT_…`, or the shorter variables named here."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from roomkeeper.settings import setting


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How a worker finds the control plane, and keeps what that has not got yet.

    Attributes:
        url: Of the control plane, `https://…`; also `ROOMKEEPER_URL`. Without it the agents run alone.
        spool: Folder of the spools; also `ROOMKEEPER_SPOOL`. By default a folder of the user's own.
    """

    url: str = setting("", env=("ROOMKEEPER_URL",))
    spool: str = setting("", env=("ROOMKEEPER_SPOOL",))

    @property
    def folder(self) -> Path:
        """The folder of the spools."""
        return Path(self.spool).absolute() if self.spool else _state_folder() / "spool"


def _state_folder() -> Path:
    """Where programs keep their state; in the temporary folder for a user without a home.

    Source: XDG Base Directory Specification 0.8, `XDG_STATE_HOME`.
    """
    if (state := os.environ.get("XDG_STATE_HOME")) and Path(state).is_absolute():
        return Path(state, "roomkeeper")
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises where there is none
    if home.is_absolute() and os.access(home, os.W_OK):
        return home / ".local" / "state" / "roomkeeper"
    return Path(tempfile.gettempdir(), f"roomkeeper-{os.getuid()}")
