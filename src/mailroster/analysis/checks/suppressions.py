"""Findings that somebody allows, in a comment above the entry or at the top of the file.

    # mailroster: allow CODE *( blank CODE )

Directly above an entry it is about that entry (see mailroster.roster.documents.notes). In the
comments with which a file begins, if an empty line follows them, it is about the whole file.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from mailroster.analysis.checks.subject import shown
from mailroster.base.findings import WARNING, Finding, Location
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import ALLOW, WORD, words
from mailroster.roster.documents.text import only_comments
from mailroster.roster.roster import Roster

#: What not every machine finds: without pcre, or with other modes than elsewhere. To allow it is
#: never too much.
_NOT_EVERYWHERE = frozenset(("bad-pattern", "regexp-captures-mailbox", "world-readable-secret"))


#: The lines that a comment at the top of a file is about.
WHOLE_FILE = range(1 << 62)


class Allow(NamedTuple):
    """One comment: where it stands, its codes, and the lines that it is about; none of them if it
    stands above no entry."""

    where: Location
    codes: tuple[str, ...]
    lines: range


class _Cover(NamedTuple):
    """A code that is allowed for some lines of a file, by one comment or more."""

    file: str
    code: str
    lines: range


class _Covered:
    """What the comments of a folder allow. A finding takes the same time however many there are:
    the lines of two entries never overlap."""

    def __init__(self, allows: Iterable[Allow]) -> None:
        self._files: set[tuple[str, str]] = set()  # file and code
        self._entries: dict[tuple[str, str], dict[int, range]] = {}  # by the first line of an entry
        for allow in allows:
            for code in allow.codes if allow.lines else ():
                kind = allow.where.file, code
                if allow.lines == WHOLE_FILE:
                    self._files.add(kind)
                else:
                    self._entries.setdefault(kind, {})[allow.lines.start] = allow.lines
        self._starts = {kind: sorted(ranges) for kind, ranges in self._entries.items()}

    def by(self, finding: Finding) -> list[_Cover]:
        """What allows a finding: for the whole file, for its entry, or for both."""
        kind = finding.where.file, finding.code
        found = [_Cover(*kind, WHOLE_FILE)] if kind in self._files else []
        if kind in self._entries:
            line, starts = finding.where.line, self._starts[kind]
            place = bisect_right(starts, line) - 1
            lines = self._entries[kind][starts[place]] if place >= 0 else range(0)
            found += [_Cover(*kind, lines)] if line in lines else []
        return found


def judged(roster: Roster, found: Iterable[Finding]) -> Iterator[Finding]:
    """The findings that nobody allows, and a finding for each code that is allowed for nothing."""
    allows = [allow for _, document in roster.documents() for allow in allows_of(document)]
    covered = _Covered(allows)
    used: set[_Cover] = set()
    for finding in found:
        covering = covered.by(finding)
        used.update(covering)
        if not covering:
            yield finding
    for allow in allows:
        if not allow.codes:
            message, hint = "the comment allows nothing", "name a code, or remove it"
            yield Finding(allow.where, WARNING, "unused-allow", message, hint)
        for code in dict.fromkeys(allow.codes):
            cover = _Cover(allow.where.file, code, allow.lines)
            if cover in used or (code in _NOT_EVERYWHERE and allow.lines):
                continue
            place = "here" if allow.lines else "above an entry, where this comment is about nothing"
            message = f"there is no '{shown(code)}' {place}"
            yield Finding(allow.where, WARNING, "unused-allow", message, "remove it")


def allows_of(document: Document[Any]) -> Iterator[Allow]:
    """Every comment of a file that allows something."""
    if WORD not in document.text:
        return
    lines, start = document.lines, 0
    while start < len(lines) and lines[start].strip() and only_comments(lines[start]):
        start += 1
    if start < len(lines) and not lines[start].strip():
        yield from (
            Allow(where, codes, WHOLE_FILE) for where, codes in _comments(document, 0, start)
        )
    else:
        start = 0
    above = start
    for position in range(start, len(lines)):
        if words(lines[position]) is not None:
            continue
        number, height = document.number(position), 1 + lines[position].count("\n")
        is_entry = bool(document.format.key(lines[position]))
        about = range(number, number + height) if is_entry else range(0)
        for where, codes in _comments(document, above, position):
            yield Allow(where, codes, about)
        above = position + 1
    for where, codes in _comments(document, above, len(lines)):
        yield Allow(where, codes, range(0))


def _comments(
    document: Document[Any], start: int, end: int
) -> Iterator[tuple[Location, tuple[str, ...]]]:
    """Where codes are allowed between two positions, and which."""
    for position in range(start, end):
        word, text = words(document.lines[position]) or ("", "")
        if word == ALLOW:
            yield document.location(position), tuple(text.split())
