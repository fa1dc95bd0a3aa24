"""The course of an interview: check-ins while nobody speaks, and one end whatever happens."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from livekit.agents import CloseEvent, CloseReason, UserStateChangedEvent
from livekit.agents.llm import LLMError

from examples.interviewer import interview
from examples.interviewer.interview import Interview
from examples.interviewer.script import GOODBYE
from examples.interviewer.state import ATTRIBUTE, completed

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit.agents import AgentSession, JobContext

DONE = completed("all questions asked")


class World:
    """A session, a job and a room that write down what is done to them.

    Attributes:
        log: What was done, in order.
        listener: Whether somebody hears the goodbye to its end.
        closed: Whether the session has closed.
        connected: Whether the room still takes attributes.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.listener = True
        self.closed = False
        self.connected = True
        self.gone = asyncio.Event()
        self.handlers: dict[str, Callable[[Any], None]] = {}
        self.room = self.local_participant = self.input = self
        self.remote_participants = {"candidate": SimpleNamespace(attributes={})}

    def on(self, event: str, handler: Callable[[Any], None]) -> None:
        self.handlers[event] = handler

    def user_is(self, state: Any) -> None:  # noqa: ANN401 - a Literal of livekit-agents
        self.handlers["user_state_changed"](UserStateChangedEvent(old_state="listening", new_state=state))

    def closes(self, reason: CloseReason) -> None:
        self.closed = True
        error = LLMError(timestamp=0, label="llm", error=OSError("secret address"), recoverable=False)
        self.handlers["close"](CloseEvent(reason=reason, error=error if reason is CloseReason.ERROR else None))

    # The session.
    def set_audio_enabled(self, enable: bool) -> None:  # noqa: FBT001 - livekit-agents'
        assert not enable
        self.log.append("deaf")

    def generate_reply(self, *, instructions: str) -> Any:  # noqa: ANN401
        assert "silent" in instructions
        self.log.append("check-in")
        return asyncio.sleep(0)

    def say(self, text: str, *, allow_interruptions: bool) -> World:
        assert text == GOODBYE
        assert not allow_interruptions
        if self.closed:
            raise RuntimeError("AgentSession isn't running")
        self.log.append("goodbye")
        return self

    async def wait_for_playout(self) -> None:
        if not self.listener:
            await asyncio.Event().wait()
        self.log.append("heard")

    def interrupt(self, *, force: bool) -> None:
        assert force
        self.log.append("given up")

    async def aclose(self) -> None:
        self.log.append("close")

    # The job.
    def add_participant_entrypoint(self, entrypoint: object) -> None:
        self.log.clear()

    def add_shutdown_callback(self, callback: object) -> None:
        self.log.clear()

    async def delete_room(self) -> None:
        self.log.append("delete")

    def shutdown(self, reason: str) -> None:
        self.log.append(f"shutdown {reason}")
        self.gone.set()

    # The room.
    @property
    async def sid(self) -> str:
        return "RM_x"

    async def set_attributes(self, attributes: dict[str, str]) -> None:
        if not self.connected:
            raise ConnectionError("the room is gone")
        written = json.loads(attributes[ATTRIBUTE])
        self.log.append(" ".join(filter(None, [written["state"], written["reason"], written["detail"]])))

    def unregister_text_stream_handler(self, topic: str) -> None:
        raise ValueError(topic)  # there was none


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Nothing takes its time here."""
    for seconds in ("CHECK_IN_EVERY", "GOODBYE_LIMIT", "TAIL", "LINGER"):
        monkeypatch.setattr(interview, seconds, 0.001)
    return World()


@pytest.fixture
def course(world: World) -> Interview:
    return Interview(cast("JobContext", world), cast("AgentSession[None]", world))


async def test_the_end_is_announced_said_told_and_only_then_final(world: World, course: Interview) -> None:
    course.end(DONE)
    await world.gone.wait()
    why = "completed all questions asked"
    assert world.log == [
        *("deaf", f"ending {why}", "goodbye", "heard", f"ended {why}", "close", "delete", "shutdown completed"),
    ]


async def test_there_is_one_end(world: World, course: Interview) -> None:
    course.end(DONE)
    course.end(completed("something else"))
    await world.gone.wait()
    assert world.log.count("goodbye") == 1
    assert not any("something else" in line for line in world.log)


async def test_a_goodbye_that_nobody_hears_does_not_hold_up_the_end(world: World, course: Interview) -> None:
    world.listener = False
    course.end(DONE)
    await world.gone.wait()
    assert world.log[2:4] == ["goodbye", "given up"]
    assert world.log[-1] == "shutdown completed"


async def test_a_closed_session_says_no_goodbye_and_still_tells_why(world: World, course: Interview) -> None:
    world.closed = True
    course.end(DONE)
    await world.gone.wait()
    assert "goodbye" not in world.log
    assert "ended completed all questions asked" in world.log


async def test_a_room_that_is_gone_ends_the_job_all_the_same(world: World, course: Interview) -> None:
    world.connected = False
    course.end(DONE)
    await world.gone.wait()
    assert world.log[-1] == "shutdown completed"
    with pytest.raises(ConnectionError):
        await cast("asyncio.Task[None]", course._ending)


async def test_silence_gets_three_check_ins_and_then_the_end(world: World, course: Interview) -> None:
    world.user_is("away")
    await world.gone.wait()
    assert world.log[:5] == ["check-in"] * 3 + ["deaf", "ending user_away"]
    assert world.log[-1] == "shutdown user_away"
    await course.aclose()


async def test_a_word_stops_the_check_ins(world: World, course: Interview, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interview, "CHECK_IN_EVERY", 60.0)
    world.user_is("away")
    checking_in = course._checking_in
    await asyncio.sleep(0)
    world.user_is("speaking")
    await asyncio.wait([cast("asyncio.Task[None]", checking_in)])
    assert world.log == ["check-in"]


async def test_nobody_is_checked_on_during_the_goodbye(world: World, course: Interview) -> None:
    course.end(DONE)
    world.user_is("away")
    await world.gone.wait()
    assert "check-in" not in world.log


async def test_a_failed_model_is_told_without_its_particulars(world: World, course: Interview) -> None:
    world.closes(CloseReason.ERROR)
    await world.gone.wait()
    assert "ended model_failed llm_error" in world.log
    assert not any("secret" in line for line in world.log)


async def test_a_candidate_who_leaves_gets_the_stock_behaviour(world: World, course: Interview) -> None:
    world.closes(CloseReason.PARTICIPANT_DISCONNECTED)
    await asyncio.sleep(0)
    assert world.log == []


async def test_no_task_outlives_the_job(world: World, course: Interview, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interview, "CHECK_IN_EVERY", 60.0)
    world.user_is("away")
    course.end(DONE)
    await course.aclose()
    assert {task.get_name() for task in asyncio.all_tasks()}.isdisjoint({"check_in", "end_interview"})
