"""A worker of the unmodified livekit-agents: `python -m tests.conformance.support.worker_app start`.

The metadata of a job says what its agent does:

- `talk` (also without metadata): greets with a tone; on the text "bye" it ends its session and deletes the room.
- `listen`: tells on the topic `heard` what it heard of the first sound of the first participant.

Every agent tells the id of its process in its attribute `pid`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time

import numpy as np
from livekit import rtc
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, room_io, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions

from tests.conformance.support.agents import GREETING_HZ

RATE = 24_000
GREETING_SECONDS = 1.5
LOUD = 0.02
"""RMS above which 10 ms are not silence."""
QUIET_AFTER = 0.5
"""Seconds of silence that end the first sound."""


class ToneTTS(tts.TTS[str]):
    """Says every text as the same tone."""

    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Begin to speak."""
        return _ToneStream(tts=self, input_text=text, conn_options=conn_options)


class _ToneStream(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid("tone_"), sample_rate=RATE, num_channels=1, mime_type="audio/pcm"
        )
        at = np.arange(int(RATE * GREETING_SECONDS)) / RATE
        output_emitter.push((np.sin(2 * np.pi * GREETING_HZ * at) * 9000).astype(np.int16).tobytes())
        output_emitter.flush()


async def talk(ctx: JobContext) -> None:
    """Greet, and go on "bye"."""
    session: AgentSession[None] = AgentSession(tts=ToneTTS(), vad=None, turn_handling={"turn_detection": "manual"})

    async def read(session: AgentSession[None], event: room_io.TextInputEvent) -> None:
        if event.text == "bye":
            session.shutdown(drain=True)

    await session.start(
        Agent(instructions=""),
        room=ctx.room,
        room_options=room_io.RoomOptions(
            text_input=room_io.TextInputOptions(text_input_cb=read), delete_room_on_close=True
        ),
        record=False,
    )
    await tell_pid(ctx)
    session.say("Welcome")


async def listen(ctx: JobContext) -> None:
    """Measure the first sound."""
    subscribed: asyncio.Future[rtc.Track] = asyncio.get_running_loop().create_future()

    @ctx.room.on("track_subscribed")
    def take_first(track: rtc.Track, *_: object) -> None:
        if not subscribed.done():
            subscribed.set_result(track)

    await ctx.connect()
    await tell_pid(ctx)
    stream = rtc.AudioStream(await subscribed, sample_rate=RATE, num_channels=1, frame_size_ms=10)
    first_at, heard, quiet = 0.0, [], 0.0
    async with contextlib.aclosing(stream):
        async for event in stream:
            samples = np.frombuffer(event.frame.data, np.int16).astype(np.float64) / 32768
            if np.sqrt(np.mean(samples**2)) > LOUD:
                first_at = first_at or time.time()
                heard.append(samples)
                quiet = 0.0
            elif heard and (quiet := quiet + 0.01) > QUIET_AFTER:
                break
    sound = np.concatenate(heard)
    hz = float(np.argmax(np.abs(np.fft.rfft(sound)))) * RATE / len(sound)
    report = {"first_at": first_at, "seconds": len(sound) / RATE, "hz": hz}
    await ctx.room.local_participant.publish_data(json.dumps(report), topic="heard")


async def tell_pid(ctx: JobContext) -> None:
    """Let the test know which process to kill."""
    await ctx.room.local_participant.set_attributes({"pid": str(os.getpid())})


server = AgentServer(
    load_fnc=lambda: 0.0, num_idle_processes=1, initialize_process_timeout=60, host="127.0.0.1", port=0
)


@server.rtc_session(agent_name=os.environ.get("AGENT_NAME", ""))
async def entrypoint(ctx: JobContext) -> None:
    """Do what the job asks for."""
    await (listen if ctx.job.metadata == "listen" else talk)(ctx)


if __name__ == "__main__":
    cli.run_app(server)
