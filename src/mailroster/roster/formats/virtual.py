"""`postfix-virtual.cf`: aliases.

    alias = key recipient *( separator recipient )

    info@example.com   john.doe@example.com, jane.doe@example.com

virtual(5): the key is `user@domain`, `user` or `@domain` (catch-all); recipients are separated by
commas and blanks; a line that starts with a blank continues the one before. The case of keys does
not count; the case of recipients stays.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from mailroster.base import address
from mailroster.base.findings import ParseError
from mailroster.roster.documents import notes
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Plain
from mailroster.roster.documents.text import only_comments
from mailroster.roster.formats.lookup_table import LookupTable

E = TypeVar("E")


class Alias(NamedTuple):
    key: str
    recipients: tuple[str, ...]  # as written; each once, without regard to case


class Virtual(LookupTable[Alias]):
    file = "postfix-virtual.cf"

    def parse(self, line: str) -> Alias:
        written, text = self.words(line)
        key = address.alias(written)
        recipients: dict[str, str] = {}
        for word in text.replace(",", " ").split():
            recipient = address.recipient(word)
            recipients.setdefault(recipient.lower(), recipient)
        if not recipients:
            raise ParseError(
                "no-recipient", f"alias {key!r} has no recipient", "add a recipient behind it"
            )
        if len(recipients) > 1 and any(word[0] == "@" for word in recipients):
            raise ParseError(
                "domain-among-recipients",
                f"alias {key!r} has '@domain' among several recipients",
                "write '@domain' as the only recipient",
            )
        return Alias(key, tuple(recipients.values()))

    def plain(self) -> Plain[Alias] | None:
        recipients = rf"{address.PLAIN}(?:[, \t]+{address.PLAIN})*"
        made = Alias._make

        def entry(line: str) -> Alias:
            key, *recipients = line.replace(",", " ").split()
            return made((key, tuple(dict.fromkeys(recipients))))

        return Plain(re.compile(rf"({address.PLAIN})[ \t]+{recipients}").fullmatch, entry)

    def mentions(self, entry: Alias) -> Iterable[tuple[str, str]]:
        """A bare key mentions itself: the account of that name takes precedence over the alias."""
        for word in (*entry.recipients, entry.key) if "@" not in entry.key else entry.recipients:
            user, domain = address.split(address.qualified(word.lower(), ""))
            yield address.split_extension(user)[0], domain

    def needles(self, user: str, domain: str) -> list[str]:
        if not domain:
            return [user]
        extended = [f"{user}{char}" for char in address.delimiters()]
        if address.is_idna(domain):
            return [f"{user}@", *extended, "@"]
        if not user:
            return [f"@{domain}"]
        whole_domain = [f"{blank}@{domain}" for blank in " \t,"]
        return [f"{user}@{domain}", *extended, *whole_domain]


VIRTUAL = Virtual()


def line(key: str, recipients: Iterable[str]) -> str:
    """An alias as a line of the file."""
    return f"{key} {','.join(recipients)}"


def add_recipient(document: Document[E], key: str, recipient: str) -> Document[E]:
    """Adds a recipient to an alias, or appends the alias. Also for other files of this form
    (mailroster.roster.formats.sender_logins).

    Raises ParseError for a recipient that is not allowed with the others.
    """
    position = document.position(key)
    if position is None:
        return document.append(line(key, [recipient]))
    old = document.line(position).rstrip(" \t\r")
    comma = "" if old.endswith(",") else ","
    new = f"{old}{comma}{recipient}"
    document.format.parse(new)
    return document.replace(position, new)


def remove_recipients(document: Document[E], key: str, recipients: Iterable[str]) -> Document[E]:
    """Removes some recipients (in any spelling) from every line of an alias. A line without other
    recipients is removed; a line that can't be read stays.

    The other recipients keep their spelling, their order and the blanks around them.
    """
    removed = list(recipients)
    for position in reversed(document.positions(key)):
        line = document.line(position)
        try:
            document.format.parse(line)
        except ParseError:
            continue
        rest = without(line, removed, document.format.key_end)
        if rest is None:
            document = notes.without(document, [position])
        elif rest != line:
            document = document.replace(position, rest.removesuffix("\r"))
    return document


def reworded(line: str, change: Callable[[str], str], key_end: str = "") -> str:
    """A logical line with each recipient changed by `change`; everything else stays. `key_end`: as
    Format.key_end."""
    for start, end in reversed(_words(line, key_end)[1:]):
        line = line[:start] + change(line[start:end]) + line[end:]
    return line


_WORD = r"[^ \t\r\n,\ufeff]+"


def _words(line: str, key_end: str) -> list[tuple[int, int]]:
    """The start and end of each word of a logical line, without comments: the key, then the
    recipients."""
    words: list[tuple[int, int]] = []
    start = 0
    if key_end:
        words = [(0, line.index(key_end))]
        start = words[0][1] + 1
    for piece in line[start:].split("\n"):
        if not only_comments(piece):
            words += [
                (start + word.start(), start + word.end()) for word in re.finditer(_WORD, piece)
            ]
        start += len(piece) + 1
    return words


def without(line: str, recipients: Iterable[str], key_end: str = "") -> str | None:
    """A logical line without some recipients, in any spelling; None if no recipient would be
    left. `key_end`: as Format.key_end."""
    removed = {address.fold(recipient) for recipient in recipients}
    while True:
        words = _words(line, key_end)
        matches = [
            n
            for n, (start, end) in enumerate(words)
            if n and address.fold(line[start:end]) in removed  # not the key: it may be a recipient
        ]
        if not matches:
            return line
        if len(matches) == len(words) - 1:
            return None
        start, end = _span(line, words, matches[0])
        line = line[:start] + line[end:]


def _span(line: str, words: Sequence[tuple[int, int]], nth: int) -> tuple[int, int]:
    """The text to remove with a recipient: the separator before it, or for the first recipient the
    separator behind it. If a comment is there: its physical line, if it contains nothing else."""
    start, end = words[nth]
    wide = (words[nth - 1][1], end) if nth > 1 else (start, words[nth + 1][0])
    if not any(piece.lstrip().startswith("#") for piece in line[slice(*wide)].split("\n")[1:]):
        return wide
    line_start, line_end = line.rfind("\n", 0, start), line.find("\n", end)
    line_end = len(line) if line_end < 0 else line_end
    alone = not any(line_start < other < line_end for other, _ in words if other != start)
    return (line_start, line_end) if alone and line_start >= 0 else (start, end)
