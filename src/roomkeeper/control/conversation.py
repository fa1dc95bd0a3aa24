"""The conversation as a report tells it, from the lines of the agents' spools. Pure.

1. Items keep the order in which they entered the history: agent by agent, line by line. An item that is written again
   (interrupted, say) keeps its place and gets its last words. A call and its result are one item.
2. A tool that began and never came back is there without an output; what an agent that died was saying is there as an
   interrupted message, if no successor has written it down as one. What a successor made up for the rest of a spool
   that had not come yet gives way to that rest, should it come after all.
3. Whatever a later SDK adds is passed on as it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from roomkeeper.lifecycle.state import stamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roomkeeper.lifecycle.events import Noted

_MADE: Final = re.compile(r"(?:heard|transcript)_(?P<job>.+)_\d+")
"""Ids of what a successor makes of lines that never became an item (`agent/restore.py`)."""
LATEST: Final = 253_402_300_799.0
"""Unix seconds; the end of the year 9999: what comes after is no time."""


@dataclass(slots=True)
class Conversation:
    """What was said and done.

    Attributes:
        items: The history, as the schema of the report has it.
        transcripts: What the speech recognition understood, also where no item came of it.
        errors: What models and plugins complained about.
        usage: The totals of each agent.
    """

    items: list[dict[str, Any]] = field(default_factory=list)
    transcripts: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    usage: list[dict[str, Any]] = field(default_factory=list)


def read(notes: Sequence[tuple[int, Noted]]) -> Conversation:
    """Read the lines of all agents.

    Args:
        notes: In order: epoch by epoch, and as each job wrote them; each with the number of its epoch.
    """
    reading = _Reading()
    for epoch, note in notes:
        reading.take(epoch, note)
    reading.leave_agent()
    return reading.told


@dataclass(slots=True)
class _Reading:
    """Goes through the lines once."""

    told: Conversation = field(default_factory=Conversation)
    by_id: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    heard_at: int | None = None
    epoch: int = 0
    jobs: dict[str, int] = field(default_factory=dict)

    def take(self, epoch: int, note: Noted) -> None:
        """Take one line."""
        self.jobs[note.job] = epoch
        if epoch != self.epoch:
            # What the last agent had not finished saying, its successor has written down as an item of its own.
            self.epoch, self.heard, self.heard_at = epoch, [], None
        data, at = note.data, _milliseconds(note.said_at if note.said_at is not None else note.at)
        match note.what:
            case "item":
                self._item(data, at)
            case "heard":
                self.heard.append(str(data.get("text", "")))
                self.heard_at = note.said_at if note.said_at is not None else note.at
            case "tool_started":
                self._started(data, at)
            case "tool_ended":
                self._ended(str(data.get("call_id", "")), data, at)
            case "transcript":
                words = {"text": str(data.get("text", "")), "identity": data.get("identity")}
                self.told.transcripts.append({"epoch": epoch, "at": at, **words, "language": data.get("language")})
            case "error":
                what = {"source": data.get("source"), "error": data.get("error", data.get("message"))}
                recoverable = bool(data.get("recoverable"))
                self.told.errors.append({"epoch": epoch, "at": at, **what, "recoverable": recoverable})
            case "usage":
                # Each line has the totals so far.
                self.told.usage = [each for each in self.told.usage if each["epoch"] != epoch]
                self.told.usage.append({**data, "epoch": epoch})
            case _:
                pass

    def leave_agent(self) -> None:
        """Keep what the last agent was saying when it died."""
        text = "".join(self.heard).strip()
        if text:
            at = None if self.heard_at is None else _milliseconds(self.heard_at)
            said = {"role": "assistant", "text": text, "interrupted": True}
            self.told.items.append({"type": "message", "epoch": self.epoch, "id": None, "at": at, **said})

    def _item(self, data: Mapping[str, Any], at: str | None) -> None:
        # A worker of another language may write the item without a wrapping.
        inner = data.get("item")
        item: Mapping[str, Any] = inner if isinstance(inner, dict) else data
        kind, made = str(item.get("type", "message")), _seconds(item.get("created_at")) or at
        match kind:
            case "function_call":
                self._started(item, made)
            case "function_call_output":
                self._ended(str(item.get("call_id", "")), item, made)
            case "message":
                told = _message(item, cut=data.get("cut"))
                if not self._came_after_all(str(item.get("id")), told):
                    self._put(item, made, told)
            case _:
                rest = {name: value for name, value in item.items() if name not in {"id", "type", "created_at"}}
                self._put(item, made, {"data": rest})

    def _came_after_all(self, name: str, made: Mapping[str, Any]) -> bool:
        """Whether a successor made this item of the first lines of a sentence that its predecessor's own item tells."""
        match = _MADE.fullmatch(name)
        epoch = self.jobs.get(match["job"]) if match else None
        words = _plain(made["text"])
        return epoch is not None and any(
            each["epoch"] == epoch and each.get("role") == made["role"] and words in _plain(each["text"])
            for each in self.told.items
        )

    def _put(self, item: Mapping[str, Any], at: str | None, told: Mapping[str, Any]) -> None:
        name = item.get("id")
        base = {"type": str(item.get("type", "message")), "epoch": self.epoch, "id": name, "at": at}
        if told.get("role") == "assistant":
            self.heard, self.heard_at = [], None
        if isinstance(name, str) and name in self.by_id:
            self.by_id[name].update(told)
            return
        line = base | dict(told)
        self.told.items.append(line)
        if isinstance(name, str):
            self.by_id[name] = line

    def _call(self, call: str, at: str | None) -> dict[str, Any]:
        if call not in self.calls:
            blank = {"name": None, "arguments": None, "output": None, "is_error": None, "ended_at": None}
            line = {"type": "tool_call", "epoch": self.epoch, "id": None, "at": at, "call_id": call, **blank}
            self.calls[call] = line
            self.told.items.append(line)
        return self.calls[call]

    def _started(self, data: Mapping[str, Any], at: str | None) -> None:
        line = self._call(str(data.get("call_id", "")), at)
        line["id"] = data.get("id", line["id"])
        line["name"] = data.get("name", line["name"])
        if "arguments" in data:
            line["arguments"] = _parsed(data["arguments"])

    def _ended(self, call: str, data: Mapping[str, Any], at: str | None) -> None:
        line = self._call(call, at)
        line["name"] = line["name"] or data.get("name")
        if line["ended_at"] is not None and line["epoch"] != self.epoch:
            return  # a successor that did not know closed it as "outcome unknown"
        line |= {"output": data.get("output"), "is_error": bool(data.get("is_error"))}
        line["ended_at"] = line["ended_at"] or at


def _message(item: Mapping[str, Any], *, cut: object) -> dict[str, Any]:
    content = item.get("content", item.get("text", ""))
    parts = content if isinstance(content, list) else [content]
    text = "\n".join(part if isinstance(part, str) else _spoken(part) for part in parts)
    told = {"role": str(item.get("role", "")), "text": text.strip(), "interrupted": bool(item.get("interrupted"))}
    return told | ({"cut": cut} if isinstance(cut, int) and cut else {})


def _spoken(part: object) -> str:
    """Return the words of audio content; pictures have none."""
    words = part.get("transcript") if isinstance(part, dict) else None
    return words if isinstance(words, str) else ""


def _plain(text: str) -> str:
    return " ".join(text.split())


def _parsed(arguments: object) -> object:
    """Return a tool's arguments as JSON where they are: models write them as text."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _seconds(at: object) -> str | None:
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= LATEST:
        return None
    return stamp(round(at * 1000))


def _milliseconds(at: int) -> str | None:
    return stamp(at) if 0 <= at <= LATEST * 1000 else None
