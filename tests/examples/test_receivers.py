"""The example receivers, run as their README says, take a report that was really delivered: once, and verified."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from roomkeeper.control.delivery import Deliveries, Receiver, post
from roomkeeper.control.store.engine import open_engine
from roomkeeper.control.store.migrate import migrate
from roomkeeper.control.store.store import Store
from roomkeeper.lifecycle.events import EndAsked, SessionOpened
from roomkeeper.lifecycle.reasons import By, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
EXPRESS = ROOT / "examples" / "receivers" / "express"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

STARLETTE = (sys.executable, "-m", "uvicorn", "examples.receivers.starlette.app:app", "--port", "0")
NODE = (shutil.which("node") or "node", str(EXPRESS / "app.mjs"))


@contextmanager
def running(argv: tuple[str, ...]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a receiver; give it and its port."""
    environ = os.environ | {"REPORT_SECRET": SECRET, "PORT": "0", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(argv, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(r"listens (\d+)|running on http://127\.0\.0\.1:(\d+)", line):
                yield process, int(found[1] or found[2])
                break
        else:
            pytest.fail("it ended before it listened")
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.parametrize("argv", [STARLETTE, NODE], ids=["starlette", "express"])
async def test_a_delivered_report_is_verified_and_taken_once(argv: tuple[str, ...], tmp_path: Path) -> None:
    with running(argv) as (process, port):
        url = f"http://127.0.0.1:{port}/reports"
        async with open_engine(f"sqlite:///{tmp_path}/control.db") as engine:
            await migrate(engine)
            store = Store(engine)
            deliveries = Deliveries(store, engine, [Receiver(url, SECRET)], post)
            await store.open(SessionOpened(at=0, session="S_1", room="tea"))
            asked = EndAsked(at=0, reason=Reason.OPERATOR_ENDED, by=By.OPERATOR, detail="Größe £ 🎧")
            session = (await store.tell("S_1", asked)).session
            await deliveries.report(session, 1)
            assert await deliveries.deliver_due() == 1
            await deliveries.redeliver("S_1")
            assert await deliveries.deliver_due() == 1
            forged = Deliveries(store, engine, [Receiver(url, "whsec_Zm9yZ2Vk")], post)
            await deliveries.redeliver("S_1")
            assert await forged.deliver_due() == 1
            async with aiohttp.ClientSession() as http, http.post(url, data=b"{}") as unsigned:
                assert unsigned.status == 401
            # The forged one was refused, and waits for its next try.
            assert await deliveries.deliver_due() == 0
        process.terminate()
        assert process.stdout is not None
        told = [line.strip() for line in process.stdout if line.startswith("session.")]
    assert told == ["session.ended S_1 operator_ended"]
