"""Which cores the server and its load run on."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores of the server and of everything else; both empty when they share."""

    server: frozenset[int] = frozenset()
    clients: frozenset[int] = frozenset()

    def __str__(self) -> str:
        """Returns a sentence for the output."""
        if not self.server:
            return "server and load clients SHARE the cores"
        return f"server on core {_list(self.server)}, load clients on {_list(self.clients)}"


def _list(cores: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(cores)))


def divide() -> Cores:
    """Gives the first core to the server and keeps this process and its children on the others.

    On one core, or where the system has no affinities, nothing is divided.
    """
    if not hasattr(os, "sched_setaffinity"):
        return Cores()
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return Cores()
    os.sched_setaffinity(0, others)
    return Cores(frozenset({first}), frozenset(others))
