from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, JobContext, function_tool
from livekit.agents.llm import AudioContent, ImageContent
from livekit.agents.voice.room_io import RoomOptions

import roomkeeper
from roomkeeper.agent import around
from roomkeeper.agent.start import Dismissed
from roomkeeper.errors import ConfigError
from roomkeeper.wire import link
from tests.unit.agent.session.stagehand import FakeDesk, FakeRoom, Talker, attached, call, person, show


async def test_a_session_is_journaled_from_its_greeting_on() -> None:
    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Talker)
        await stage.until(lambda: any(item["item"].get("role") == "assistant" for item in stage.desk.of("item")))
    assert (kept.session_id, kept.resumed, kept.metadata) == ("S_1", False, "of the app")
    assert stage.heard() == "Hello and welcome."
    assert [data["text"] for data in stage.desk.of("said")] == ["Hello and welcome."]
    assert stage.desk.of("agent") == [{"id": "talker"}]
    assert stage.desk.kinds.index("said") < stage.desk.kinds.index("heard")
    (spoken,) = [data["item"] for data in stage.desk.of("item") if data["item"]["type"] == "message"]
    assert spoken["content"] == ["Hello and welcome."]


async def test_a_tool_is_journaled_before_it_runs_and_with_its_result() -> None:
    seen: list[list[str]] = []
    desks: list[FakeDesk] = []

    class Clerk(Agent):
        def __init__(self) -> None:
            super().__init__(instructions="File.")

        @function_tool
        async def file(self, what: str) -> str:
            """File something."""
            seen.append(desks[0].kinds)
            return "filed"

    async with show(call("file", '{"what":"form"}'), "It is filed.", people=[person("ada")]) as stage:
        desks.append(stage.desk)
        await stage.start(Clerk)
        stage.room.writes("ada", "Please file the form.")
        await stage.until(lambda: "It is filed." in stage.heard())
    assert "tool_started" in seen[0]
    assert "tool_ended" not in seen[0]
    (started,) = stage.desk.of("tool_started")
    assert (started["name"], started["arguments"]) == ("file", '{"what": "form"}')
    assert [(data["output"], data["is_error"]) for data in stage.desk.of("tool_ended")] == [("filed", False)]
    types = [data["item"]["type"] for data in stage.desk.of("item")]
    assert types.count("function_call") >= 1
    assert types.count("function_call_output") == 1


async def test_the_reasons_of_the_room_are_journaled_raw() -> None:
    ada = person("ada")
    async with show(people=[ada]) as stage:
        await stage.start(Talker)
        stage.room.leaves(ada, rtc.DisconnectReason.CONNECTION_TIMEOUT)
    assert {
        "event": "participant_disconnected",
        "identity": "ada",
        "sid": "PA_ada",
        "kind": "STANDARD",
        "reason": "CONNECTION_TIMEOUT",
    } in stage.desk.of("room")


async def test_a_room_deleted_on_close_contradicts_the_policy() -> None:
    async with show() as stage:
        with pytest.raises(ConfigError, match="delete_room_on_close"):
            await stage.start(Talker, room_options=RoomOptions(delete_room_on_close=True))


async def test_a_job_that_is_fenced_ends_before_it_is_in_the_room() -> None:
    async with show() as stage:
        stage.desk.answer = link.Fenced(job="AJ_1", why="epoch 2 is in charge")
        with pytest.raises(Dismissed):
            await stage.start(Talker)
    assert stage.desk.kinds == ["done"]


async def test_an_agent_fenced_later_says_no_more_and_leaves() -> None:
    async with show(people=[person("ada")]) as stage:
        await stage.start(Talker)
        stage.desk.tell(link.Fenced(job="AJ_1", why="epoch 2 is in charge"))
        await stage.until(lambda: stage.shut_down)
        stage.room.writes("ada", "Are you there?")
    assert stage.room.connected is False
    assert stage.desk.kinds[-1] == "done"
    assert "end" not in stage.desk.kinds
    assert stage.model.asked == []


async def test_without_a_control_plane_the_agent_talks() -> None:
    async with show(people=[person("ada")]) as stage:
        stage.desk.answer = None
        kept = await stage.start(Talker)
        await stage.until(stage.heard)
        stage.desk.tell(_late := _attached())
        assert kept.session_id == _late.session


async def test_a_handler_that_fails_stops_neither_the_others_nor_the_end() -> None:
    told: list[Any] = []

    def fails(_: object) -> None:
        raise TypeError("of the application")

    async with show(people=[person("ada")]) as stage:
        stage.session.on("close", fails)
        stage.session.on("close", told.append)
        kept = await stage.start(Talker)
        kept.end("completed")
        await stage.until(lambda: stage.shut_down)
    assert len(told) == 1
    assert stage.desk.kinds[-1] == "done"


