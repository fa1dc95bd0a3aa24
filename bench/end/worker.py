"""An unmodified agent that ends on "bye" and keeps its room: `python -m bench.end.worker start`."""

from __future__ import annotations

import os

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, room_io

server = AgentServer(
    load_fnc=lambda: 0.0, num_idle_processes=1, initialize_process_timeout=60, host="127.0.0.1", port=0
)


@server.rtc_session(agent_name=os.environ.get("AGENT_NAME", ""))
async def entrypoint(ctx: JobContext) -> None:
    """Talk until "bye"."""
    session: AgentSession[None] = AgentSession(vad=None, turn_handling={"turn_detection": "manual"})

    async def read(session: AgentSession[None], event: room_io.TextInputEvent) -> None:
        if event.text == "bye":
            session.shutdown(drain=True)
            ctx.shutdown("the talk is over")  # it leaves the room, and does not delete it

    options = room_io.RoomOptions(text_input=room_io.TextInputOptions(text_input_cb=read), audio_output=False)
    await session.start(Agent(instructions=""), room=ctx.room, room_options=options, record=False)
    await ctx.room.local_participant.set_attributes({"ready": "yes"})


if __name__ == "__main__":
    cli.run_app(server)
