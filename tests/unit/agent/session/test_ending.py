# ruff: noqa: ANN401 - it stands for one of many types of livekit-agents, or for a double of one

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from livekit import rtc
from livekit.agents import Agent, APIError, function_tool

import roomkeeper
from roomkeeper.agent import line
from roomkeeper.agent.around import entrypoint
from roomkeeper.agent.kept import NothingKept
from roomkeeper.errors import IllegalCall
from roomkeeper.wire import link
from tests.unit.agent.session.stagehand import Show, Talker, call, person, show

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from livekit.agents import JobContext


class Quiet(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Wait.")


def end_now(reason: str = "operator_ended", *, goodbye: bool = True) -> link.EndNow:
    return link.EndNow(job="AJ_1", reason=reason, message="It is over.", goodbye=goodbye)


async def test_an_end_is_journaled_then_said_then_told_then_left() -> None:
    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Quiet)
        kept.end("completed", detail="all asked", data={"score": 3}, goodbye="Goodbye!")
        assert stage.desk.of("end") == [
            {"reason": "completed", "detail": "all asked", "data": {"score": 3}, "by": "agent", "goodbye": True}
        ]
        ended = await kept.ended()
        await stage.until(lambda: stage.shut_down)
    assert (ended.reason, ended.detail, ended.data) == ("completed", "all asked", {"score": 3})
    kinds = [kind for kind in stage.desk.kinds if kind in {"end", "heard", "goodbye_over", "close", "done"}]
    assert kinds == ["end", "heard", "goodbye_over", "close", "done"]
    assert stage.heard() == "Goodbye!"
    assert stage.desk.of("goodbye_over") == [{"heard": True}]
    assert _attributes(stage) == []


async def test_a_second_end_changes_nothing() -> None:
    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Quiet)
        kept.end("completed", goodbye="Goodbye!")
        kept.end("model_failed", goodbye="Sorry!")
        stage.desk.tell(end_now())
        assert (await kept.ended()).reason == "completed"
        await stage.until(lambda: stage.shut_down)
    assert len(stage.desk.of("end")) == len(stage.desk.of("goodbye_over")) == 1
    assert stage.heard() == "Goodbye!"


async def test_a_tool_may_end_the_session_and_wait_for_it() -> None:
    class Closer(Agent):
        def __init__(self) -> None:
            super().__init__(instructions="Close.")

        @function_tool
        async def finish(self) -> None:
            """Finish."""
            roomkeeper.end("completed", goodbye="Goodbye!")
            assert kepts[0] is not None
            await kepts[0].ended()

    kepts: list[Any] = []
    async with show(call("finish"), people=[person("ada")]) as stage:
        kepts.append(await stage.start(Closer))
        began = asyncio.get_running_loop().time()
        stage.room.writes("ada", "That is all.")
        await stage.until(lambda: stage.shut_down)
        took = asyncio.get_running_loop().time() - began
    assert stage.heard() == "Goodbye!"
    assert took < 5


async def test_an_end_with_nobody_there_does_not_wait() -> None:
    async with show() as stage:
        kept = await stage.start(Quiet)
        began = asyncio.get_running_loop().time()
        kept.end("completed", goodbye="Goodbye!")
        await kept.ended()
        assert asyncio.get_running_loop().time() - began < 0.1
    assert stage.desk.of("goodbye_over") == [{"heard": False}]
    assert stage.heard() == ""


async def test_a_goodbye_that_hangs_is_given_up() -> None:
    class Hung(Agent):
        def __init__(self) -> None:
            super().__init__(instructions="Hang.")

        async def transcription_node(self, text: Any, model_settings: Any) -> Any:
            await asyncio.Event().wait()
            yield ""

    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Hung)
        began = asyncio.get_running_loop().time()
        kept.end("completed", goodbye="Goodbye!")
        await kept.ended()
        assert asyncio.get_running_loop().time() - began == pytest.approx(5, abs=0.5)
        await stage.until(lambda: stage.shut_down)
    assert stage.desk.of("goodbye_over") == [{"heard": False}]