async def test_shutdown_callbacks_are_guarded_from_each_other() -> None:
    ran: list[str] = []

    async def fails() -> None:
        raise RuntimeError("of the application")

    async def runs(reason: str) -> None:
        ran.append(reason)

    async with show() as stage:
        stage.ctx.add_shutdown_callback(fails)
        await stage.start(Talker)
        stage.ctx.add_shutdown_callback(runs)
        for callback in stage.ctx._shutdown_callbacks:
            await callback("over")
    assert ran == ["over"]


def _attached() -> link.Attached:
    from tests.unit.agent.session.stagehand import attached

    return attached()


@pytest.mark.parametrize("early", [True, False])
async def test_where_no_control_plane_is_known_nobody_waits_for_one(*, early: bool) -> None:
    from roomkeeper.agent import line

    async with show(people=[person("ada")]) as stage:
        if early:
            stage.desk.parent = line.Parent(url="", told=True)
        else:
            stage.desk.parent = line.Parent()

        async def attach(_: link.Attach, within: float = 1.0) -> None:
            if not early:
                stage.desk.parent = line.Parent(url="", told=True)
            await asyncio.sleep(within)

        stage.desk.attach = attach  # type: ignore[method-assign, assignment]
        began = asyncio.get_running_loop().time()
        await stage.start(Talker)
        assert asyncio.get_running_loop().time() - began < 0.1


async def test_a_second_session_of_the_job_is_not_kept() -> None:
    async with show(people=[person("ada")]) as stage:
        await stage.start(Quiet)
        second: AgentSession[Any] = AgentSession(vad=None, turn_handling={"turn_detection": "manual"})
        other = await roomkeeper.start(second, agent=Quiet, room=cast("rtc.Room", FakeRoom()), **TEXT_ONLY)
        other.end("completed")
        assert (await other.ended()).reason == "completed"
        await second.aclose()
        assert len(stage.desk.of("agent")) == 1
        assert "end" not in stage.desk.kinds
        assert not stage.shut_down


async def test_an_unknown_livekit_agents_runs_as_without_roomkeeper(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("roomkeeper.agent.internals.supported", lambda: False)
    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Quiet)
        deleted: list[bool] = []

        async def delete() -> None:
            deleted.append(True)

        stage.ctx.delete_room = delete  # type: ignore[method-assign, assignment]
        roomkeeper.end("completed", goodbye="Goodbye!")
        await kept.ended()
        await stage.until(lambda: stage.shut_down)
        await stage.session.aclose()
    assert stage.desk.lines == []
    assert deleted == [True]
    assert "does not know this livekit-agents" in caplog.text


class Quiet(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Wait.")


TEXT_ONLY: dict[str, Any] = {
    "room_options": RoomOptions(audio_input=False, audio_output=False),
    "session_host": False,
    "record": False,
}


@pytest.mark.parametrize("why", ["ended", "fenced"])
async def test_a_session_that_is_over_before_the_agent_is_there_is_not_begun(why: str) -> None:
    async with show(people=[person("ada")]) as stage:
        begin = stage.session.start

        async def slowly(agent: Agent, **more: object) -> None:
            if why == "ended":
                stage.desk.tell(link.EndNow(job="AJ_1", reason="operator_ended", message="Bye.", goodbye=True))
            else:
                stage.desk.tell(link.Fenced(job="AJ_1", why="another one is there"))
            await asyncio.sleep(1)
            await begin(agent, **more)  # type: ignore[call-overload]

        stage.session.start = slowly  # type: ignore[method-assign, assignment]
        with pytest.raises(Dismissed):
            await stage.start(Talker)
        await stage.until(lambda: stage.shut_down)
        await stage.session.aclose()
    assert stage.desk.kinds[-1] == "done"
    assert "started" not in stage.desk.kinds


async def test_of_a_message_the_words_are_journaled_without_pictures_and_sound() -> None:
    frame = rtc.VideoFrame(64, 64, rtc.VideoBufferType.RGBA, bytes(64 * 64 * 4))
    sound = AudioContent(frame=[rtc.AudioFrame(bytes(20), 8_000, 1, 10)], transcript="and this.")
    content: list[Any] = ["Look at this,", ImageContent(image=frame), sound]
    async with show(people=[person("ada")]) as stage:
        await stage.start(Talker)
        stage.session.history.add_message(role="user", content=content)
        stage.session.history.add_message(role="user", content="Odd.", extra={"of a plugin": object()})
        look, odd = (data["item"] for data in stage.desk.of("item") if data["item"].get("role") == "user")
    assert look["content"] == ["Look at this,", "and this."]
    assert odd["content"] == ["Odd."]


async def test_who_waits_in_on_session_end_for_an_end_elsewhere_does_not_break_the_shutdown() -> None:
    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Talker)

        async def on_session_end(_: JobContext) -> None:
            await kept.ended()

        stage.desk.tell(link.Fenced(job="AJ_1", why="another one is there"))
        await around.session_end(stage.ctx, on_session_end)
        await stage.until(lambda: stage.shut_down)


