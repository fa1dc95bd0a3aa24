"""What strangers may send: JSON of any shape, with what Python reads and nobody else does."""

from __future__ import annotations

from hypothesis import strategies as st

TEXTS = st.text(max_size=20)
"""Halves of characters and control characters included."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def objects(*names: str) -> st.SearchStrategy[dict[str, object]]:
    """Objects that have some of these names, with values of any kind, and others beside them."""
    return st.tuples(
        st.dictionaries(st.sampled_from(names), JSON, max_size=len(names)), st.dictionaries(TEXTS, JSON, max_size=2)
    ).map(lambda both: both[0] | both[1])
