"""What an agent takes over: the conversation as the journal of the agents before it tells it.

1. The chat items are the conversation. What never became an item is made one: the words of a sentence that were heard
   before its speaker died, a user's words that nobody took up, the output of a tool that nobody waited for.
2. What is made here has the same id whoever makes it, so that a third agent does not make it again.
3. A tool call without an output is dropped from every model's prompt, and the model may call again. It is closed with
   an error that says that the outcome is unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from livekit.agents.llm import ChatContext, ChatItem, ChatMessage, FunctionCall, FunctionCallOutput
from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UNKNOWN_OUTCOME: Final = (
    "The outcome is unknown: the connection was lost while this ran. "
    "Do not run it again before you have found out whether it took effect."
)

_ITEM: Final[TypeAdapter[ChatItem]] = TypeAdapter(ChatItem)
_SENTENCE: Final = re.compile(r"(?<=[.!?…])\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What earlier agents of the session left.

    Attributes:
        items: The conversation in the order of time, every tool call closed.
        made: Those of the items that no journal has.
        agents: Ids of the agents that were in charge, the last one last.
        userdata: Version and value that the codec wrote last; None if it wrote none.
        unanswered: True if it is the agent's turn: the user, or a tool, was not answered.
        unsaid: Of a sentence that was cut off while it was spoken, the words from its beginning on; else empty.
    """

    items: tuple[ChatItem, ...] = ()
    made: tuple[ChatItem, ...] = ()
    agents: tuple[str, ...] = ()
    userdata: tuple[int, Any] | None = None
    unanswered: bool = False
    unsaid: str = ""

    @property
    def begun(self) -> bool:
        """Whether anything was said that a resumed agent could go on from."""
        return any(isinstance(item, ChatMessage) and item.role in {"user", "assistant"} for item in self.items)

    @property
    def journaled(self) -> Past:
        """The same without what was made: the agent before lives, and goes on with what it has not finished."""
        made = {item.id for item in self.made}
        return replace(self, items=tuple(item for item in self.items if item.id not in made), made=())

    @property
    def history(self) -> ChatContext:
        """All items, as `AgentSession.history` holds them."""
        return ChatContext(list(self.items))

    @property
    def conversation(self) -> ChatContext:
        """What the agent in charge goes by: without the instructions, which it has, and without hand-offs."""
        return self.history.copy(exclude_instructions=True, exclude_handoff=True, exclude_config_update=True)


@dataclass(slots=True)
class _Voice:
    """What one job had said and heard when its journal stops."""

    said: str = ""
    heard: str = ""
    heard_at: float = 0.0
    heard_id: str = ""
    last_spoken: str = ""
    user: list[str] = field(default_factory=list)
    user_at: float = 0.0
    user_id: str = ""


@dataclass(slots=True)
class _Call:
    name: str
    arguments: str
    at: float
    output: str | None = None
    is_error: bool = False


