"""How much anybody may send.

The original limits the sizes of names, metadata and attributes (livekit-server `pkg/config/config.go`) and nothing
else: no rates, no frames. These do: a client or worker beyond them is told, slowed or closed by whoever reads from it,
and nobody else notices. The rates are far above what an SDK sends and far below what would keep a core busy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from roomkeeper.errors import RoomkeeperError
from roomkeeper.wire.rates import Rate, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LimitExceeded", "Limits", "Rate", "TokenBucket"]


class LimitExceeded(RoomkeeperError):
    """Something sent here is larger than this server takes; send less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a room server; sizes in bytes of UTF-8 or of the frame."""

    name_bytes: int = 256
    """Room name, identity and participant name, each (as the original)."""
    metadata_bytes: int = 512 * 1024
    """Room or participant metadata (as the original)."""
    attributes_bytes: int = 64 * 1024
    """All names and values of a participant's attributes together (as the original)."""
    join_request_bytes: int = 1024 * 1024
    """The unpacked `join_request` of `/rtc/v1` (as the original)."""
    head_bytes: int = 1024 * 1024
    """An HTTP request up to its body: tokens hold metadata and attributes (as the original, Go's `net/http`)."""
    body_bytes: int = 2 * 1024 * 1024
    """A Twirp request: a full set of metadata and attributes in JSON, escaped, fits."""
    body_seconds: float = 10.0
    """That it may take to arrive."""
    signal_frame_bytes: int = 1024 * 1024
    signal_messages: Rate = Rate(per_second=200, burst=1000)  # noqa: RUF009 - frozen
    """Per participant. A join with ten tracks sends about 60 messages within a second."""
    signal_bytes: Rate = Rate(per_second=256 * 1024, burst=8 * 1024 * 1024)  # noqa: RUF009 - frozen
    """Per participant. Large are descriptions (10 kB from a browser), which cost time, and metadata, which everybody
    in the room is sent."""
    data_packet_bytes: int = 64 * 1024
    """Per packet; an SCTP message of ours is never larger."""
    strange_checks: Rate = Rate(per_second=50, burst=200)  # noqa: RUF009 - frozen
    """Per peer connection: ICE checks for it from addresses that have not proved themselves."""
    datagrams: Rate = Rate(per_second=10_000, burst=20_000)  # noqa: RUF009 - frozen
    datagram_bytes: Rate = Rate(per_second=8e6, burst=32e6)  # noqa: RUF009 - frozen
    """Per peer connection, media and data together: 60 Mbit/s. What exceeds them is lost, as on a full link, so that
    SCTP slows its sender down."""
    worker_frame_bytes: int = 2 * 1024 * 1024
    """A job carries its room and participant, metadata included."""
    worker_messages: Rate = Rate(per_second=500, burst=5000)  # noqa: RUF009 - frozen
    """Per worker: each job costs about four messages, a load report comes every 2.5 s."""
    workers: int = 1000
    """Registered at once."""
    twirp_requests: Rate = Rate(per_second=500, burst=2000)  # noqa: RUF009 - frozen
    """Per API key."""
    dispatches_per_room: int = 256
    jobs_per_dispatch: int = 1000
    """Records of jobs that are kept; ended ones go first."""

    def check_name(self, name: str, *, what: str = "name length") -> None:
        """Check a room name, identity or participant name.

        Raises:
            LimitExceeded: it is too long.
        """
        self._check(what, _size(name), self.name_bytes)

    def check_metadata(self, metadata: str) -> None:
        """Check metadata of a room, participant, dispatch or job.

        Raises:
            LimitExceeded: it is too long.
        """
        self._check("metadata size", _size(metadata), self.metadata_bytes)

    def check_attributes(self, attributes: Mapping[str, str]) -> None:
        """Check a set of attributes.

        Raises:
            LimitExceeded: names and values together are too long.
        """
        total = sum(_size(name) + _size(value) for name, value in attributes.items())
        self._check("attribute size", total, self.attributes_bytes)

    @staticmethod
    def _check(what: str, size: int, most: int) -> None:
        if size > most:
            raise LimitExceeded(f"{what} exceeds limits: max {most} bytes")


def _size(text: str) -> int:
    return len(text.encode())
