"""The conversation as the report tells it, from the lines that jobs really write (`docs/agent-link.md`)."""

from __future__ import annotations

from typing import Any

from roomkeeper.control.conversation import Conversation, read
from roomkeeper.lifecycle.events import Noted

AT = 1_800_000_000_000


def told(*lines: tuple[int, str, dict[str, Any]]) -> Conversation:
    """Read lines of `(epoch, type, data)`, a second apart."""
    return read(
        [
            (epoch, Noted(at=0, job=f"AJ_{epoch}", seq=seq, what=what, data=data, said_at=AT + seq * 1000))
            for seq, (epoch, what, data) in enumerate(lines, 1)
        ]
    )


def message(name: str, role: str, *content: object, **more: object) -> tuple[int, str, dict[str, Any]]:
    item = {"id": name, "type": "message", "role": role, "content": list(content), "created_at": AT / 1000}
    return 1, "item", {"item": item | more}


CALL = {"id": "item_c", "type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": '{"id": 7}'}
RESULT = {"id": "item_r", "type": "function_call_output", "call_id": "call_1", "output": "found", "is_error": False}
STARTED = (1, "tool_started", {"call_id": "call_1", "name": "look_up", "arguments": '{"id": 7}'})


def test_messages_have_their_words_and_the_time_that_livekit_gave_them() -> None:
    picture = {"type": "image_content"}
    spoken = {"type": "audio_content", "transcript": "out loud"}
    [item] = told(message("i1", "user", "hello", picture, spoken)).items
    assert item == {
        "type": "message",
        "epoch": 1,
        "id": "i1",
        "at": "2027-01-15T08:00:00.000Z",
        "role": "user",
        "text": "hello\n\nout loud",
        "interrupted": False,
    }


def test_an_item_that_is_written_again_keeps_its_place_and_gets_its_last_words() -> None:
    first, second = message("i1", "assistant", "Good mor"), message("i2", "user", "stop")
    again = message("i1", "assistant", "Good", interrupted=True)
    items = told(first, second, again).items
    assert [(item["id"], item["text"], item["interrupted"]) for item in items] == [
        ("i1", "Good", True),
        ("i2", "stop", False),
    ]


def test_a_call_and_its_result_are_one_item_however_often_they_are_told() -> None:
    ended = (1, "tool_ended", {"call_id": "call_1", "output": "found", "is_error": False})
    [item] = told(STARTED, ended, (1, "item", {"item": CALL}), (1, "item", {"item": RESULT})).items
    assert (item["type"], item["id"], item["name"]) == ("tool_call", "item_c", "look_up")
    assert (item["arguments"], item["output"], item["is_error"]) == ({"id": 7}, "found", False)
    assert item["at"] < item["ended_at"]


def test_a_tool_that_never_came_back_is_there_without_an_output() -> None:
    [item] = told(STARTED).items
    assert (item["name"], item["output"], item["is_error"], item["ended_at"]) == ("look_up", None, None, None)


def test_arguments_that_are_no_json_are_kept_as_the_model_wrote_them() -> None:
    [item] = told((1, "item", {"item": CALL | {"arguments": "{id: 7"}})).items
    assert item["arguments"] == "{id: 7"


def test_what_an_agent_was_saying_when_it_died_is_an_interrupted_message() -> None:
    heard = [(1, "heard", {"text": text}) for text in ("The next ", "question ")]
    items = told(message("i1", "assistant", "Welcome."), *heard).items
    assert [(item["text"], item["interrupted"], item["id"]) for item in items[1:]] == [
        ("The next question", True, None)
    ]


def test_what_was_heard_of_a_finished_message_is_not_told_twice() -> None:
    items = told((1, "heard", {"text": "Welcome."}), message("i1", "assistant", "Welcome.")).items
    assert [item["text"] for item in items] == ["Welcome."]


def test_what_a_successor_has_written_down_is_not_told_twice() -> None:
    repaired = {"id": "i9", "type": "message", "role": "assistant", "content": ["The next"], "interrupted": True}
    items = told((1, "heard", {"text": "The next"}), (2, "item", {"item": repaired})).items
    assert [(item["text"], item["epoch"]) for item in items] == [("The next", 2)]


def made(text: str, *, job: int = 1) -> tuple[int, str, dict[str, Any]]:
    item = {"type": "message", "role": "assistant", "content": [text], "interrupted": True}
    return 2, "item", {"item": item | {"id": f"heard_AJ_{job}_3"}}


def test_what_a_successor_made_of_a_sentence_gives_way_to_the_sentence_that_came_late() -> None:
    _, what, late = message("i1", "assistant", "The next  question is hard.")
    items = told((1, what, late), made("The next question"), made("Something else")).items
    assert [(item["text"], item["epoch"]) for item in items] == [
        ("The next  question is hard.", 1),
        ("Something else", 2),
    ]


def test_what_was_made_of_another_job_stays() -> None:
    items = told(message("i1", "assistant", "The next question"), made("The next question", job=7)).items
    assert len(items) == 2


def test_what_a_tool_returned_is_not_unknown_because_a_successor_did_not_know() -> None:
    ended = (1, "tool_ended", {"call_id": "call_1", "output": "found", "is_error": False})
    closed = (2, "item", {"item": RESULT | {"output": "The outcome is unknown", "is_error": True}})
    [item] = told(STARTED, ended, closed).items
    assert (item["output"], item["is_error"]) == ("found", False)


def test_a_handoff_and_whatever_comes_tomorrow_are_passed_on() -> None:
    handoff = {"id": "i1", "type": "agent_handoff", "new_agent_id": "closer"}
    [item] = told((1, "item", {"item": handoff})).items
    assert (item["type"], item["data"]) == ("agent_handoff", {"new_agent_id": "closer"})


def test_totals_are_the_last_of_each_agent() -> None:
    usage = told((1, "usage", {"tokens": 1}), (1, "usage", {"tokens": 9}), (2, "usage", {"tokens": 4})).usage
    assert usage == [{"epoch": 1, "tokens": 9}, {"epoch": 2, "tokens": 4}]


def test_transcripts_and_errors_have_places_of_their_own() -> None:
    heard = told(
        (1, "transcript", {"text": "hm", "identity": "ann", "language": "en"}),
        (1, "error", {"source": "tts_error", "error": "Timeout()", "recoverable": True}),
    )
    at = ["2027-01-15T08:00:01.000Z", "2027-01-15T08:00:02.000Z"]
    assert heard.transcripts == [{"epoch": 1, "at": at[0], "text": "hm", "identity": "ann", "language": "en"}]
    assert heard.errors == [{"epoch": 1, "at": at[1], "source": "tts_error", "error": "Timeout()", "recoverable": True}]


def test_a_line_that_was_cut_says_by_how_much() -> None:
    _, _, data = message("i1", "user", "very long")
    [item] = told((1, "item", data | {"cut": 700_000})).items
    assert item["cut"] == 700_000


def test_a_worker_that_writes_nonsense_breaks_no_report() -> None:
    strange: list[dict[str, Any]] = [
        {},
        {"item": 7},
        {"item": {"type": "message", "content": 3, "created_at": 1e300}},
        {"item": {"type": 5, "id": 6}},
        {"item": {"type": "function_call"}},
    ]
    items = told(*((1, "item", data) for data in strange), (1, "usage", {}), (1, "nonsense", {})).items
    assert len(items) == len(strange)
