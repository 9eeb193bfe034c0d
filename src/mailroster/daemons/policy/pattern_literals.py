"""Which addresses no rule of a pcre table can match, told without pcre.

Of each pattern the literals are read that every match contains, in this order: of
`/^dept-\\d+@x\\.(com|org)$/` either `dept-` and `@x.com`, or `dept-` and `@x.org`. An address
without them needs no `postmap`. What this module does not know for sure makes a pattern one that
may match any address: a negated pattern, a flag `x`, look-around, back references, `\\Q`, options
inside the pattern, anything that is not printable ASCII. An `if` only takes matches away, so it is
ignored. Letters count in either case (pcre_table(5): matching is not case-sensitive).
"""

import re
from collections.abc import Iterable, Sequence

from mailroster.roster.documents.document import Document
from mailroster.roster.formats.regexp import REGEXP, Rule

#: A pattern with more combinations of its alternatives, or deeper groups, is one that may match
#: any address.
_WAYS_MAX = 64
_DEPTH_MAX = 20
#: Parts of a pattern. Of a class only where it ends matters.
_CLASS = re.compile(r"\[\^?\]?(?:[^\[\]\\]|\\[^A-Za-z0-9]|\\[dDwWsShHvVntrfae]|\[:\^?[a-z]+:\])*\]")
_QUANTIFIER = re.compile(r"(?:[*+?]|\{(\d+)(?:,\d*)?\})[+?]?")
#: Escapes that stand for one character of a kind, or for a place between two.
_KINDS = "dDwWsShHvVNRbBAZzG"

#: The literals of one way to match, in their order.
Literals = tuple[str, ...]


class Unknown(Exception):
    """A pattern may match any address, as far as this module can tell."""


class PatternLiterals:
    """The literals of all rules of a table."""

    def __init__(self, text: str) -> None:
        self._ways: set[Literals] = set()
        document = Document(REGEXP, text)
        try:
            for line in document.lines:
                if REGEXP.key(line):
                    self._ways.update(_of_line(line, document.readable(line)))
        except Unknown:
            self._ways = {()}

    def may_match(self, address: str) -> bool:
        """Whether a rule may match an address; False only if none does."""
        if () in self._ways or not address.isascii():
            return bool(self._ways)
        folded = address.lower()
        return any(_has(folded, way) for way in self._ways)


def _has(text: str, literals: Literals) -> bool:
    """Whether a text has some literals in their order."""
    place = 0
    for literal in literals:
        found = text.find(literal, place)
        if found < 0:
            return False
        place = found + len(literal)
    return True


def _of_line(line: str, rule: Rule | None) -> Iterable[Literals]:
    """The ways in which the rule of a line may match; raises Unknown."""
    if rule is not None and rule.kind != "match":
        return ()
    # Postfix may read what we can't, and has other blanks in a pattern of several lines.
    if rule is None or not line.startswith(rule.pattern):
        raise Unknown
    return ways(rule.pattern)


def ways(pattern: str) -> set[Literals]:
    """The ways in which a pattern with its delimiters and flags may match: of one of them all
    literals are in the address, in lower case. Raises Unknown."""
    if not (pattern.isascii() and pattern.isprintable()) or pattern[:1] in ("!", " "):
        raise Unknown
    end = pattern.rindex(pattern[0])
    if end == 0 or "x" in pattern[end:] or "X" in pattern[end:]:
        raise Unknown
    parsed = _Pattern(pattern[1:end])
    found = parsed.alternatives(0)
    if parsed.place != len(parsed.text):
        raise Unknown
    return {tuple(literal for literal in way if literal) for way in found}


#: One way through a part of a pattern: literals with gaps between them. The first and the last are
#: "" if there is a gap at that end.
_Way = tuple[str, ...]
_GAP: _Way = ("", "")


def _joined(ways: Sequence[_Way], more: Sequence[_Way]) -> list[_Way]:
    if len(ways) * len(more) > _WAYS_MAX:
        raise Unknown
    return [_chained(way, following) for way in ways for following in more]


def _chained(way: _Way, following: _Way) -> _Way:
    """One way behind the other; a gap behind a gap is one gap."""
    if following == _GAP and len(way) > 1 and not way[-1]:
        return way
    return (*way[:-1], way[-1] + following[0], *following[1:])


class _Pattern:
    """Reads a pattern from left to right; every method raises Unknown."""

    def __init__(self, text: str) -> None:
        self.text, self.place = text, 0

    def alternatives(self, depth: int) -> list[_Way]:
        """The ways through alternatives, up to the end of the group or of the pattern."""
        if depth > _DEPTH_MAX:
            raise Unknown
        found = self._sequence(depth)
        while self._takes("|"):
            found = found + self._sequence(depth)
            if len(found) > _WAYS_MAX:
                raise Unknown
        return found

    def _sequence(self, depth: int) -> list[_Way]:
        found: list[_Way] = [("",)]
        while self.place < len(self.text) and self.text[self.place] not in "|)":
            part = self._part(depth)
            found = _joined(found, self._quantified(part))
        return found

    def _part(self, depth: int) -> list[_Way]:
        """A character, a kind of characters, a class, a place, or a group."""
        char = self.text[self.place]
        if char == "[":
            matched = _CLASS.match(self.text, self.place)
            if matched is None:
                raise Unknown
            self.place = matched.end()
            return [_GAP]
        self.place += 1
        if char == "(":
            return self._group(depth)
        if char == "\\":
            return [self._escape()]
        if char in ".^$":
            return [_GAP]
        if char in "*+?{":
            raise Unknown  # of nothing; and versions of pcre read braces in different ways
        return [(char.lower(),)]

    def _group(self, depth: int) -> list[_Way]:
        if self.text[self.place : self.place + 1] in ("?", "*") and not self._takes("?:"):
            raise Unknown
        found = self.alternatives(depth + 1)
        if not self._takes(")"):
            raise Unknown
        return found

    def _escape(self) -> _Way:
        char = self.text[self.place : self.place + 1]
        self.place += 1
        if char and char in _KINDS:
            return _GAP
        if not char or char.isalnum():
            raise Unknown
        return (char,)

    def _quantified(self, part: list[_Way]) -> list[_Way]:
        """What a quantifier makes of a part: a gap if the part may be left out; else the part, with
        a gap behind it for its repetitions."""
        matched = _QUANTIFIER.match(self.text, self.place)
        if matched is None:
            return part
        self.place = matched.end()
        least = matched[1] if matched[1] is not None else "1" if matched[0][0] == "+" else "0"
        return _joined(part, [_GAP]) if int(least) else [_GAP]

    def _takes(self, text: str) -> bool:
        found = self.text.startswith(text, self.place)
        self.place += len(text) if found else 0
        return found
