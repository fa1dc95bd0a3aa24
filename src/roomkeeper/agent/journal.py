"""What a job writes into its spool: everything that a successor, or the report, needs to know.

1. Every hook runs in the event loop and writes at once: what was written survives a SIGKILL. Together they take some
   microseconds for a line (`Journal.spent`).
2. No hook ever raises into the conversation.
3. Items are journaled by the history itself, since some enter it without an event; `docs/agent-link.md` has the lines.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import time
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet

from livekit import rtc
from livekit.agents import (
    AgentStateChangedEvent,
    CloseEvent,
    ConversationItemAddedEvent,
    ErrorEvent,
    SessionUsageUpdatedEvent,
    ToolExecutionUpdatedEvent,
    UserInputTranscribedEvent,
    UserStateChangedEvent,
)
from livekit.agents.llm import AgentHandoff, ChatItem, ChatMessage
from livekit.agents.voice.events import ToolCallEnded, ToolCallStarted
from livekit.agents.voice.io import TextOutput
from pydantic_core import PydanticSerializationError

from roomkeeper.agent import internals
from roomkeeper.agent.stage import linked_identity

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping

    from livekit.agents import Agent, AgentSession

log = logging.getLogger("roomkeeper.agent")

_AT_ONCE: Final = 120
"""Characters of generated text that wait for the end of their sentence before they are written."""
_SENTENCE: Final = re.compile(r"[.!?…:;]\s*$")


class Spool(Protocol):
    """Where lines go; the desk of the job is one."""

    def append(self, kind: str, data: Mapping[str, Any] | None = None) -> int:
        """Write a line and return its number."""
        ...


class Codec(Protocol):
    """How an application's userdata is written down, so that another agent can go on with it."""

    version: int
    """Of what `dump` writes; `load` is given it."""

    def dump(self, userdata: Any) -> Any:  # noqa: ANN401 - the application's own
        """Return the userdata as JSON."""
        ...

    def load(self, version: int, value: Any) -> Any:  # noqa: ANN401 - the application's own
        """Return the userdata that some version of `dump` wrote."""
        ...


class Journal:
    """Writes down what happens to one session.

    Args:
        spool: Where to.
        session: The session, before its start.
        room: The room, before the job is in it.
        codec: For the userdata; None: it is not kept.

    Attributes:
        tools: Ids of the tool calls that run now.
        spent: Nanoseconds spent in hooks so far.
        lines: Written so far.
        open: False once nothing more is to be written.
    """

    def __init__(self, spool: Spool, session: AgentSession[Any], room: rtc.Room, codec: Codec | None = None) -> None:
        self.tools: set[str] = set()
        self.spent = 0
        self.lines = 0
        self.open = True
        self._spool = spool
        self._session = session
        self._room = room
        self._codec = codec
        self._userdata = ""
        self._watched: WeakSet[Agent] = WeakSet()
        self._deaf = False
        self._segment = 0
        self._told_segment = -1
        self._usage: dict[str, Any] | None = None

    def write(self, kind: str, data: Mapping[str, Any] | None = None) -> None:
        """Write a line, unless the journal is closed."""
        if self.open:
            self.lines += 1
            self._spool.append(kind, data)

    def close(self) -> None:
        """Write nothing more: another agent goes on, or all is said."""
        self.open = False

    @contextlib.contextmanager
    def unheard(self) -> Iterator[None]:
        """Take items that other journals have into the history without writing them again."""
        self._deaf = True
        try:
            yield
        finally:
            self._deaf = False

    def attach(self, agent: Agent) -> None:
        """Watch everything there is to watch; call it before the start, with the history that was restored in place."""
        internals.watch_history(self._session, self._guarded(self._item))
        internals.watch_emit(self._session, self._guarded(self._event))
        self.watch_agent(agent)
        for event in _ROOM_EVENTS:
            self._room.on(event, self._room_handler(event))

    def watch_agent(self, agent: Agent) -> None:
        """Take down what an agent generates, before it is played."""
        if agent not in self._watched:
            self._watched.add(agent)
            internals.watch_text(agent, self._saying)

    def heard(self, next_in_chain: TextOutput | None) -> TextOutput:
        """Return the end of the chain of text outputs, to which the words come as they are played."""
        return _Heard(self._guarded(self._heard), self._next_segment, next_in_chain)

    def dump_userdata(self) -> None:
        """Write the userdata if it changed."""
        if self._codec is None:
            return
        try:
            userdata = self._session.userdata
        except ValueError:  # there is none
            return
        try:
            value = self._codec.dump(userdata)
            text = json.dumps(value)
        except Exception:
            log.exception("the userdata cannot be written down; correct its codec")
            return
        if text != self._userdata:
            self._userdata = text
            self.write("userdata", {"version": self._codec.version, "value": value})

    def _guarded(self, hook: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: object) -> None:
            began = time.perf_counter_ns()
            try:
                hook(*arguments)
            except Exception:
                log.exception("something could not be journaled")
            finally:
                self.spent += time.perf_counter_ns() - began

        return guarded

    def _item(self, item: ChatItem) -> None:
        if self._deaf:
            return
        if isinstance(item, ChatMessage) and item.role == "assistant":
            self._told_segment = self._segment
        self.write("item", {"item": written(item)})

    def _next_segment(self) -> None:
        self._segment += 1

    def _heard(self, text: str) -> None:
        if text and self._segment != self._told_segment:  # the last word may come after the item that holds them all
            self.write("heard", {"text": str(text)})

    async def _saying(self, text: AsyncIterable[str]) -> AsyncIterator[str]:
        self._next_segment()
        said = ""
        write = self._guarded(lambda: self.write("said", {"text": said}))
        try:
            async for chunk in text:
                said += chunk
                if len(said) >= _AT_ONCE or _SENTENCE.search(said):
                    write()
                    said = ""
                yield chunk
        finally:
            if said:
                write()

    def _event(self, event: object) -> None:
        match event:
            case UserStateChangedEvent():
                self.write("state", {"who": "user", "old": event.old_state, "new": event.new_state})
            case AgentStateChangedEvent():
                self.write("state", {"who": "agent", "old": event.old_state, "new": event.new_state})
                self.dump_userdata()
                if event.new_state == "listening":
                    self._write_usage()
            case UserInputTranscribedEvent(is_final=True) if event.transcript:
                linked = linked_identity(self._session)
                language = str(event.language) if event.language else None
                self.write("transcript", {"text": event.transcript, "identity": linked, "language": language})
            case ToolExecutionUpdatedEvent():
                self._tool(event)
            case ConversationItemAddedEvent(item=AgentHandoff() as handoff):
                self.write("agent", {"id": handoff.new_agent_id})
                self.watch_agent(self._session.current_agent)
            case SessionUsageUpdatedEvent():
                # Totals, several times a turn: the last ones are written when the turn is over.
                self._usage = {"models": [each.model_dump(mode="json") for each in event.usage.model_usage]}
            case ErrorEvent():
                recoverable = bool(getattr(event.error, "recoverable", False))
                source = str(getattr(event.error, "type", type(event.source).__name__))
                error = getattr(event.error, "error", event.error)
                self.write("error", {"source": source, "error": repr(error), "recoverable": recoverable})
            case CloseEvent():
                self._write_usage()
                error = event.error.type if event.error is not None else None
                self.write("close", {"reason": event.reason.value, "error": error})
            case _:
                pass  # metrics of no use to a successor

    def _write_usage(self) -> None:
        if self._usage is not None:
            self.write("usage", self._usage)
            self._usage = None

    def _tool(self, event: ToolExecutionUpdatedEvent) -> None:
        match event.update:
            case ToolCallStarted(function_call=call):
                self.tools.add(call.call_id)
                self.write("tool_started", {"call_id": call.call_id, "name": call.name, "arguments": call.arguments})
            case ToolCallEnded() as ended:
                self.tools.discard(ended.call_id)
                self.write(
                    "tool_ended",
                    {"call_id": ended.call_id, "output": ended.message, "is_error": ended.status != "done"},
                )
                self.dump_userdata()
            case _:
                pass  # progress that the model voices itself, and then it is an item

    def _room_handler(self, event: str) -> Callable[..., None]:
        def told(*arguments: object) -> None:
            self.write("room", {"event": event} | _described(arguments))

        # A handler with *args gets all of them; what it is told differs from event to event.
        return self._guarded(told)


