"""Comments that allow findings, above an entry or at the top of a file.

    # mailroster: allow CODE *( blank CODE )

Directly above an entry it is about that entry (mailroster.roster.documents.notes). Among the
comments at the top of a file it is about the whole file, if an empty line follows them.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from mailroster.analysis.checks.subject import excerpt
from mailroster.base.findings import WARNING, Finding, Location
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import ALLOW, WORD, words
from mailroster.roster.documents.text import only_comments
from mailroster.roster.roster import Roster

#: Codes that depend on the machine: on pcre, or on the modes of files. A comment that allows them
#: is never reported as unused.
_OF_THE_MACHINE = frozenset(("bad-pattern", "regexp-captures-mailbox", "world-readable-secret"))
#: The lines of a comment at the top of a file.
WHOLE_FILE = range(1 << 62)


class AllowComment(NamedTuple):
    """One comment: its place, its codes, and the lines that it is about, none if it is not above an
    entry."""

    where: Location
    codes: tuple[str, ...]
    lines: range


class _Cover(NamedTuple):
    """A code that one comment or more allow for some lines of a file."""

    file: str
    code: str
    lines: range


class _Allowances:
    """The codes that the comments of a folder allow, by lines. The lines of two entries never
    overlap, so the time for a finding does not grow with the number of comments."""

    def __init__(self, comments: Iterable[AllowComment]) -> None:
        self._files: set[tuple[str, str]] = set()  # file and code
        self._entries: dict[tuple[str, str], dict[int, range]] = {}  # by the first line of an entry
        for comment in comments:
            for code in comment.codes if comment.lines else ():
                kind = comment.where.file, code
                if comment.lines == WHOLE_FILE:
                    self._files.add(kind)
                else:
                    self._entries.setdefault(kind, {})[comment.lines.start] = comment.lines
        self._starts = {kind: sorted(ranges) for kind, ranges in self._entries.items()}

    def covers_of(self, finding: Finding) -> list[_Cover]:
        """The covers that allow a finding: of the whole file, of its entry, or of both."""
        kind = finding.where.file, finding.code
        covers = [_Cover(*kind, WHOLE_FILE)] if kind in self._files else []
        if kind in self._entries:
            line, starts = finding.where.line, self._starts[kind]
            place = bisect_right(starts, line) - 1
            lines = self._entries[kind][starts[place]] if place >= 0 else range(0)
            covers += [_Cover(*kind, lines)] if line in lines else []
        return covers


def suppress(roster: Roster, findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings that no comment allows, and a finding for each code that is allowed in vain."""
    comments = [each for _, document in roster.documents() for each in allow_comments(document)]
    allowances = _Allowances(comments)
    used: set[_Cover] = set()
    for finding in findings:
        covering = allowances.covers_of(finding)
        used.update(covering)
        if not covering:
            yield finding
    for comment in comments:
        if not comment.codes:
            message, hint = "the comment allows nothing", "name a code, or remove it"
            yield Finding(comment.where, WARNING, "unused-allow", message, hint)
        for code in dict.fromkeys(comment.codes):
            cover = _Cover(comment.where.file, code, comment.lines)
            if cover in used or (code in _OF_THE_MACHINE and comment.lines):
                continue
            message = f"there is no finding '{excerpt(code)}' here"
            if not comment.lines:
                message = f"the comment allows '{excerpt(code)}', but it is not above an entry"
            yield Finding(comment.where, WARNING, "unused-allow", message, "remove it")


def allow_comments(document: Document[Any]) -> Iterator[AllowComment]:
    """Every comment of a file that allows something."""
    if WORD not in document.text:
        return
    lines, start = document.lines, 0
    while start < len(lines) and lines[start].strip() and only_comments(lines[start]):
        start += 1
    if start < len(lines) and not lines[start].strip():
        yield from (
            AllowComment(where, codes, WHOLE_FILE) for where, codes in _comments(document, 0, start)
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
            yield AllowComment(where, codes, about)
        above = position + 1
    for where, codes in _comments(document, above, len(lines)):
        yield AllowComment(where, codes, range(0))


def _comments(
    document: Document[Any], start: int, end: int
) -> Iterator[tuple[Location, tuple[str, ...]]]:
    """The place and the codes of each `allow` between two positions."""
    for position in range(start, end):
        word, text = words(document.lines[position]) or ("", "")
        if word == ALLOW:
            yield document.location(position), tuple(text.split())
