"""Limits: sizes and rates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkeeper.sfu.limits import LimitExceeded, Limits, Rate, TokenBucket


def test_a_burst_is_let_through_and_then_the_rate() -> None:
    bucket = TokenBucket(Rate(per_second=2, burst=3))
    assert [bucket.take(now=10.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(now=10.4)
    assert bucket.take(now=10.5)
    assert [bucket.take(now=100.0) for _ in range(4)] == [True, True, True, False]


def test_what_is_refused_costs_nothing() -> None:
    bucket = TokenBucket(Rate(per_second=1, burst=10))
    assert not bucket.take(now=0.0, amount=11)
    assert bucket.take(now=0.0, amount=10)


def test_a_clock_that_goes_backwards_refills_nothing() -> None:
    bucket = TokenBucket(Rate(per_second=1, burst=1))
    assert bucket.take(now=100.0)
    assert not bucket.take(now=50.0)
    assert not bucket.take(now=100.5)
    assert bucket.take(now=101.0)


@given(steps=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 20)), max_size=60))
def test_nobody_gets_more_than_the_burst_and_the_rate_allow(steps: list[tuple[float, float]]) -> None:
    bucket, now, taken = TokenBucket(Rate(per_second=3, burst=7)), 0.0, 0.0
    for pause, amount in steps:
        now += pause
        if bucket.take(now=now, amount=amount):
            taken += amount
    assert taken <= 7 + 3 * now + 1e-6


def test_sizes_count_bytes_and_not_letters() -> None:
    limits = Limits()
    limits.check_name("é" * 128)
    with pytest.raises(LimitExceeded, match="identity exceeds limits: max 256 bytes"):
        limits.check_name("é" * 129, what="identity")


def test_metadata_has_a_limit() -> None:
    Limits(metadata_bytes=4).check_metadata("1234")
    with pytest.raises(LimitExceeded, match="metadata size exceeds limits: max 4 bytes"):
        Limits(metadata_bytes=4).check_metadata("12345")


def test_attributes_are_counted_together_names_and_values() -> None:
    Limits(attributes_bytes=6).check_attributes({"a": "12", "b": "34"})
    with pytest.raises(LimitExceeded, match="attribute size exceeds limits: max 6 bytes"):
        Limits(attributes_bytes=6).check_attributes({"a": "12", "b": "345"})
