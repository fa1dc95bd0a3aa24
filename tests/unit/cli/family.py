"""Runs the supervisor over small stand-ins: `python family.py SCENARIO`. What it prints is what the tests read.

A stand-in logs `up` with its pid and that of its own child, then lives until it is told to end.
"""

from __future__ import annotations

import asyncio
import os
import sys

from roomkeeper.cli.dev import probes, supervisor
from roomkeeper.cli.dev.plan import Command, Plan

STAND_IN = """
import json, os, signal, subprocess, sys, time
stubborn, status = "stubborn" in sys.argv, 3 if "dies" in sys.argv else None
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
own = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(json.dumps({"message": "up", "pid": os.getpid(), "me": os.getpid(), "own": own.pid}), flush=True)
if status is not None:
    print("out of tea", flush=True)
    os._exit(status)
time.sleep(60)
"""


def command(name: str, *traits: str) -> Command:
    message = "never" if "mute" in traits else "up"
    return Command(name, (sys.executable, "-c", STAND_IN, *traits), os.environ, probes.says(message))


SCENARIOS = {
    "calm": ((command("sfu"),), (command("page"), command("interviewer"))),
    "stubborn": ((command("sfu", "stubborn"),), (command("page"),)),
    "dies": ((command("sfu"),), (command("page", "dies", "mute"),)),
    "mute": ((command("sfu", "mute"),),),
}

if __name__ == "__main__":
    supervisor.START_LIMIT = float(os.environ.get("START_LIMIT", "60"))
    stages, address = SCENARIOS[sys.argv[1]], "http://127.0.0.1:1/"
    asyncio.run(supervisor.run(Plan(stages, address, console=f"{address}console/#token=a"), open_page=False))
