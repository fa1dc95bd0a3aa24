from __future__ import annotations

from typing import Any

from livekit.agents.llm import ChatMessage, FunctionCall, FunctionCallOutput

from roomkeeper.agent.restore import Past, Reader

START = 1_795_245_000_000


def line(number: int, kind: str, job: str = "AJ_1", **data: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"line": number, "job": job, "seq": number, "at": START + number * 1000, "type": kind, "data": data}


def message(number: int, role: str, text: str, job: str = "AJ_1", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    item = {"id": f"item_{number}", "type": "message", "role": role, "content": [text]}
    return line(number, "item", job, item=item | {"created_at": START / 1000 + number} | more)


def past(*lines: dict[str, Any]) -> Past:
    reader = Reader()
    reader.read(lines)
    return reader.past()


def texts(found: Past) -> list[str]:
    return [item.text_content or "" for item in found.items if isinstance(item, ChatMessage)]


def test_items_come_in_the_order_of_time_with_ids_and_times() -> None:
    found = past(message(3, "assistant", "Hi Ada."), message(2, "user", "I am Ada."), message(1, "assistant", "Hello."))
    assert texts(found) == ["Hello.", "I am Ada.", "Hi Ada."]
    assert [item.id for item in found.items] == ["item_1", "item_2", "item_3"]
    assert found.items[0].created_at == START / 1000 + 1
    assert not found.unanswered


def test_an_item_that_is_written_again_has_its_last_words() -> None:
    found = past(message(1, "assistant", "Hello and welcome."), message(1, "assistant", "Hello", interrupted=True))
    assert texts(found) == ["Hello"]


def test_heard_words_become_a_message_whoever_reads_them() -> None:
    lines = (
        message(1, "user", "Go on."),
        line(2, "said", text="It is late. Shall we stop?"),
        line(3, "heard", text="It is late."),
        line(4, "heard", text=" Shall"),
    )
    first = past(*lines)
    (made,) = first.made
    assert isinstance(made, ChatMessage)
    assert (made.text_content, made.interrupted, first.unsaid) == ("It is late. Shall", True, "Shall we stop?")
    written = line(5, "item", "AJ_2", item=made.model_dump(mode="json", exclude_none=True))
    second = past(*lines, written, message(6, "assistant", "Shall we stop?", "AJ_2"))
    assert second.made == ()
    assert texts(second) == ["Go on.", "It is late. Shall", "Shall we stop?"]
    assert second.unsaid == ""


def test_a_user_who_was_heard_but_not_taken_up_is_answered() -> None:
    found = past(
        message(1, "assistant", "And you?"), line(2, "transcript", text="I am"), line(3, "transcript", text="fine.")
    )
    assert texts(found) == ["And you?", "I am fine."]
    assert found.unanswered


def test_words_of_an_item_are_not_taken_twice() -> None:
    found = past(line(1, "transcript", text="I am fine."), message(2, "user", "I am fine."))
    assert texts(found) == ["I am fine."]


def test_a_call_without_an_output_gets_one_that_says_so() -> None:
    call = {"id": "item_1/fnc_0", "type": "function_call", "call_id": "call_1", "name": "pay", "arguments": "{}"}
    found = past(
        line(1, "tool_started", call_id="call_1", name="pay", arguments="{}"),
        line(2, "item", item=call | {"created_at": START / 1000 + 1}),
        line(3, "tool_started", call_id="call_2", name="ask", arguments="{}"),
        line(4, "tool_ended", call_id="call_2", output="yes", is_error=False),
    )
    calls = {item.call_id: item for item in found.items if isinstance(item, FunctionCall)}
    outputs = {item.call_id: item for item in found.items if isinstance(item, FunctionCallOutput)}
    assert calls.keys() == outputs.keys() == {"call_1", "call_2"}
    assert (outputs["call_1"].is_error, outputs["call_2"].is_error, outputs["call_2"].output) == (True, False, "yes")
    assert found.unanswered


def test_what_cannot_be_read_is_passed_over() -> None:
    found = past(
        line(1, "item", item={"type": "message", "role": "nobody"}),
        {"type": "item"},
        line(2, "unreadable"),
        message(3, "user", "Still here."),
    )
    assert texts(found) == ["Still here."]


def test_nothing_is_nothing() -> None:
    assert past() == Past()
    assert not past(line(1, "started")).begun


def test_an_hour_of_talk_is_whole() -> None:
    lines = [message(number, "user" if number % 2 else "assistant", "words " * 30) for number in range(2_000)]
    assert len(past(*lines).items) == 2_000


def test_what_a_successor_made_of_the_first_lines_is_dropped_once_the_whole_sentence_has_arrived() -> None:
    first = [line(1, "said", text="It is late. Shall we stop?"), line(2, "heard", text="It is late.")]
    made = past(*first).made
    lines = [*first, *(line(3, "item", "AJ_2", item=item.model_dump(mode="json")) for item in made)]
    lines += [message(4, "assistant", "It is late. Shall we stop?", interrupted=True)]
    found = past(*lines)
    assert texts(found) == ["It is late. Shall we stop?"]
    assert found.made == ()
