"""The settings of the control plane."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roomkeeper.settings import setting

BUILT_PAGES = Path(__file__).parent / "pages"


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """How the control plane listens and which LiveKit server it speaks for (section `control`)."""

    host: str = "127.0.0.1"
    port: int = 8080
    """TCP; 0 takes a free one."""
    livekit_url: str = setting("ws://127.0.0.1:7880", env=["LIVEKIT_URL"])
    """What browsers connect to, told to them with their token."""
    api_key: str = setting("devkey", env=["LIVEKIT_API_KEY"])
    api_secret: str = setting("secret", env=["LIVEKIT_API_SECRET"])
    dev: bool = False
    """Give a token to anyone on this machine."""
    agent: str = ""
    """Name of the agent dispatched to a room whose token request names none; empty for none."""
    token_ttl: float = 6 * 3600.0
    """Seconds for which a token may be used to join."""
    pages: Path = BUILT_PAGES
    """Folder of the built pages."""