class Reader:
    """Reads lines of the journal, of all epochs, in the order in which they were stored."""

    def __init__(self) -> None:
        self._items: dict[str, ChatItem] = {}
        self._voices: dict[str, _Voice] = {}
        self._calls: dict[str, _Call] = {}
        self._agents: list[str] = []
        self._userdata: tuple[int, Any] | None = None

    def read(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Take the next lines, as the control plane gives them; what cannot be read is passed over."""
        for line in lines:
            data = line.get("data") or {}
            job = str(line.get("job", ""))
            voice = self._voices.setdefault(job, _Voice())
            at = float(line.get("at") or 0) / 1000
            match line.get("type"):
                case "item":
                    self._item(data.get("item"), voice, job)
                case "said":
                    voice.said += str(data.get("text", ""))
                case "heard":
                    if not voice.heard:
                        voice.heard_at, voice.heard_id = at, f"heard_{line.get('job')}_{line.get('seq')}"
                    voice.heard += str(data.get("text", ""))
                case "transcript":
                    if not voice.user:
                        voice.user_at, voice.user_id = at, f"transcript_{line.get('job')}_{line.get('seq')}"
                    voice.user.append(str(data.get("text", "")))
                case "tool_started":
                    self._calls[str(data.get("call_id"))] = _Call(
                        str(data.get("name", "")), str(data.get("arguments", "")), at
                    )
                case "tool_ended":
                    if (call := self._calls.get(str(data.get("call_id")))) is not None:
                        call.output, call.is_error = str(data.get("output") or ""), bool(data.get("is_error"))
                case "agent":
                    self._agents.append(str(data.get("id")))
                case "userdata":
                    self._userdata = (int(data.get("version") or 0), data.get("value"))
                case _:
                    pass  # evidence, of no use to an agent

    def past(self) -> Past:
        """Put together what was read."""
        made: list[ChatItem] = []
        unsaid = ""
        for voice in self._voices.values():
            if words := " ".join(voice.user).strip():
                made.append(ChatMessage(id=voice.user_id, role="user", content=[words], created_at=voice.user_at))
            heard = voice.heard_id not in self._items and voice.heard.strip()
            if heard and _plain(heard) not in _plain(voice.last_spoken):
                made.append(
                    ChatMessage(
                        id=voice.heard_id,
                        role="assistant",
                        content=[heard],
                        interrupted=True,
                        created_at=voice.heard_at,
                    )
                )
                unsaid = _rest(voice.said, heard)
        made += self._closed_calls()
        made = [item for item in made if item.id not in self._items]
        items = sorted([*self._items.values(), *made], key=lambda item: item.created_at)
        last = _last(items)
        cut_off = isinstance(last, ChatMessage) and last.role == "assistant" and last.interrupted
        return Past(
            items=tuple(items),
            made=tuple(made),
            agents=tuple(self._agents),
            userdata=self._userdata,
            unanswered=isinstance(last, FunctionCallOutput) or (isinstance(last, ChatMessage) and last.role == "user"),
            unsaid=unsaid if cut_off else "",
        )

    def _item(self, data: object, voice: _Voice, job: str) -> None:
        try:
            item = _ITEM.validate_python(data)
        except ValidationError:
            return
        self._items[item.id] = item
        if not isinstance(item, ChatMessage):
            return
        self._forget_made(item, job)
        if item.role == "assistant":
            voice.said = voice.heard = ""
            voice.last_spoken = item.text_content or ""
            if not item.interrupted:  # a user who interrupts has spoken, but the item comes after this one
                voice.user.clear()
        elif item.role == "user":
            voice.user.clear()

    def _forget_made(self, item: ChatMessage, job: str) -> None:
        """What a successor had made of the first lines of a spool is told by the item itself, once that arrived."""
        told = _plain(item.text_content or "")
        made = (f"heard_{job}_", f"transcript_{job}_")
        for known in [each for each in self._items.values() if each.id.startswith(made) and each.id != item.id]:
            if isinstance(known, ChatMessage) and known.role == item.role and _plain(known.text_content or "") in told:
                del self._items[known.id]

    def _closed_calls(self) -> list[ChatItem]:
        """Give every call an output."""
        calls = {item.call_id: item for item in self._items.values() if isinstance(item, FunctionCall)}
        closed = {item.call_id for item in self._items.values() if isinstance(item, FunctionCallOutput)}
        made: list[ChatItem] = []
        for call_id, call in self._calls.items():
            if call_id not in calls:
                item = FunctionCall(
                    id=f"call_{call_id}",
                    call_id=call_id,
                    name=call.name,
                    arguments=call.arguments or "{}",
                    created_at=call.at,
                )
                calls[call_id] = item
                made.append(item)
        for call_id, item in calls.items():
            if call_id in closed:
                continue
            known = self._calls.get(call_id)
            done = known is not None and known.output is not None
            made.append(
                FunctionCallOutput(
                    id=f"output_{call_id}",
                    call_id=call_id,
                    name=item.name,
                    output=known.output or "" if known is not None and done else UNKNOWN_OUTCOME,
                    is_error=known.is_error if known is not None and done else True,
                    created_at=item.created_at,
                )
            )
        return made


def _last(items: list[ChatItem]) -> ChatItem | None:
    """The item that says whose turn it is."""
    for item in reversed(items):
        if isinstance(item, FunctionCallOutput) or (
            isinstance(item, ChatMessage) and item.role in {"user", "assistant"}
        ):
            return item
    return None


def _rest(said: str, heard: str) -> str:
    """Of what was generated, the sentences from the one on in which the voice broke off."""
    sentences = _SENTENCE.split(said.strip())
    words_heard = len(heard.split())
    for number, sentence in enumerate(sentences):
        words = len(sentence.split())
        if words_heard < words:
            return " ".join(sentences[number:])
        words_heard -= words
    return ""


def _plain(text: str) -> str:
    return " ".join(text.split())
