"""Data packets, streams and RPC between pages with livekit-client, and between a page and the API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from livekit import api

if TYPE_CHECKING:
    from tests.conformance.js.conftest import OpenTab
    from tests.conformance.js.lab import Tab
    from tests.conformance.support.clients import SignalPath

pytestmark = pytest.mark.asyncio(loop_scope="session")

LISTEN_FOR_STREAMS = """
lab.room.registerTextStreamHandler('talk', async (reader, { identity }) =>
  lab.record('text', identity, reader.info.attributes, await reader.readAll()));
lab.room.registerByteStreamHandler('talk', async (reader, { identity }) => {
  const bytes = new Uint8Array(await new Blob(await reader.readAll()).arrayBuffer());
  lab.record('bytes', identity, reader.info.name, bytes.length, bytes.reduce((sum, byte) => (sum + byte) % 65521, 0));
});
"""
REGISTER_METHODS = """
lab.room.registerRpcMethod('echo', async ({ callerIdentity, payload }) => callerIdentity + ':' + payload);
lab.room.registerRpcMethod('refuse', async () => { throw new lab.livekit.RpcError(101, 'not now', 'later'); });
lab.room.registerRpcMethod('break', async () => { throw new Error('a secret detail'); });
lab.room.registerRpcMethod('stall', () => new Promise(() => {}));
"""
CALL = """(call) => lab.room.localParticipant.performRpc(call)
  .catch(({ code, message, data }) => ({ code, message, data }))"""


async def test_reliable_and_lossy_packets_reach_only_whom_they_are_for(
    ann: Tab, bob: Tab, open_tab: OpenTab, room: str, path: SignalPath
) -> None:
    eve = await open_tab()
    await asyncio.gather(*(tab.join(room, name, path=path) for tab, name in ((ann, "ann"), (bob, "bob"), (eve, "eve"))))
    await asyncio.gather(bob.sees("ann"), eve.sees("ann"))
    send = """([text, options]) =>
      lab.room.localParticipant.publishData(new TextEncoder().encode(text), options)"""
    await ann.run(send, ["for bob", {"reliable": True, "topic": "t", "destinationIdentities": ["bob"]}])
    await ann.run(send, ["for all", {"reliable": True, "topic": "t"}])
    await asyncio.gather(*(tab.until("dataReceived", "for all", "ann", None, "t") for tab in (bob, eve)))
    await ann.run(send, ["lossy", {"reliable": False}])
    await asyncio.gather(*(tab.until("dataReceived", "lossy", "ann") for tab in (bob, eve)))
    received = [[args for name, args in await _data(tab)] for tab in (ann, bob, eve)]
    assert received == [[], ["for bob", "for all", "lossy"], ["for all", "lossy"]]


async def _data(tab: Tab) -> list[tuple[str, str]]:
    return [(name, text) for name, text in await tab.story() if name == "dataReceived"]


@pytest.mark.parametrize("compress", [True, False])
async def test_a_text_stream_of_60_kb_arrives_whole(
    ann: Tab, bob: Tab, room: str, path: SignalPath, *, compress: bool
) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await bob.run(LISTEN_FOR_STREAMS)
    text = "".join(f"{n} tränenreiche Zeilen\n" for n in range(2_500))
    assert len(text.encode()) > 60_000
    await ann.run(
        "([text, compress]) => lab.room.localParticipant.sendText(text,"
        " { topic: 'talk', attributes: { segment: '1' }, compress })",
        [text, compress],
    )
    assert await bob.until("text") == ["ann", {"segment": "1"}, text]


async def test_a_byte_stream_of_200_kb_arrives_whole(ann: Tab, bob: Tab, room: str, path: SignalPath) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await bob.run(LISTEN_FOR_STREAMS)
    checksum = await ann.run("""async () => {
      const bytes = crypto.getRandomValues(new Uint8Array(65_536));
      const file = new File([bytes, bytes, bytes, bytes.subarray(0, 3_392)], 'noise.bin');
      await lab.room.localParticipant.sendFile(file, { topic: 'talk' });
      return new Uint8Array(await file.arrayBuffer()).reduce((sum, byte) => (sum + byte) % 65521, 0);
    }""")
    assert await bob.until("bytes") == ["ann", "noise.bin", 200_000, checksum]


async def test_a_method_of_the_other_page_answers_also_at_length(
    ann: Tab, bob: Tab, room: str, path: SignalPath
) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await bob.run(REGISTER_METHODS)
    await asyncio.gather(ann.sees("bob"), bob.sees("ann"))
    for payload in ("hello", "x" * 15_000, "long " * 10_000):
        call = {"destinationIdentity": "bob", "method": "echo", "payload": payload}
        assert await ann.run(CALL, call) == f"ann:{payload}"


async def test_a_failing_method_gives_its_error(ann: Tab, bob: Tab, room: str, path: SignalPath) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await bob.run(REGISTER_METHODS)
    await asyncio.gather(ann.sees("bob"), bob.sees("ann"))
    errors = [
        await ann.run(CALL, {"destinationIdentity": whom, "method": method, "payload": "", "responseTimeout": 1_000})
        for whom, method in (("bob", "unheard of"), ("bob", "refuse"), ("bob", "break"), ("bob", "stall"))
    ]
    assert [(error["code"], error["message"]) for error in errors] == [
        (1400, "Method not supported at destination"),
        (101, "not now"),
        (1500, "Application error in method handler"),
        (1502, "Response timeout"),
    ]
    assert errors[1]["data"] == "later"


async def test_a_caller_learns_that_the_other_left(ann: Tab, bob: Tab, room: str, path: SignalPath) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    await bob.run("lab.room.registerRpcMethod('leave', () => lab.room.disconnect())")
    await ann.sees("bob")
    answer = await ann.run(CALL, {"destinationIdentity": "bob", "method": "leave", "payload": ""})
    assert (answer["code"], answer["message"]) == (1503, "Recipient disconnected")


async def test_the_api_sends_data_to_one_page(
    ann: Tab, bob: Tab, room: str, path: SignalPath, lkapi: api.LiveKitAPI
) -> None:
    await asyncio.gather(ann.join(room, "ann", path=path), bob.join(room, "bob", path=path))
    for text, identities in (("one", ["ann"]), ("all", [])):
        await lkapi.room.send_data(
            api.SendDataRequest(
                room=room,
                data=text.encode(),
                kind=api.DataPacket.Kind.RELIABLE,
                topic="api",
                destination_identities=identities,
            )
        )
    await asyncio.gather(*(tab.until("dataReceived", "all", None, None, "api") for tab in (ann, bob)))
    assert [text for _, text in await _data(ann)] == ["one", "all"]
    assert [text for _, text in await _data(bob)] == ["all"]
