"""Decides without pcre that no rule of a pcre table can match an address.

For each pattern it collects the literals that every match contains, in this order: for
`/^dept-\\d+@x\\.(com|org)$/` either `dept-` and `@x.com`, or `dept-` and `@x.org`. An address
without them needs no `postmap`. A pattern with anything that this module does not understand counts
as one that may match any address: a negated pattern, a flag `x`, look-around, back references,
`\\Q`, options inside the pattern, characters other than printable ASCII. An `if` only removes
matches, so it is ignored. Case is ignored (pcre_table(5): matching is not case-sensitive).
"""

import re
from collections.abc import Iterable, Sequence

from mailroster.roster.documents.document import Document
from mailroster.roster.formats.regexp import REGEXP, Rule

#: A pattern with more combinations of alternatives, or deeper groups, counts as one that may match
#: any address.
_COMBINATIONS_MAX = 64
_DEPTH_MAX = 20
#: Parts of a pattern. Of a class, only its end matters.
_CLASS = re.compile(r"\[\^?\]?(?:[^\[\]\\]|\\[^A-Za-z0-9]|\\[dDwWsShHvVntrfae]|\[:\^?[a-z]+:\])*\]")
_QUANTIFIER = re.compile(r"(?:[*+?]|\{(\d+)(?:,\d*)?\})[+?]?")
#: Escapes for one character of a kind, or for a position between two.
_KINDS = "dDwWsShHvVNRbBAZzG"

#: The literals of one combination of alternatives, in order.
Literals = tuple[str, ...]


class Unknown(Exception):
    """A pattern with an unknown part, which may match any address."""


class PatternLiterals:
    """The literals of all rules of a table."""

    def __init__(self, text: str) -> None:
        self._combinations: set[Literals] = set()
        document = Document(REGEXP, text)
        try:
            for line in document.lines:
                if REGEXP.key(line):
                    self._combinations.update(_of_line(line, document.readable(line)))
        except Unknown:
            self._combinations = {()}

    def may_match(self, address: str) -> bool:
        """Whether a rule may match an address; False only if none does."""
        if () in self._combinations or not address.isascii():
            return bool(self._combinations)
        folded = address.lower()
        return any(_contains(folded, literals) for literals in self._combinations)


def _contains(text: str, literals: Literals) -> bool:
    """Whether a text contains some literals in order."""
    end = 0
    for literal in literals:
        start = text.find(literal, end)
        if start < 0:
            return False
        end = start + len(literal)
    return True


def _of_line(line: str, rule: Rule | None) -> Iterable[Literals]:
    """The combinations of literals of the rule of a line. Raises Unknown."""
    if rule is not None and rule.kind != "match":
        return ()
    # Postfix may accept a rule that we can't parse, and joins the lines of a pattern differently.
    if rule is None or not line.startswith(rule.pattern):
        raise Unknown
    return combinations(rule.pattern)


def combinations(pattern: str) -> set[Literals]:
    """The combinations of literals of a pattern with its delimiters and flags: a matching address
    contains all literals of one of them, in lower case. Raises Unknown."""
    if not (pattern.isascii() and pattern.isprintable()) or pattern[:1] in ("!", " "):
        raise Unknown
    end = pattern.rindex(pattern[0])
    if end == 0 or "x" in pattern[end:] or "X" in pattern[end:]:
        raise Unknown
    parsed = _Pattern(pattern[1:end])
    paths = parsed.alternatives(0)
    if parsed.position != len(parsed.text):
        raise Unknown
    return {tuple(literal for literal in path if literal) for path in paths}


#: One path through a part of a pattern: literals with gaps between them. The first and the last are
#: "" if there is a gap at that end.
_Path = tuple[str, ...]
_GAP: _Path = ("", "")


def _join(paths: Sequence[_Path], following: Sequence[_Path]) -> list[_Path]:
    if len(paths) * len(following) > _COMBINATIONS_MAX:
        raise Unknown
    return [_append(path, more) for path in paths for more in following]


def _append(path: _Path, following: _Path) -> _Path:
    """A path followed by another; two gaps in a row become one."""
    if following == _GAP and len(path) > 1 and not path[-1]:
        return path
    return (*path[:-1], path[-1] + following[0], *following[1:])


class _Pattern:
    """Parses a pattern from left to right; every method raises Unknown."""

    def __init__(self, text: str) -> None:
        self.text, self.position = text, 0

    def alternatives(self, depth: int) -> list[_Path]:
        """The paths through alternatives, up to the end of the group or the pattern."""
        if depth > _DEPTH_MAX:
            raise Unknown
        paths = self._sequence(depth)
        while self._skip("|"):
            paths = paths + self._sequence(depth)
            if len(paths) > _COMBINATIONS_MAX:
                raise Unknown
        return paths

    def _sequence(self, depth: int) -> list[_Path]:
        paths: list[_Path] = [("",)]
        while self.position < len(self.text) and self.text[self.position] not in "|)":
            part = self._part(depth)
            paths = _join(paths, self._quantified(part))
        return paths

    def _part(self, depth: int) -> list[_Path]:
        """A character, a kind of character, a class, an anchor, or a group."""
        char = self.text[self.position]
        if char == "[":
            match = _CLASS.match(self.text, self.position)
            if match is None:
                raise Unknown
            self.position = match.end()
            return [_GAP]
        self.position += 1
        if char == "(":
            return self._group(depth)
        if char == "\\":
            return [self._escape()]
        if char in ".^$":
            return [_GAP]
        if char in "*+?{":
            raise Unknown  # nothing to repeat; and versions of pcre differ about braces
        return [(char.lower(),)]

    def _group(self, depth: int) -> list[_Path]:
        if self.text[self.position : self.position + 1] in ("?", "*") and not self._skip("?:"):
            raise Unknown
        paths = self.alternatives(depth + 1)
        if not self._skip(")"):
            raise Unknown
        return paths

    def _escape(self) -> _Path:
        char = self.text[self.position : self.position + 1]
        self.position += 1
        if char and char in _KINDS:
            return _GAP
        if not char or char.isalnum():
            raise Unknown
        return (char,)

    def _quantified(self, part: list[_Path]) -> list[_Path]:
        """A part with its quantifier: a gap if the part is optional; else the part, followed by a
        gap for its repetitions."""
        match = _QUANTIFIER.match(self.text, self.position)
        if match is None:
            return part
        self.position = match.end()
        is_optional = int(match[1]) == 0 if match[1] is not None else match[0][0] != "+"
        return [_GAP] if is_optional else _join(part, [_GAP])

    def _skip(self, text: str) -> bool:
        """Skips a text if it is next; returns whether it is."""
        is_next = self.text.startswith(text, self.position)
        if is_next:
            self.position += len(text)
        return is_next
