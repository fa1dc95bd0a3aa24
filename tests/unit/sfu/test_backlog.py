"""What waits for a channel to open."""

from __future__ import annotations

from roomkeeper.sfu.backlog import MOST_BYTES, STRICT_WINDOW, WINDOW, Backlog


def test_what_waited_follows_in_order_and_once() -> None:
    backlog = Backlog()
    backlog.keep(b"one", now=1.0)
    backlog.keep(b"two", now=2.0)
    assert backlog.take(now=2.5) == [b"one", b"two"]
    assert backlog.take(now=2.5) == []


def test_what_waited_too_long_is_dropped() -> None:
    backlog = Backlog(STRICT_WINDOW)
    backlog.keep(b"old", now=1.0)
    backlog.keep(b"new", now=1.5)
    assert backlog.take(now=1.25 + STRICT_WINDOW) == [b"new"]


def test_what_would_be_too_much_is_dropped_until_the_rest_was_taken() -> None:
    backlog = Backlog()
    most = bytes(MOST_BYTES)
    backlog.keep(most, now=1.0)
    backlog.keep(b"more", now=1.0)
    assert backlog.take(now=1.0) == [most]
    backlog.keep(most, now=1.0)
    assert backlog.take(now=1.0) == [most]


def test_what_waited_too_long_takes_no_place_of_what_is_fresh() -> None:
    backlog = Backlog()
    backlog.keep(bytes(MOST_BYTES), now=1.0)
    backlog.keep(b"fresh", now=2.0 + WINDOW)
    assert backlog.take(now=2.0 + WINDOW) == [b"fresh"]
