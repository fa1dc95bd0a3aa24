"""A worker whose jobs only keep a journal: `python -m tests.agent.scribe start`.

A job tells its process in the line `started`, and leaves when it is told to fall silent.
"""

from __future__ import annotations

import asyncio
import os

from livekit.agents import AgentServer, JobContext, cli

import roomkeeper
from roomkeeper.agent.local import Desk
from roomkeeper.wire import link

server = roomkeeper.wrap(
    AgentServer(load_fnc=lambda: 0.0, num_idle_processes=1, initialize_process_timeout=60, host="127.0.0.1", port=0)
)


@server.rtc_session(agent_name="scribe")
async def scribe(ctx: JobContext) -> None:
    """Sit at the desk until told to go."""
    desk = Desk.of_job(ctx)
    told = asyncio.Event()
    desk.listen(lambda frame: told.set() if isinstance(frame, link.Mute | link.Fenced) else None)
    await ctx.connect()
    me = desk.header
    ask = link.Attach(
        job=me.job, room=me.room, room_sid=me.room_sid, identity=me.identity, agent_name=me.agent_name, epoch=me.epoch
    )
    await desk.attach(ask, within=5)
    desk.append("started", {"pid": os.getpid()})
    await told.wait()
    desk.append("close", {"reason": "told to go"})
    desk.done()
    ctx.shutdown()


if __name__ == "__main__":
    cli.run_app(server)