async def test_an_entrypoint_that_fails_before_it_starts_leaves_a_line_so_that_its_job_counts_as_lost() -> None:
    async def fails(_: JobContext) -> None:
        raise OSError("no database")

    async with show(epoch=2) as stage:
        with pytest.raises(OSError, match="no database"):
            await around.entrypoint(stage.ctx, fails)
        assert stage.desk.of("error") == [
            {"source": "entrypoint", "error": "OSError('no database')", "recoverable": False}
        ]
        assert "done" not in stage.desk.kinds


async def test_an_entrypoint_that_returns_and_has_started_nothing_fails_likewise() -> None:
    async def returns(_: JobContext) -> None:
        pass

    async with show(epoch=2) as stage:
        stage.room.connected = False
        with pytest.raises(around.NothingStarted):
            await around.entrypoint(stage.ctx, returns)
        (error,) = stage.desk.of("error")
        assert "start a session" in error["error"]


async def test_an_entrypoint_may_return_that_is_in_the_room_or_has_started_its_session() -> None:
    async def returns(_: JobContext) -> None:
        pass

    async def starts(_: JobContext) -> None:
        await stage.start(Talker)

    async with show(epoch=2) as stage:
        await around.entrypoint(stage.ctx, returns)
        await around.entrypoint(stage.ctx, starts)
        assert stage.desk.of("error") == []


async def test_an_entrypoint_that_nobody_dispatched_for_roomkeeper_fails_as_it_would_without() -> None:
    async def fails(_: JobContext) -> None:
        raise OSError("no database")

    async with show() as stage:
        with pytest.raises(OSError, match="no database"):
            await around.entrypoint(stage.ctx, fails)
        assert stage.desk.kinds == []


async def test_a_room_that_cannot_be_joined_costs_this_job_and_not_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with show(people=[person("ada")]) as stage:

        async def refuse(*_: object, **__: object) -> None:
            raise rtc.ConnectError("the room cannot be reached")

        monkeypatch.setattr(stage.session, "start", refuse)
        monkeypatch.setattr(stage.room, "isconnected", lambda: False)

        async def entrypoint(_: JobContext) -> None:
            await stage.start(Talker)

        with pytest.raises(rtc.ConnectError):
            await around.entrypoint(stage.ctx, entrypoint)
        assert stage.desk.of("end") == []
        assert "done" not in stage.desk.kinds


async def test_a_job_that_is_muted_too_late_leaves_the_talk_to_the_one_before() -> None:
    async with show(people=[person("ada")], epoch=2) as stage:
        stage.desk.answer = None  # within the time that it waited
        await stage.start(Talker)
        stage.desk.tell(attached(epoch=2, resumed=True, muted=True))
        assert "done" in stage.desk.kinds
        heard = stage.heard()
        stage.session.say("Not a word of this is heard.")
        await asyncio.sleep(5)
        assert stage.heard() == heard


async def test_a_job_that_is_in_charge_already_stays_when_it_is_told_again_that_it_is_muted() -> None:
    async with show(people=[person("ada")]) as stage:
        await stage.start(Talker)
        stage.desk.tell(attached(muted=True))
        assert "done" not in stage.desk.kinds


async def test_nothing_is_written_either_while_another_agent_may_be_in_charge() -> None:
    async with show(people=[person("ada")]) as stage:
        await stage.start(Talker)
        await stage.until(lambda: "Hello" in stage.heard())
        stage.desk.lapsed = True
        stage.session.say("Not a word of this is read.")
        await asyncio.sleep(5)
        assert "read" not in stage.heard()


async def test_whoever_is_refused_when_it_asks_again_speaks_as_without_roomkeeper() -> None:
    async with show(people=[person("ada")]) as stage:
        await stage.start(Talker)
        assert stage.desk.stood_still is not None
        stage.desk.stood_still()
        stage.session.say("One.")
        await asyncio.sleep(5)
        assert "One." not in stage.heard()
        stage.desk.tell(link.Refused(why="not kept", job="AJ_1"))
        stage.session.say("Two.")
        await stage.until(lambda: "Two." in stage.heard())


async def test_nothing_is_journaled_after_a_job_was_dismissed_before_it_began() -> None:
    async with show(people=[person("ada")]) as stage:
        stage.desk.answer = link.Fenced(job="AJ_1", why="another one is in charge")

        async def entrypoint(ctx: JobContext) -> None:
            try:
                await stage.start(Talker)
            finally:
                roomkeeper.end()

        with pytest.raises(Dismissed):
            await around.entrypoint(stage.ctx, entrypoint)
        assert stage.desk.kinds == ["done"]


async def test_a_session_that_is_over_waits_less_for_words_that_nobody_takes_up() -> None:
    async with show(people=[person("ada")]) as stage:
        kept = await stage.start(Talker)
        assert stage.session.options.session_close_transcript_timeout == 2.0
        kept.end()
        await kept.ended()
        await stage.until(lambda: "done" in stage.desk.kinds)
        assert stage.session.options.session_close_transcript_timeout == 0.4