def written(item: ChatItem) -> dict[str, Any]:
    """Return an item as its line has it: pictures and sound are left out, of which words are kept.

    A frame of video has megabytes, and half of one would not even be an item any more.
    """
    if isinstance(item, ChatMessage) and any(not isinstance(part, str) for part in item.content):
        item = item.model_copy(update={"content": [text for part in item.content if (text := _words(part))]})
    try:
        return item.model_dump(mode="json", exclude_none=True)
    except PydanticSerializationError:  # something of a plugin's, or of the application's
        return item.model_dump(mode="json", exclude_none=True, exclude={"extra"})


def _words(part: object) -> str | None:
    return part if isinstance(part, str) else getattr(part, "transcript", None)


_ROOM_EVENTS: Final = (
    "participant_connected",
    "participant_disconnected",
    "disconnected",
    "reconnecting",
    "reconnected",
    "track_published",
    "track_unpublished",
    "track_subscribed",
    "track_unsubscribed",
    "track_subscription_failed",
    "track_muted",
    "track_unmuted",
    "local_track_published",
    "local_track_subscribed",
    "moved",
)


def _described(arguments: tuple[object, ...]) -> dict[str, Any]:
    """What an event of the room was told with, raw reasons and all."""
    said: dict[str, Any] = {}
    for argument in arguments:
        match argument:
            case rtc.Participant():
                said |= {"identity": argument.identity, "sid": argument.sid}
                if isinstance(argument, rtc.RemoteParticipant):
                    said["kind"] = rtc.ParticipantKind.Name(argument.kind).removeprefix("PARTICIPANT_KIND_")
                    if argument.disconnect_reason is not None:
                        said["reason"] = rtc.DisconnectReason.Name(argument.disconnect_reason)
            case rtc.TrackPublication():
                said |= {"track": argument.sid, "source": rtc.TrackSource.Name(argument.source)}
            case int():  # the reason of `disconnected`
                said["reason"] = rtc.DisconnectReason.Name(argument)  # type: ignore[arg-type]
            case str():
                said["detail"] = argument
            case _:
                pass
    return said


class _Heard(TextOutput):
    """Takes down the words as they are played: the last output of the chain, synchronized with the audio."""

    def __init__(
        self, heard: Callable[[str], None], over: Callable[[], None], next_in_chain: TextOutput | None
    ) -> None:
        super().__init__(label="Roomkeeper", next_in_chain=next_in_chain)
        self._take = heard
        self._over = over

    async def capture_text(self, text: str) -> None:
        self._take(text)
        if self.next_in_chain is not None:
            await self.next_in_chain.capture_text(text)

    def flush(self) -> None:
        self._over()
        if self.next_in_chain is not None:
            self.next_in_chain.flush()
