"""Inputs by chance, from the cases of a target: what is tried where there is no atheris."""

import random
from collections.abc import Iterator, Sequence

LONGEST = 2048
_STEPS = 4


def inputs(seeds: Sequence[bytes], words: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """The same endless row of inputs for the same seed."""
    chance = random.Random(seed)
    while True:
        raw = chance.choice(seeds) if chance.random() < 0.95 else b""
        for _ in range(chance.randint(1, _STEPS)):
            raw = _changed(raw, chance, seeds, words)
        yield raw[:LONGEST]


def _changed(
    raw: bytes, chance: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]
) -> bytes:
    start = chance.randint(0, len(raw))
    end = min(len(raw), start + chance.choice((0, 0, 1, 1, 2, 5, 20)))
    other = chance.choice(seeds)
    cut = chance.randint(0, len(other))
    middle = chance.choice(
        (
            b"",
            chance.choice(words),
            chance.choice(words),
            chance.randbytes(chance.choice((1, 1, 2, 4))),
            raw[start:end] * chance.choice((2, 3, 40)),
            other[cut : cut + chance.choice((1, 5, 40))],
            bytes([raw[start] ^ 1 << chance.randrange(8)]) if start < len(raw) else b"",
        )
    )
    return raw[:start] + middle + raw[end:]
