"""Roomkeeper: the session layer for voice agents on LiveKit.

What an agent needs is imported from here: `roomkeeper.wrap`, `roomkeeper.start`, `roomkeeper.end`. It is loaded when it
is first used, so that programs without agents need no livekit-agents. What a backend needs for tokens of its own is
`roomkeeper.room_config`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

__version__ = version("roomkeeper")

# For type checkers they stand in __init__.pyi, so that no package here depends on the agent's by importing the root.
_LAZY = {
    "Codec": "roomkeeper.agent.journal",
    "Ended": "roomkeeper.agent.ending",
    "Kept": "roomkeeper.agent.kept",
    "Resumed": "roomkeeper.agent.resumed",
    "Returned": "roomkeeper.agent.presence",
    "end": "roomkeeper.agent.kept",
    "room_config": "roomkeeper.wire.room_config",
    "start": "roomkeeper.agent.start",
    "wrap": "roomkeeper.agent.wrap",
}


def __getattr__(name: str) -> object:
    """Load what is used for the first time (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module 'roomkeeper' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value
