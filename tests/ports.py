"""Ports for the servers that tests and benchmarks start."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"
NOT_GIVEN_OUT = range(20_000, 32_000)
"""Below the ports that systems give to whoever asks for any (Linux from 32 768, macOS from 49 152): no connection that
leaves gets one of these between its being found and its being used, nor while the server that had it is down."""


def free_port(*, hosts: tuple[str, ...] = (LOOPBACK,)) -> int:
    """Find a port that nobody has, for UDP nor for TCP, at any of these addresses.

    Raises:
        OSError: There is none.
    """
    for port in random.sample(NOT_GIVEN_OUT, len(NOT_GIVEN_OUT)):
        with ExitStack() as probes:
            try:
                for host in hosts:
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        probes.enter_context(socket.socket(socket.AF_INET, kind)).bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"No port of {NOT_GIVEN_OUT} is free at {', '.join(hosts)}.")
