# ruff: noqa: ANN401 - it stands for one of many types of livekit-agents, or for a double of one

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from livekit.agents import Agent, RunContext, function_tool
from livekit.agents.llm import FunctionCall, FunctionCallOutput

from roomkeeper.agent import line
from roomkeeper.agent.resumed import SORRY, WORDS
from roomkeeper.wire import link
from tests.unit.agent.session.stagehand import Show, Talker, attached, person, show

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import roomkeeper

START = 1_795_245_000_000


class Book:
    """The journal of a session, as the control plane serves it."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []

    def add(self, kind: str, data: dict[str, Any], *, job: str = "AJ_0") -> None:
        line = len(self.lines) + 1
        self.lines.append(
            {"line": line, "epoch": 1, "job": job, "seq": line, "at": START + line * 1000, "type": kind, "data": data}
        )

    def message(self, role: str, text: str, **more: Any) -> None:
        number = len(self.lines) + 1
        item = {"id": f"item_{number}", "type": "message", "role": role, "content": [text]}
        self.add("item", {"item": item | {"created_at": START / 1000 + number} | more})

    async def serve(self, request: web.Request) -> web.Response:
        self.asked.append({**request.query, "authorization": request.headers["Authorization"]})
        after, limit = int(request.query["after"]), 2
        lines = self.lines[after : after + limit]
        more = after + limit < len(self.lines)
        return web.json_response({"lines": lines, "next": lines[-1]["line"] if more else None})


@asynccontextmanager
async def replaced(book: Book, *answers: Any, muted: bool = False, people: Any = None) -> AsyncIterator[Show]:
    """The stage of a second agent."""
    app = web.Application()
    app.router.add_get("/api/sessions/S_1/journal", book.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        async with show(*answers, epoch=2, people=[person("ada")] if people is None else people) as stage:
            stage.desk.parent = line.Parent(url=f"http://127.0.0.1:{port}", token="secret", linked=True)
            stage.desk.answer = attached(epoch=2, resumed=True, muted=muted)
            yield stage
    finally:
        await runner.cleanup()


async def test_a_resumed_agent_has_the_conversation_and_does_not_greet() -> None:
    book = Book()
    book.add("agent", {"id": "talker"})
    book.message("assistant", "Hello and welcome. What is your name?")
    book.message("user", "Ada.")
    book.message("assistant", "Nice to meet you, Ada.")
    async with replaced(book) as stage:
        kept = await stage.start(Talker)
        await stage.until(stage.heard)
        texts = [item.text_content for item in stage.session.history.messages()]
    assert kept.resumed
    assert stage.heard() == WORDS
    assert texts[:3] == ["Hello and welcome. What is your name?", "Ada.", "Nice to meet you, Ada."]
    assert stage.model.asked == []
    assert book.asked[0]["authorization"] == "Bearer secret"
    assert len(book.asked) == 2  # page by page
    assert [data["item"]["id"] for data in stage.desk.of("item") if data["item"]["id"] == "item_2"] == []


async def test_a_question_that_was_not_answered_is_answered() -> None:
    book = Book()
    book.message("assistant", "Hello.")
    book.message("user", "What time is it?")
    async with replaced(book, "It is four.") as stage:
        await stage.start(Talker)
        await stage.until(stage.heard)
    assert stage.heard() == "It is four."
    last = [item for item in stage.model.asked[0].messages() if item.role == "user"][-1]
    assert last.text_content == "What time is it?"


async def test_a_sentence_that_was_cut_off_is_said_from_its_beginning() -> None:
    book = Book()
    book.message("user", "Go on.")
    book.add("said", {"text": "Very good. Now tell me about a project you are proud of."})
    book.add("heard", {"text": "Very good. "})
    book.add("heard", {"text": "Now tell me"})
    async with replaced(book) as stage:
        await stage.start(Talker)
        await stage.until(lambda: "proud" in stage.heard())
        cut = next(item for item in stage.session.history.messages() if item.interrupted)
    assert stage.heard() == f"{SORRY} Now tell me about a project you are proud of."
    assert cut.text_content == "Very good. Now tell me"
    assert next(data["item"]["id"] for data in stage.desk.of("item")) == "heard_AJ_0_3"
    assert stage.model.asked == []


async def test_a_tool_that_was_cut_off_is_closed_with_an_unknown_outcome() -> None:
    class Payer(Agent):
        def __init__(self) -> None:
            super().__init__(instructions="Pay.")

        @function_tool
        async def pay(self, context: RunContext[Any]) -> str:
            """Pay."""
            raise AssertionError("it must not run again by itself")

    book = Book()
    book.message("user", "Please pay.")
    book.add("tool_started", {"call_id": "call_1", "name": "pay", "arguments": "{}"})
    async with replaced(book, "I am checking whether that was paid.") as stage:
        await stage.start(Payer)
        await stage.until(stage.heard)
    items = stage.model.asked[0].items
    (called,) = [item for item in items if isinstance(item, FunctionCall)]
    (output,) = [item for item in items if isinstance(item, FunctionCallOutput)]
    assert (called.name, called.call_id, output.call_id, output.is_error) == ("pay", "call_1", "call_1", True)
    assert "unknown" in output.output


async def test_nothing_to_resume_is_a_beginning() -> None:
    book = Book()
    book.add("started", {"agent": "talker"})
    async with replaced(book) as stage:
        kept = await stage.start(Talker)
        await stage.until(stage.heard)
    assert not kept.resumed
    assert stage.heard() == "Hello and welcome."


async def test_on_resume_is_given_what_happened() -> None:
    given: list[roomkeeper.Resumed] = []

    class Host(Talker):
        async def on_resume(self, resumed: roomkeeper.Resumed) -> None:
            given.append(resumed)
            self.session.say("Back again.")

    book = Book()
    book.message("user", "Hi.")
    book.message("assistant", "Hello.")
    async with replaced(book) as stage:
        await stage.start(Host)
        await stage.until(stage.heard)
    assert stage.heard() == "Back again."
    (resumed,) = given
    assert (resumed.epoch, resumed.unsaid) == (2, "")
    assert [item.text_content for item in resumed.history.messages()] == ["Hi.", "Hello."]


async def test_the_agent_that_was_in_charge_goes_on_with_its_userdata() -> None:
    class Closer(Agent):
        def __init__(self) -> None:
            super().__init__(instructions="Close.")

    class Codec:
        version = 2

        def dump(self, userdata: dict[str, int]) -> dict[str, int]:
            return userdata

        def load(self, version: int, value: dict[str, int]) -> dict[str, int]:
            return {**value, "read": version}

    book = Book()
    for agent in ("talker", "closer"):
        book.add("agent", {"id": agent})
    book.add("userdata", {"version": 1, "value": {"asked": 3}})
    book.message("assistant", "Almost done.")
    async with replaced(book) as stage:
        await stage.start(Talker, agents=[Closer], userdata=Codec())
        assert type(stage.session.current_agent) is Closer
        assert stage.session.userdata == {"asked": 3, "read": 1}


async def test_a_successor_waits_for_its_turn_and_then_knows_what_was_said_meanwhile() -> None:
    book = Book()
    book.message("assistant", "Hello. What is your name?")
    async with replaced(book, "Nice to meet you, Ada.", muted=True) as stage:
        await stage.start(Talker)
        stage.room.writes("ada", "Ada.")  # which the old agent still takes
        await stage.until(lambda: stage.desk.of("started"))
        book.message("user", "Ada.", created_at=time.time())
        assert stage.heard() == ""
        stage.desk.tell(link.Unmute(job="AJ_1"))
        await stage.until(stage.heard)
        texts = [item.text_content for item in stage.session.history.messages()]
    assert stage.heard() == "Nice to meet you, Ada."
    assert texts[:2] == ["Hello. What is your name?", "Ada."]
    assert len(stage.model.asked) == 1


async def test_a_successor_whose_user_has_nothing_to_hear_says_nothing() -> None:
    book = Book()
    book.message("assistant", "Hello. What is your name?")
    async with replaced(book, "Nice to meet you, Ada.", muted=True) as stage:
        await stage.start(Talker)
        stage.desk.tell(link.Unmute(job="AJ_1"))
        await stage.until(lambda: len(book.asked) > 1)
        await stage.until(lambda: not stage.kept._stage.silence)  # type: ignore[union-attr]
        assert stage.heard() == ""
        stage.room.writes("ada", "Ada.")
        await stage.until(stage.heard)
    assert stage.heard() == "Nice to meet you, Ada."


async def test_resumed_into_an_empty_room_it_waits_for_the_user_to_return() -> None:
    book = Book()
    book.message("assistant", "What is your name?")
    async with replaced(book, "You are back. What is your name?", people=[]) as stage:
        await stage.start(Talker)
        await stage.until(lambda: stage.desk.of("started"))
        assert stage.heard() == ""
        stage.room.joins(person("ada"))
        await stage.until(stage.heard)
    assert stage.heard() == "You are back. What is your name?"
    assert len(stage.model.asked) == 1


async def test_what_nobody_took_during_a_hand_over_is_taken_after_it() -> None:
    book = Book()
    book.message("assistant", "Hello. What is your name?")
    async with replaced(book, "Nice to meet you, Ada.", muted=True) as stage:
        await stage.start(Talker)
        stage.room.writes("ada", "Ada.")
        await stage.until(lambda: stage.desk.of("started"))
        stage.desk.tell(link.Unmute(job="AJ_1"))
        await stage.until(stage.heard)
    assert stage.heard() == "Nice to meet you, Ada."


async def test_what_the_agent_before_has_not_finished_is_not_closed_for_it_in_a_hand_over() -> None:
    class Codec:
        version = 1

        def dump(self, userdata: Any) -> Any:
            return userdata

        def load(self, version: int, value: Any) -> Any:
            return value

    book = Book()
    book.message("user", "Tell me about the sea.")
    book.add("userdata", {"version": 1, "value": {"asked": 1}})
    book.add("said", {"text": "The sea is wide and deep."})
    book.add("heard", {"text": "The sea"})
    book.add("tool_started", {"call_id": "call_1", "name": "look_up", "arguments": "{}"})
    async with replaced(book, muted=True) as stage:
        await stage.start(Talker, userdata=Codec())
        assert {data["item"]["type"] for data in stage.desk.of("item")} <= {"agent_handoff", "agent_config_update"}
        book.add("userdata", {"version": 1, "value": {"asked": 2}})
        book.add("tool_ended", {"call_id": "call_1", "output": "blue", "is_error": False})
        book.message("assistant", "The sea is wide and deep.")
        stage.desk.tell(link.Unmute(job="AJ_1"))
        await stage.until(lambda: not stage.kept._stage.silence)  # type: ignore[union-attr]
        items = stage.session.history.items
        texts = [item.text_content for item in stage.session.history.messages()]
        outputs = [item.output for item in items if isinstance(item, FunctionCallOutput)]
        assert stage.session.userdata == {"asked": 2}
    assert texts == ["Tell me about the sea.", "The sea is wide and deep."]
    assert outputs == ["blue"]


async def test_what_was_cut_off_because_nobody_paused_is_said_by_the_successor() -> None:
    book = Book()
    book.message("user", "Go on.")
    book.add("said", {"text": "Very good. Now tell me about a project you are proud of."})
    book.add("heard", {"text": "Very good. Now tell"})
    async with replaced(book, muted=True) as stage:
        await stage.start(Talker)
        stage.desk.tell(link.Unmute(job="AJ_1"))
        await stage.until(lambda: "proud" in stage.heard())
    assert stage.heard() == "Now tell me about a project you are proud of."
    assert stage.model.asked == []


async def test_a_talk_that_was_handed_on_while_a_successor_waited_goes_on_with_the_new_agent() -> None:
    class Other(Agent):
        def __init__(self) -> None:
            super().__init__(instructions="Help.")

        async def on_enter(self) -> None:
            self.session.say("I am new here.")

    class First(Talker):
        async def on_exit(self) -> None:
            self.session.say("I never was here.")

    book = Book()
    book.add("agent", {"id": "first"})
    book.message("assistant", "Hello.")
    async with replaced(book, "It is four.", muted=True) as stage:
        await stage.start(First, agents=[Other])
        book.add("agent", {"id": "other"})
        book.message("user", "What time is it?")
        stage.desk.tell(link.Unmute(job="AJ_1"))
        await stage.until(stage.heard)
        assert stage.session.current_agent.id == "other"
    assert stage.heard() == "It is four."
    asked = [item.text_content for item in stage.model.asked[0].messages() if item.role == "user"]
    assert asked == ["What time is it?"]


async def test_a_successor_whose_turn_never_comes_leaves_at_once() -> None:
    book = Book()
    book.message("assistant", "Hello.")
    async with replaced(book, muted=True) as stage:
        await stage.start(Talker)
        stage.desk.tell(link.Fenced(job="AJ_1", why="another one was quicker"))
        await stage.until(lambda: stage.shut_down)
        async with asyncio.timeout(1):
            await stage.session.aclose()
    assert stage.heard() == ""


async def test_an_agent_to_which_the_talk_is_handed_back_enters_as_it_always_did() -> None:
    class Other(Agent):
        def __init__(self) -> None:
            super().__init__(instructions="Help.")

    book = Book()
    book.message("assistant", "Hello.")
    async with replaced(book) as stage:
        await stage.start(Talker, agents=[Other])
        await stage.until(stage.heard)
        talker = stage.session.current_agent
        stage.session.update_agent(Other())
        await stage.until(lambda: stage.session.current_agent is not talker)
        stage.session.update_agent(talker)
        await stage.until(lambda: stage.heard() != WORDS)
        await stage.until(lambda: stage.session.agent_state == "listening")
    assert stage.heard() == f"{WORDS}Hello and welcome."


async def test_where_the_journal_cannot_be_read_nobody_is_greeted_all_the_same() -> None:
    async with replaced(Book()) as stage:
        stage.desk.parent = line.Parent(url="http://127.0.0.1:9", token="secret", linked=True)
        kept = await stage.start(Talker)
        await stage.until(stage.heard)
    assert kept.resumed
    assert stage.heard() == WORDS
