"""Roomkeeper: the session layer for voice agents on LiveKit."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from roomkeeper.wire.room_config import room_config as room_config

__version__ = version("roomkeeper")

_HOME: Final = {"room_config": "roomkeeper.wire.room_config"}
"""Where public names live; they are imported when they are asked for, so that `import roomkeeper` stays light."""


def __getattr__(name: str) -> object:
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