async def test_a_hook_that_does_not_let_itself_be_cancelled_does_not_hold_the_end() -> None:
    let_go = asyncio.Event()

    async def clings() -> None:
        while not let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await let_go.wait()

    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Quiet)
        kept._stage.spawn(clings(), "hook")  # type: ignore[attr-defined]
        kept.end("completed")
        await stage.until(lambda: stage.shut_down, within=10)
        let_go.set()
    assert stage.desk.kinds[-1] == "done"


async def test_an_end_from_outside_is_said_and_not_asked_for_again() -> None:
    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Quiet)
        stage.desk.tell(end_now("time_limit"))
        assert (await kept.ended()).reason == "time_limit"
        await stage.until(lambda: stage.shut_down)
    assert stage.heard() == "It is over."
    assert stage.desk.of("end") == []
    assert stage.desk.kinds[-1] == "done"


async def test_who_pressed_end_hears_no_words() -> None:
    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Quiet)
        stage.desk.tell(end_now("user_ended"))
        await kept.ended()
    assert stage.heard() == ""


async def test_without_a_control_plane_the_agent_tells_the_end_in_the_room_and_stays_for_it_to_be_read() -> None:
    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Quiet)
        stage.desk.linked = False
        began = asyncio.get_running_loop().time()
        kept.end("completed", detail="all asked", goodbye="Goodbye!")
        await stage.until(lambda: stage.shut_down)
        took = asyncio.get_running_loop().time() - began
    told = [json.loads(each.args[0]["roomkeeper"]) for each in _attributes(stage)]
    assert [(each["state"], each["reason"], each["provisional"]) for each in told] == [
        ("ending", "completed", True),
        ("ended", "completed", True),
    ]
    assert told[0]["session"] == "S_1"
    assert 4 < told[0]["seq"] < told[1]["seq"]
    assert took >= 3


async def test_where_there_is_no_control_plane_at_all_the_agent_deletes_the_room() -> None:
    async with show(people=[person("ada")]) as stage:
        stage.desk.answer, stage.desk.linked, stage.desk.parent = None, False, line.Parent()
        deleted: list[str | None] = []

        def delete(room_name: str | None = None) -> Any:
            deleted.append(room_name)
            done = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done

        stage.ctx.delete_room = delete  # type: ignore[method-assign]
        kept = await stage.start(Quiet)
        kept.end("completed")
        await stage.until(lambda: stage.shut_down)
    assert deleted == [None]


async def test_an_unknown_reason_is_refused_with_those_that_are_known() -> None:
    async with show() as stage:
        kept = await stage.start(Quiet)
        with pytest.raises(IllegalCall, match="caller_hung_up"):
            kept.end("finished")


async def test_there_is_nothing_to_end_outside_a_job() -> None:
    with pytest.raises(NothingKept):
        roomkeeper.end()


async def test_a_model_that_fails_for_good_ends_the_session() -> None:
    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Quiet)
        broken = stage.model.answers
        broken.clear()

        def chat(**_: Any) -> Any:
            raise APIError("gone", retryable=False)

        stage.model.chat = chat  # type: ignore[method-assign]
        for _ in range(8):
            stage.room.writes("ada", "Hello?")
            await asyncio.sleep(5)
            if stage.desk.of("end"):
                break
        if not stage.desk.of("end"):
            _fail_model(stage)
        assert (await kept.ended()).reason == "model_failed"
        await stage.until(lambda: stage.shut_down)


def _fail_model(stage: Show) -> None:
    from livekit.agents.llm import LLMError

    error = LLMError(timestamp=0, label="llm", error=APIError("gone"), recoverable=False)
    for _ in range(4):
        stage.session._on_error(error)


async def _shutdown(stage: Show) -> None:
    stage.session.shutdown()


async def _aclose(stage: Show) -> None:
    await stage.session.aclose()


async def _ctx_shutdown(stage: Show) -> None:
    stage.ctx.shutdown("all asked")


async def _delete_room(stage: Show) -> None:
    await stage.ctx.delete_room()


async def _disconnect(stage: Show) -> None:
    await stage.room.disconnect()


async def _room_deleted(stage: Show) -> None:
    stage.room.connected = False
    stage.room.emit("disconnected", rtc.DisconnectReason.ROOM_DELETED)


async def _raise(stage: Show) -> None:
    async def fails(_: JobContext) -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await entrypoint(stage.ctx, fails)


async def _hang_up(stage: Show) -> None:
    stage.room.leaves(stage.room.remote_participants["ada"], rtc.DisconnectReason.CLIENT_INITIATED)


