"""`key value`: the form of aliases and restrictions (postmap(1), "file format").

A line that starts with a blank continues the one before; the key is the first word, and an address.
"""

import re
from typing import TypeVar

from mailroster.base import address
from mailroster.base.findings import ParseError
from mailroster.roster.documents.format import Format
from mailroster.roster.documents.text import check_text, content, logical_lines

E = TypeVar("E")


class LookupTable(Format[E]):
    """A Postfix lookup table keyed by addresses."""

    continued = True

    def split(self, text: str) -> list[str]:
        return logical_lines(text)

    def key(self, line: str) -> str:
        words = content(line).split(None, 1)
        return "" if not words or words[0][0] == "#" else address.fold(words[0])

    def words(self, line: str) -> tuple[str, str]:
        """The key as written, and the text after it, or "". Raises ParseError."""
        text = content(line)
        check_text(text)
        if line[:1] in (" ", "\t"):
            raise ParseError(
                "lost-continuation", "the first entry starts with a blank", "remove it"
            )
        key, *value = text.split(None, 1)
        return key, value[0] if value else ""


def rekeyed(line: str, key: str) -> str:
    """A logical line with another key; everything else stays."""
    return re.sub(r"^(\ufeff?)[^ \t\r\n]+", lambda match: match[1] + key, line.removesuffix("\r"))
