"""The content of a file to be written: bytes, and parts of open files."""

from collections.abc import Iterable
from typing import NamedTuple


class Range(NamedTuple):
    """A part of an open file: its descriptor, and offsets in bytes."""

    fd: int
    start: int
    end: int


#: The whole content, or its pieces in order.
Content = bytes | Iterable[bytes | Range]
