"""Deleted rooms are remembered, so that an old token cannot bring one back.

The original forgets a deleted room at once; a client that was just reconnecting then joins with the token it still has
and sits in a new, empty room. Here `DeleteRoom` buries the name: a token issued before the burial, or one that was used
in the buried room, no longer makes a room of that name. A newer token does, and so does `CreateRoom`.

Pure: no clock and no I/O. Only size bounds it, the oldest burial goes first; age need not, for a token older than its
tombstone has nothing to gain from waiting.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

DIGESTS_PER_ROOM: Final = 4096


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A buried name: when it was buried (unix seconds, whole) and the tokens that were used in the room."""

    at: int
    digests: frozenset[str]


class Tombstones:
    """The names buried here."""

    def __init__(self, *, rooms: int = 10_000, digests: int = 200_000) -> None:
        """Start with none.

        Args:
            rooms: how many names are remembered.
            digests: how many tokens are remembered over all of them.
        """
        self._most_rooms = rooms
        self._most_digests = digests
        self._digests = 0
        self._buried: OrderedDict[str, Tombstone] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buried)

    def bury(self, room: str, at: float, digests: Iterable[str] = ()) -> None:
        """Remember that a room was deleted.

        Args:
            room: its name.
            at: unix seconds.
            digests: `Claims.digest` of every token used in it, refresh tokens too. They matter for tokens issued within
                the second of the burial (`iat` has whole seconds) and for those that do not say when they were issued.
        """
        before = self._buried.pop(room, None)
        used = frozenset(islice(digests, DIGESTS_PER_ROOM))
        if before is not None:
            self._digests -= len(before.digests)
            if len(used) + len(before.digests) <= DIGESTS_PER_ROOM:
                used |= before.digests
        self._buried[room] = Tombstone(math.floor(at), used)
        self._digests += len(used)
        while len(self._buried) > self._most_rooms or (self._digests > self._most_digests and len(self._buried) > 1):
            _, oldest = self._buried.popitem(last=False)
            self._digests -= len(oldest.digests)

    def refuses(self, room: str, issued_at: float | None, digest: str) -> bool:
        """Tell whether a token must not make a room of this name.

        Args:
            room: the name in the token.
            issued_at: `Claims.issued_at`; a token that does not say is refused only if it was used in the buried room.
            digest: `Claims.digest`.
        """
        buried = self._buried.get(room)
        if buried is None:
            return False
        return digest in buried.digests or (issued_at is not None and issued_at < buried.at)
