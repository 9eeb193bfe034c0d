"""What an indexed document stands on."""

from collections.abc import Hashable, Iterator
from typing import Protocol


class Base(Protocol):
    """The bytes of one file as they once were, with an index."""

    size: int
    token: Hashable  # equal for two bases with the same bytes
    entries: int  # about how many lines claim a key
    faulty: int  # how many of them can't be read
    fd: int

    def read(self, start: int, end: int) -> bytes: ...

    def claiming(self, key: str) -> list[int]:
        """Where every logical line begins that claims a key."""

    def mentioning(self, user: str, domain: str) -> list[int]:
        """Where every logical line begins that mentions an address, or anything in a domain."""

    def keys_in(self, domain: str) -> Iterator[str]:
        """Keys in a domain; some of them may stand there no more."""
