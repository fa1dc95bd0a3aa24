"""The worker of the example interviewer: `python examples/interviewer/agent.py start`. The README tells the rest."""

from __future__ import annotations

import sys
from pathlib import Path

from livekit.agents import cli

if not __package__:
    # Run by its path, here or once more in a job process: the import below finds its neighbours all the same (PEP 366).
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    __package__ = "interviewer"

from .interview import server

if __name__ == "__main__":
    cli.run_app(server)
