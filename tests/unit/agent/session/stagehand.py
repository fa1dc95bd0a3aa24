# ruff: noqa: ANN401 - it stands for one of many types of livekit-agents, or for a double of one

"""A kept session without a server: real livekit-agents, a room and a desk that do as the test says, virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import AsyncMock

from livekit import rtc
from livekit.agents import Agent, AgentSession, NotGivenOr, llm, utils
from livekit.agents.testing import fake_job_context
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions
from livekit.agents.voice.room_io import RoomOptions

import roomkeeper
from roomkeeper.agent import line, local
from roomkeeper.agent.kept import KeptSession
from roomkeeper.agent.spool import Header
from roomkeeper.lifecycle.policy import Policy, plain
from roomkeeper.wire import link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from livekit.agents import JobContext

    from roomkeeper.agent.kept import Kept


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer when there is nothing to do."""

    def __init__(self) -> None:
        super().__init__(_Jumping(self))
        self.now = 1_000.0

    def time(self) -> float:
        return self.now


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            return super().select(0.05)
        self._loop.now += timeout
        return ready


class FakeDesk:
    """A desk whose control plane is the test."""

    def __init__(self, *, epoch: int = 0) -> None:
        self.lines: list[tuple[str, Mapping[str, Any]]] = []
        self.answer: link.Attached | link.Fenced | None = attached(epoch=max(epoch, 1))
        self.linked = True
        self.lapsed = False
        self.parent = line.Parent(url="http://127.0.0.1:9", token="t", linked=True)
        self.header = Header(
            job="AJ_1", room="tea", room_sid="RM_1", identity="agent-AJ_1", agent_name="tester", epoch=epoch
        )
        self.tell: Callable[[link.FromControl], None] = lambda _: None
        self.stood_still: Callable[[], None] | None = None
        self.attaches = 0
        self.over = asyncio.Event()

    def append(self, kind: str, data: Mapping[str, Any] | None = None) -> int:
        self.lines.append((kind, data or {}))
        return len(self.lines)

    async def attach(self, attach: link.Attach, within: float = 1.0) -> link.Attached | link.Fenced | None:
        self.attaches += 1
        return self.answer

    def listen(
        self, callback: Callable[[link.FromControl], None], stood_still: Callable[[], None] | None = None
    ) -> None:
        self.tell, self.stood_still = callback, stood_still

    def done(self) -> None:
        self.append("done")
        self.over.set()

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        """The data of all lines of one type."""
        return [data for each, data in self.lines if each == kind]

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.lines]


def attached(
    *, epoch: int = 1, resumed: bool = False, muted: bool = False, check_ins: int = 0, policy: Policy | None = None
) -> link.Attached:
    """What the control plane answers."""
    return link.Attached(
        job="AJ_1",
        epoch=epoch,
        session="S_1",
        state={"v": 1, "seq": 4, "state": "live"},
        policy=plain(policy or Policy()),
        resumed=resumed,
        muted=muted,
        check_ins=check_ins,
        metadata="of the app",
    )


def person(identity: str, kind: rtc.ParticipantKind.ValueType = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD) -> Any:
    """Somebody in the room."""
    made = rtc.RemoteParticipant.__new__(rtc.RemoteParticipant)
    made._info = SimpleNamespace(  # type: ignore[assignment]
        sid=f"PA_{identity}", identity=identity, kind=kind, disconnect_reason=None, attributes={}, name="", metadata=""
    )
    made._track_publications = {}
    return made


