"""A page with livekit-client and a participant of the python SDK, as a candidate and an agent are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.conformance.js.lab import HUM_HZ, MICROPHONE_HZ
from tests.conformance.support.sound import hear_tone

if TYPE_CHECKING:
    from livekit import rtc

    from tests.conformance.js.lab import Tab
    from tests.conformance.support.clients import Joiner, SignalPath

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_page_and_python_hear_each_other(ann: Tab, room: str, path: SignalPath, join: Joiner) -> None:
    _, py = await asyncio.gather(ann.join(room, "ann", path=path), join("py"))
    await asyncio.gather(ann.run("lab.speak()"), py.speak(HUM_HZ))
    await asyncio.gather(ann.hears("py", HUM_HZ), hear_tone(await py.wait_for_track("ann"), MICROPHONE_HZ))


async def test_a_page_and_python_call_each_other(ann: Tab, room: str, path: SignalPath, join: Joiner) -> None:
    _, py = await asyncio.gather(ann.join(room, "ann", path=path), join("py"))

    async def ask(call: rtc.RpcInvocationData) -> str:
        return f"{call.caller_identity} asked {call.payload}"

    py.me.register_rpc_method("ask", ask)
    await ann.run("lab.room.registerRpcMethod('ask', async (call) => call.callerIdentity + ' asked ' + call.payload)")
    await asyncio.gather(ann.sees("py"), py.wait_for_participant("ann"))
    question = {"destinationIdentity": "py", "method": "ask", "payload": "who"}
    assert await ann.run("(call) => lab.room.localParticipant.performRpc(call)", question) == "ann asked who"
    assert await py.me.perform_rpc(destination_identity="ann", method="ask", payload="why") == "py asked why"


async def test_text_streams_pass_between_a_page_and_python(ann: Tab, room: str, path: SignalPath, join: Joiner) -> None:
    _, py = await asyncio.gather(ann.join(room, "ann", path=path), join("py"))
    heard: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
    readings: set[asyncio.Task[None]] = set()

    async def read(reader: rtc.TextStreamReader, identity: str) -> None:
        heard.set_result((identity, await reader.read_all()))

    py.room.register_text_stream_handler(
        "lk.chat", lambda reader, identity: readings.add(asyncio.create_task(read(reader, identity)))
    )
    await ann.run("""lab.room.registerTextStreamHandler('lk.transcription', async (reader, { identity }) =>
      lab.record('text', identity, reader.info.attributes['lk.segment_id'], await reader.readAll()))""")
    await asyncio.gather(ann.sees("py"), py.wait_for_participant("ann"))
    text = "long answer " * 5_000
    await ann.run("(text) => lab.room.localParticipant.sendText(text, { topic: 'lk.chat' })", text)
    await py.me.send_text(text, topic="lk.transcription", attributes={"lk.segment_id": "SG_1"})
    assert await ann.until("text") == ["py", "SG_1", text]
    assert await asyncio.wait_for(heard, 10) == ("ann", text)
