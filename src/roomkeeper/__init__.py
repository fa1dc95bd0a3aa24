"""Roomkeeper: the session layer for voice agents on LiveKit."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("roomkeeper")