class FakeRoom(rtc.EventEmitter[str]):
    """A room in which the test moves people."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "tea"
        self.metadata = ""
        self.connected = True
        self.remote_participants: dict[str, Any] = {}
        self.handlers: dict[str, Any] = {}
        self.local_participant = SimpleNamespace(
            sid="PA_agent",
            name="",
            kind=rtc.ParticipantKind.PARTICIPANT_KIND_AGENT,
            metadata="",
            identity="agent-AJ_1",
            attributes={},
            track_publications={},
            set_attributes=AsyncMock(),
            stream_text=AsyncMock(),
            send_text=AsyncMock(),
            publish_transcription=AsyncMock(),
        )
        self.simulate_scenario = AsyncMock()

    def isconnected(self) -> bool:
        return self.connected

    def register_text_stream_handler(self, topic: str, handler: Any) -> None:
        self.handlers[topic] = handler

    def unregister_text_stream_handler(self, topic: str) -> None:
        del self.handlers[topic]

    async def disconnect(self) -> None:
        if self.connected:
            self.connected = False
            self.emit("disconnected", rtc.DisconnectReason.CLIENT_INITIATED)

    def joins(self, participant: Any) -> None:
        self.remote_participants[participant.identity] = participant
        self.emit("participant_connected", participant)

    def leaves(self, participant: Any, reason: rtc.DisconnectReason.ValueType) -> None:
        del self.remote_participants[participant.identity]
        participant._info.disconnect_reason = reason
        self.emit("participant_disconnected", participant)

    def writes(self, identity: str, text: str) -> None:
        """Somebody writes into the chat."""
        reader = SimpleNamespace(info=None, read_all=AsyncMock(return_value=text))
        self.handlers["lk.chat"](reader, identity)


class FakeLLM(llm.LLM[str]):
    """Answers with what it was given, in order; then with "Mhm."."""

    def __init__(self, *answers: str | llm.FunctionToolCall) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[llm.ChatContext] = []

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> llm.LLMStream:
        self.asked.append(chat_ctx.copy())
        answer = self.answers.pop(0) if self.answers else "Mhm."
        return _Stream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options, answer=answer)


class _Stream(llm.LLMStream):
    def __init__(self, *args: Any, answer: str | llm.FunctionToolCall, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answer = answer

    async def _run(self) -> None:
        if isinstance(self._answer, str):
            delta = llm.ChoiceDelta(role="assistant", content=self._answer)
        else:
            delta = llm.ChoiceDelta(role="assistant", tool_calls=[self._answer])
        self._event_ch.send_nowait(llm.ChatChunk(id=utils.shortuuid("fake_"), delta=delta))


def call(name: str, arguments: str = "{}") -> llm.FunctionToolCall:
    """A tool call of the model."""
    return llm.FunctionToolCall(name=name, arguments=arguments, call_id=utils.shortuuid("call_"))


class Show:
    """One kept session on its stage."""

    def __init__(self, ctx: JobContext, desk: FakeDesk, room: FakeRoom, model: FakeLLM) -> None:
        self.ctx, self.desk, self.room, self.model = ctx, desk, room, model
        self.session: AgentSession[Any] = AgentSession(llm=model, vad=None, turn_handling={"turn_detection": "manual"})
        self.shut_down: list[str] = []
        self.kept: Kept | None = None
        ctx._on_shutdown = self.shut_down.append

    async def start(self, agent: Any, **arguments: Any) -> Kept:
        arguments.setdefault("room_options", RoomOptions(audio_input=False, audio_output=False))
        self.kept = await roomkeeper.start(
            self.session,
            agent=agent,
            room=cast("rtc.Room", self.room),
            session_host=False,
            record=False,
            **arguments,
        )
        return self.kept

    def heard(self) -> str:
        """Everything that was played."""
        return "".join(data["text"] for data in self.desk.of("heard"))

    async def until(self, true: Callable[[], object], within: float = 600.0) -> None:
        """Let time pass until something is so."""
        async with asyncio.timeout(within):
            while not true():
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def show(*answers: str | llm.FunctionToolCall, epoch: int = 0, people: Sequence[Any] = ()) -> AsyncIterator[Show]:
    """Set a stage, with people in the room already."""
    room = FakeRoom()
    for each in people:
        room.remote_participants[each.identity] = each
    with fake_job_context(room=room) as ctx:  # type: ignore[arg-type]
        desk = FakeDesk(epoch=epoch)
        local._desks[ctx] = desk  # type: ignore[assignment]
        made = Show(ctx, desk, room, FakeLLM(*answers))
        try:
            yield made
        finally:
            if isinstance(made.kept, KeptSession):
                stage = made.kept._stage
                stage.journal.close()
                await stage.aclose()
                await made.session.aclose()
                await stage.aclose()
            ctx._tempdir.cleanup()


class Talker(Agent):
    """An agent that greets."""

    def __init__(self) -> None:
        super().__init__(instructions="Talk.")

    async def on_enter(self) -> None:
        self.session.say("Hello and welcome.")
