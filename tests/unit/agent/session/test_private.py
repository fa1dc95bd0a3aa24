"""The private parts of livekit-agents that a job uses, as they were seen in 1.8.9."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, cast

import pytest
from livekit import rtc
from livekit.agents import AgentSession, CloseEvent, CloseReason
from livekit.agents.ipc import job_proc_lazy_main
from livekit.agents.llm import ChatContext, ChatMessage
from livekit.agents.voice import agent_activity
from livekit.agents.voice.room_io import _output

from roomkeeper.agent import internals
from tests.unit.agent.session.stagehand import Talker, person, show

if TYPE_CHECKING:
    from livekit.agents.llm import ChatItem


def session() -> AgentSession[Any]:
    return AgentSession(vad=None, turn_handling={"turn_detection": "manual"})


async def test_every_way_into_the_history_is_seen() -> None:
    told: list[ChatItem] = []
    watched = session()
    watched.history.add_message(role="user", content="before")
    internals.watch_history(watched, told.append)
    appended = watched.history.add_message(role="user", content="appended")
    inserted = ChatMessage(role="assistant", content=["inserted"])
    watched.history.insert(inserted)
    merged = ChatMessage(role="user", content=["merged"])
    watched.history.merge(ChatContext([merged]))
    watched.history._upsert_item(inserted)
    assert told == [appended, inserted, merged, inserted]
    assert [item.text_content for item in watched.history.messages()] == ["before", "appended", "inserted", "merged"]


async def test_a_copy_of_the_history_is_not_watched() -> None:
    told: list[ChatItem] = []
    watched = session()
    internals.watch_history(watched, told.append)
    watched.history.copy().add_message(role="user", content="elsewhere")
    assert told == []


async def test_every_handler_is_called_and_the_report_keeps_the_event() -> None:
    told: list[object] = []
    called: list[object] = []

    def fails(_: object) -> None:
        raise TypeError

    watched = session()
    watched.on("close", fails)
    watched.once("close", called.append)
    watched.on("close", lambda: called.append("without an argument"))
    internals.watch_emit(watched, told.append)
    event = CloseEvent(reason=CloseReason.USER_INITIATED)
    watched.emit("close", event)
    watched.emit("close", event)
    assert told == [event, event]
    assert called == [event, "without an argument", "without an argument"]
    assert watched._recorded_events == [event, event]


async def test_frames_are_asked_for_one_by_one() -> None:
    output = _output._ParticipantAudioOutput(
        cast("rtc.Room", object()),
        sample_rate=24_000,
        num_channels=1,
        track_publish_options=rtc.TrackPublishOptions(),
    )
    captured: list[rtc.AudioFrame] = []

    async def capture(frame: rtc.AudioFrame) -> None:
        captured.append(frame)

    output._audio_source.capture_frame = capture  # type: ignore[method-assign]
    watched = session()
    watched._room_io = cast("Any", type("RoomIO", (), {"_audio_output": output})())
    allowed = [True, False, True]
    internals.gate_audio(watched, lambda: allowed.pop(0))
    frames = [rtc.AudioFrame.create(24_000, 1, 1_200) for _ in range(3)]
    for frame in frames:
        await output._audio_source.capture_frame(frame)
    assert captured == [frames[0], frames[2]]
    assert internals.publishes_audio(watched)
    watched._room_io = None
    assert not internals.publishes_audio(watched)
    await output.aclose()


def test_the_source_of_the_audio_is_given_each_frame_by_the_output() -> None:
    assert "self._audio_source.capture_frame(frame)" in inspect.getsource(_output._ParticipantAudioOutput)


def test_generated_text_goes_through_the_node_of_the_instance() -> None:
    source = inspect.getsource(agent_activity.AgentActivity)
    assert source.count("self._agent.transcription_node(") == 3


def test_the_end_of_a_job_closes_the_session_by_the_method_of_the_instance() -> None:
    assert "session.aclose()" in inspect.getsource(job_proc_lazy_main._JobProc._shutdown_job)


async def test_the_caller_of_a_close_is_told_from_the_end_of_a_job() -> None:
    seen: list[bool] = []

    def aclose() -> None:
        seen.append(internals.is_job_shutdown())

    async def _shutdown_job() -> None:
        aclose()

    aclose()
    await _shutdown_job()
    assert seen == [False, True]


async def test_callbacks_of_a_shutdown_are_a_list_that_is_run_at_once() -> None:
    assert "asyncio.gather(*shutdown_tasks)" in inspect.getsource(job_proc_lazy_main._JobProc._shutdown_job)
    async with show(people=[person("ada")]) as stage:
        assert stage.ctx._shutdown_callbacks == []
        await stage.start(Talker)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.gather(_cancelled(), *(callback("over") for callback in stage.ctx._shutdown_callbacks))


async def _cancelled() -> None:
    raise asyncio.CancelledError