@pytest.mark.parametrize(
    ("way", "reason", "detail"),
    [
        (_shutdown, "completed", None),
        (_aclose, "completed", None),
        (_ctx_shutdown, "completed", "all asked"),
        (_delete_room, "completed", None),
        (_disconnect, "agent_left", None),
        (_room_deleted, "room_deleted", None),
        (_raise, "agent_failed", "ValueError"),
        (_hang_up, "caller_hung_up", None),
    ],
)
async def test_every_stock_way_to_end_is_one_end_with_its_reason(
    way: Callable[[Show], Awaitable[None]], reason: str, detail: str | None
) -> None:
    caller = person("ada", rtc.ParticipantKind.PARTICIPANT_KIND_SIP)
    async with show(people=[caller]) as stage:
        kept = await stage.start(Quiet)
        began = asyncio.get_running_loop().time()
        await way(stage)
        ended = await kept.ended()
        await stage.until(lambda: stage.shut_down)
        took = asyncio.get_running_loop().time() - began
    assert (ended.reason, ended.detail) == (reason, detail)
    assert [data["reason"] for data in stage.desk.of("end")] == [reason]
    assert len(stage.desk.of("goodbye_over")) == 1
    assert stage.desk.kinds[-1] == "done"
    assert took <= 1.0


@pytest.mark.parametrize("way", [_shutdown, _disconnect])
async def test_people_who_stay_together_without_the_agent_were_transferred(
    way: Callable[[Show], Awaitable[None]],
) -> None:
    async with show(people=[person("caller"), person("colleague")]) as stage:
        kept = await stage.start(Quiet)
        await way(stage)
        assert (await kept.ended()).reason == "transferred"


async def test_an_agent_whose_job_is_terminated_as_soon_as_it_leaves_has_said_that_it_left() -> None:
    async with show(people=[person("ada")]) as stage:

        async def _shutdown_job() -> None:  # as livekit-agents calls it
            await stage.session.aclose()
            await stage.room.disconnect()

        async def terminated_before_it_is_told() -> None:
            if stage.room.connected:
                stage.room.connected = False
                await _shutdown_job()

        stage.room.disconnect = terminated_before_it_is_told  # type: ignore[method-assign]
        kept = await stage.start(Quiet)
        await stage.room.disconnect()
        assert (await kept.ended()).reason == "agent_left"
    assert [data["reason"] for data in stage.desk.of("end")] == ["agent_left"]


async def test_the_end_of_the_job_alone_is_no_end_of_the_session() -> None:
    async def _shutdown_job(stage: Show) -> None:  # as livekit-agents calls it
        await stage.session.aclose()

    async with show(people=[person("ada")]) as stage:
        await stage.start(Talker)
        await _shutdown_job(stage)
        for callback in stage.ctx._shutdown_callbacks:
            await callback("parent process shutdown")
        assert "close" in stage.desk.kinds
    assert "end" not in stage.desk.kinds
    assert "done" not in stage.desk.kinds


async def test_what_was_decided_is_told_even_when_the_process_is_going() -> None:
    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Quiet)
        kept.end("completed", goodbye="Goodbye!")
        for callback in stage.ctx._shutdown_callbacks:
            await callback("parent process shutdown")
        assert [kind for kind in stage.desk.kinds if kind in {"end", "goodbye_over", "done"}] == [
            "end",
            "goodbye_over",
            "done",
        ]


def _attributes(stage: Show) -> list[Any]:
    return [each for each in stage.room.local_participant.set_attributes.call_args_list if "roomkeeper" in each.args[0]]


@pytest.mark.parametrize("way", ["shutdown", "delete_room"])
async def test_words_that_were_only_just_asked_for_are_said_before_the_end(way: str) -> None:
    async with show(people=[person("ada")]) as stage:
        await stage.start(Talker)
        await stage.until(lambda: "Hello" in stage.heard())

        async def slowly() -> AsyncIterator[str]:
            await asyncio.sleep(1)  # as a voice takes to begin
            yield "Goodbye for now."

        stage.session.say(slowly())
        getattr(stage.ctx, way)()
        await stage.until(lambda: "done" in stage.desk.kinds)
        assert "Goodbye for now." in stage.heard()
