"""`python -m roomkeeper.control`: the control plane alone, set up by the environment and roomkeeper.toml."""

from __future__ import annotations

from roomkeeper.control.config import ControlConfig
from roomkeeper.control.server import serve
from roomkeeper.settings import Sources, load

if __name__ == "__main__":
    serve(load(ControlConfig, "control", flags={}, sources=Sources.of_process()))
