"""What the measurement of the console calls kept."""

from __future__ import annotations

from bench.console.__main__ import LONGEST_FRAME, SHOWN_WITHIN, report_changes, report_frames


def shown_after(*delays: float) -> list[str]:
    """Move a line that many times, and show it that much later each time; returns what was not kept."""
    moved = [("tea", ("holding", "live")[turn % 2], 10_000.0 * turn) for turn in range(len(delays))]
    seen = [[room, state, at + delay] for (room, state, at), delay in zip(moved, delays, strict=True)]
    return report_changes(moved, seen)


def test_changes_that_are_shown_in_time_are_kept() -> None:
    assert shown_after(*[SHOWN_WITHIN - 1] * 40) == []


def test_more_than_one_late_change_of_twenty_is_not_kept() -> None:
    assert shown_after(*[20.0] * 39, 9_000) == []
    (missed,) = shown_after(*[20.0] * 20, *[SHOWN_WITHIN + 1] * 20)
    assert "p95" in missed


def test_a_line_that_stays_wrong_is_not_kept() -> None:
    moved = [("tea", "live", 0.0), ("tea", "holding", 1_000.0), ("tea", "live", 2_000.0), ("tea", "ending", 3_000.0)]
    seen = [["tea", "live", 10.0], ["tea", "holding", 1_010.0], ["tea", "live", 2_010.0]]
    assert report_changes(moved, seen) == ["1 lines were wrong at the end"]


def test_nothing_shown_is_not_kept() -> None:
    assert report_changes([("tea", "live", 0.0)], []) != []


def test_a_frame_is_not_long() -> None:
    assert report_frames([16.0, LONGEST_FRAME], "changes") == []
    assert report_frames([16.0, LONGEST_FRAME + 1], "changes") == ["changes: a frame of 101 ms, more than 100"]
    assert report_frames([], "changes") != []
