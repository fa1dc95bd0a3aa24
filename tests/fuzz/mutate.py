"""Bytes that are almost right: the kind of input a parser is not prepared for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

INTERESTING = (0, 1, 2, 3, 0x10, 0x16, 0x7F, 0x80, 0x90, 0xC8, 0xFE, 0xFF)


def mutated(sample: bytes, rng: random.Random) -> bytes:
    """Return the sample with one to six small injuries."""
    data = bytearray(sample)
    for _ in range(rng.randint(1, 6)):
        rng.choice(INJURIES)(data, rng)
    return bytes(data)


def noise(rng: random.Random, most: int = 300) -> bytes:
    """Return random bytes."""
    return rng.randbytes(rng.randint(0, most))


def one_of(samples: Sequence[bytes], rng: random.Random) -> bytes:
    """Return a sample as it is, a mutated one, or noise."""
    roll = rng.random()
    if roll < 0.1:
        return rng.choice(samples)
    return noise(rng) if roll < 0.2 else mutated(rng.choice(samples), rng)


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice(INTERESTING)


def _insert(data: bytearray, rng: random.Random) -> None:
    at = rng.randint(0, len(data))
    data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 64)))


def _delete(data: bytearray, rng: random.Random) -> None:
    at = rng.randint(0, len(data))
    del data[at : at + rng.choice((1, 2, 4, 64))]


def _truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randint(0, len(data)) :]


def _repeat(data: bytearray, rng: random.Random) -> None:
    at = rng.randint(0, len(data))
    piece = data[at : at + rng.randint(1, 40)]
    data[at:at] = piece * rng.choice((1, 3, 50))


def _inflate_length(data: bytearray, rng: random.Random) -> None:
    """Put the largest numbers where a length may stand."""
    if len(data) >= 4:
        at = rng.randrange(len(data) - 3)
        data[at : at + 4] = rng.choice(
            (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x0f")
        )


INJURIES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip,
    _flip,
    _overwrite,
    _insert,
    _delete,
    _truncate,
    _repeat,
    _inflate_length,
)
