"""Tombstones: which tokens may make a room again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roomkeeper.sfu.tombstones import DIGESTS_PER_ROOM, Tombstones

NOW = 1_800_000_000.5


def test_a_name_never_buried_is_open_to_all() -> None:
    assert not Tombstones().refuses("r", 0.0, "d")


def test_a_token_issued_before_the_burial_is_refused() -> None:
    tombstones = Tombstones()
    tombstones.bury("r", at=NOW)
    assert tombstones.refuses("r", NOW - 1, "d")
    assert not tombstones.refuses("other", NOW - 1, "d")


def test_a_token_of_the_same_second_or_later_is_let_in_unless_it_was_used_there() -> None:
    tombstones = Tombstones()
    tombstones.bury("r", at=NOW, digests=["used"])
    for issued_at in (NOW - 0.5, NOW, NOW + 3600):
        assert not tombstones.refuses("r", issued_at, "fresh")
        assert tombstones.refuses("r", issued_at, "used")


def test_a_token_without_a_time_is_refused_only_if_it_was_used_there() -> None:
    tombstones = Tombstones()
    tombstones.bury("r", at=NOW, digests=["used"])
    assert tombstones.refuses("r", None, "used")
    assert not tombstones.refuses("r", None, "fresh")


def test_a_second_burial_moves_the_time_and_forgets_no_token() -> None:
    tombstones = Tombstones()
    tombstones.bury("r", at=NOW, digests=["first"])
    tombstones.bury("r", at=NOW + 100, digests=["second"])
    assert tombstones.refuses("r", NOW + 50, "fresh")
    assert tombstones.refuses("r", None, "first")
    assert tombstones.refuses("r", None, "second")
    assert len(tombstones) == 1


def test_the_oldest_burial_goes_first() -> None:
    tombstones = Tombstones(rooms=2)
    for name in ("a", "b", "a", "c"):
        tombstones.bury(name, at=NOW)
    assert [name for name in "abc" if tombstones.refuses(name, 0.0, "")] == ["a", "c"]


def test_a_room_of_very_many_tokens_is_cut_and_the_time_still_counts() -> None:
    tombstones = Tombstones()
    tombstones.bury("r", at=NOW, digests=(str(number) for number in range(DIGESTS_PER_ROOM + 1)))
    assert tombstones.refuses("r", None, "0")
    assert not tombstones.refuses("r", None, str(DIGESTS_PER_ROOM))
    tombstones.bury("r", at=NOW, digests=["one more"])
    assert tombstones.refuses("r", None, "one more")
    assert tombstones.refuses("r", NOW - 1, str(DIGESTS_PER_ROOM))


@given(
    burials=st.lists(
        st.tuples(st.sampled_from("abcdef"), st.lists(st.integers(0, 9).map(str), max_size=6)), min_size=1, max_size=40
    )
)
def test_neither_rooms_nor_digests_grow_beyond_their_bounds(burials: list[tuple[str, list[str]]]) -> None:
    tombstones = Tombstones(rooms=4, digests=10)
    for name, digests in burials:
        tombstones.bury(name, at=NOW, digests=digests)
        kept = list(tombstones._buried.values())
        assert len(kept) <= 4
        assert sum(len(each.digests) for each in kept) == tombstones._digests
        assert tombstones._digests <= 10 or len(kept) == 1
    assert tombstones.refuses(burials[-1][0], NOW - 1, "")
