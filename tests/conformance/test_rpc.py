"""Remote procedure calls between participants, and from the room API."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from livekit import rtc

if TYPE_CHECKING:
    from tests.conformance.support.clients import Client, Joiner, SignalPath
    from tests.conformance.support.twirp import Answer, Twirp

Code = rtc.RpcError.ErrorCode
TOO_MUCH = "x" * 15_361
"""One byte over the limit of version 1."""


def answering(client: Client) -> asyncio.Event:
    """Register what the tests call; the returned event is set when `sleep` was called."""
    asleep = asyncio.Event()

    async def echo(call: rtc.RpcInvocationData) -> str:
        return json.dumps([call.caller_identity, call.payload])

    async def sleep(call: rtc.RpcInvocationData) -> str:
        asleep.set()
        await asyncio.sleep(60)
        return "too late"

    async def refuse(call: rtc.RpcInvocationData) -> str:
        raise rtc.RpcError(42, "not today", data='{"try":"tomorrow"}')

    async def fail(call: rtc.RpcInvocationData) -> str:
        raise ValueError("not for the caller's eyes")

    async def gush(call: rtc.RpcInvocationData) -> str:
        return TOO_MUCH

    for handler in (echo, sleep, refuse, fail, gush):
        client.me.register_rpc_method(handler.__name__, handler)
    return asleep


async def call(client: Client, method: str, payload: str = "", *, to: str = "bob", within: float = 5) -> str:
    """Call a method of another participant."""
    return await client.me.perform_rpc(destination_identity=to, method=method, payload=payload, response_timeout=within)


async def test_a_call_is_answered(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")
    answering(bob)
    assert json.loads(await call(ann, "echo", "How are you?")) == ["ann", "How are you?"]


async def test_calls_both_ways_and_many_at_once_find_their_answers(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")
    answering(ann)
    answering(bob)
    await bob.wait_for_participant("ann")
    calls = [call(ann, "echo", f"a{n}") for n in range(20)] + [call(bob, "echo", f"b{n}", to="ann") for n in range(20)]
    answers = [json.loads(answer) for answer in await asyncio.gather(*calls)]
    assert answers == [["ann", f"a{n}"] for n in range(20)] + [["bob", f"b{n}"] for n in range(20)]


@pytest.mark.parametrize(
    ("method", "code", "message", "data"),
    [
        ("unheard_of", Code.UNSUPPORTED_METHOD, "Method not supported at destination", None),
        ("sleep", Code.RESPONSE_TIMEOUT, "Response timeout", None),
        ("refuse", 42, "not today", '{"try":"tomorrow"}'),
        ("fail", Code.APPLICATION_ERROR, "Application error in method handler", None),
    ],
)
async def test_a_call_fails_with_the_code_of_its_reason(
    join: Joiner, path: SignalPath, method: str, code: int, message: str, data: str | None
) -> None:
    bob, ann = await join("bob"), await join("ann")
    answering(bob)
    with pytest.raises(rtc.RpcError) as failed:
        await call(ann, method, within=2)
    assert (failed.value.code, failed.value.message, failed.value.data or None) == (code, message, data)


async def test_a_large_answer_and_a_large_question_arrive(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")
    answering(bob)
    assert await call(ann, "gush") == TOO_MUCH
    assert json.loads(await call(ann, "echo", TOO_MUCH)) == ["ann", TOO_MUCH]


async def test_a_call_to_one_who_leaves_fails_at_once(join: Joiner, path: SignalPath) -> None:
    bob, ann = await join("bob"), await join("ann")
    asleep = answering(bob)
    pending = asyncio.create_task(call(ann, "sleep", within=20))
    await asyncio.wait_for(asleep.wait(), 5)
    await bob.close()
    with pytest.raises(rtc.RpcError) as failed:
        await asyncio.wait_for(pending, 5)
    assert failed.value.code == Code.RECIPIENT_DISCONNECTED


async def from_the_server(twirp: Twirp, room: str, method: str, payload: str = "", *, to: str = "bob") -> Answer:
    """Call a method of a participant by the room API."""
    body = {"room": room, "destination_identity": to, "method": method, "payload": payload}
    return await twirp("RoomService/PerformRpc", {**body, "response_timeout_ms": 2000})


async def test_the_room_api_calls_a_participant(join: Joiner, path: SignalPath, twirp: Twirp, room: str) -> None:
    answering(await join("bob"))
    answer = await from_the_server(twirp, room, "echo", "hello")
    assert answer.status == 200
    caller, payload = json.loads(answer.json["payload"])
    assert payload == "hello"
    assert caller


@pytest.mark.parametrize(
    ("method", "message", "error"),
    [
        ("unheard_of", "RpcError 1400: Method not supported at destination", (400, "invalid_argument")),
        ("sleep", "RpcError 1502: Response timeout", (408, "canceled")),
        ("refuse", 'RpcError 42: not today: {"try":"tomorrow"}', (500, "internal")),
        ("fail", "RpcError 1500: Application error in method handler", (500, "internal")),
    ],
)
async def test_a_failed_call_of_the_room_api_tells_the_rpc_code(
    join: Joiner, twirp: Twirp, room: str, method: str, message: str, error: tuple[int, str]
) -> None:
    answering(await join("bob"))
    answer = await from_the_server(twirp, room, method)
    assert answer.error == error
    assert answer.json["msg"].removeprefix("twirp error unknown: ") == message


async def test_a_question_of_the_room_api_is_limited_to_15_kilobytes(join: Joiner, twirp: Twirp, room: str) -> None:
    answering(await join("bob"))
    answer = await from_the_server(twirp, room, "echo", TOO_MUCH)
    assert answer.error == (400, "invalid_argument")
    assert "RpcError 1402: " in answer.json["msg"]


async def test_a_call_of_the_room_api_to_nobody_finds_no_servers(join: Joiner, twirp: Twirp, room: str) -> None:
    await join("ann")
    answer = await from_the_server(twirp, room, "echo", to="nobody")
    assert answer.error == (503, "unavailable")
