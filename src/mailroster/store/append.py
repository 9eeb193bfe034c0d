"""Lines that are appended to a large file in place, under a journal that holds them.

    journal = "append" SIZE LENGTH FILE LF lines checksum

A reader may see only a part of the lines meanwhile. So this is only for files that are too large to
be rewritten for one line. A crash leaves a part of the lines, or (after a power cut) zeros in their
place; then the next edit completes them.
"""

from typing import NamedTuple

#: Of a file size.
_DIGITS_MAX = 20


class Append(NamedTuple):
    """The lines, and the size of the file before."""

    file: str
    size: int
    lines: bytes

    def __bytes__(self) -> bytes:
        head = f"append {self.size} {len(self.lines)} {self.file}\n".encode()
        return head + self.lines

    @classmethod
    def of(cls, raw: bytes) -> "Append | None":
        """Parses a journal; None if it is one of another kind."""
        head, _, lines = raw.partition(b"\n")
        words = head.decode("utf-8", "surrogateescape").split(" ", 3)
        if len(words) < 4 or words[0] != "append" or str(len(lines)) != words[2]:
            return None
        if not (words[1].isascii() and words[1].isdecimal() and len(words[1]) < _DIGITS_MAX):
            return None
        return cls(words[3], int(words[1]), lines)

    def is_in(self, tail: bytes) -> bool:
        """Whether the content behind the old end includes the lines."""
        return self.lines in tail

    def was_cut(self, tail: bytes) -> bool:
        """Whether the content behind the old end is only what a crash leaves of the lines."""
        return len(tail) <= len(self.lines) and all(
            byte in (wanted, 0) for byte, wanted in zip(tail, self.lines, strict=False)
        )
