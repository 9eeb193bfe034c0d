"""Lines added at the end of a large file, in place, under a journal that holds them.

    journal = "append" SIZE LENGTH FILE LF lines checksum

Who reads the file meanwhile may see a part of the lines; so this is only for files that are too
large to be written anew for one line. A crash leaves the file with a part of the lines, or (after a
power cut) with zeros in their place: then they are completed.
"""

from typing import NamedTuple

#: Of the size of a file.
_DIGITS_MAX = 20


class Append(NamedTuple):
    """Lines, and the size of the file they are added to."""

    file: str
    size: int
    lines: bytes

    def __bytes__(self) -> bytes:
        head = f"append {self.size} {len(self.lines)} {self.file}\n".encode()
        return head + self.lines

    @classmethod
    def of(cls, raw: bytes) -> "Append | None":
        """What a journal says, or None if it is one of another kind."""
        head, _, lines = raw.partition(b"\n")
        words = head.decode("utf-8", "surrogateescape").split(" ", 3)
        if len(words) < 4 or words[0] != "append" or str(len(lines)) != words[2]:
            return None
        if not (words[1].isascii() and words[1].isdecimal() and len(words[1]) < _DIGITS_MAX):
            return None
        return cls(words[3], int(words[1]), lines)

    def is_in(self, behind: bytes) -> bool:
        """Whether the lines stand among what is found behind the old end."""
        return self.lines in behind

    def was_cut(self, behind: bytes) -> bool:
        """Whether that is what a crash leaves of them, and nothing of anybody else's."""
        return len(behind) <= len(self.lines) and all(
            byte in (wanted, 0) for byte, wanted in zip(behind, self.lines, strict=False)
        )
