"""The content of a file that is to be written: bytes, and parts of files that are open."""

from collections.abc import Iterable
from typing import NamedTuple


class Range(NamedTuple):
    """A part of an open file: its descriptor, and offsets in bytes."""

    fd: int
    start: int
    end: int


#: Pieces, in their order.
Content = bytes | Iterable[bytes | Range]
