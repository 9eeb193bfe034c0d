"""Reads the text of a pattern (pcrepattern(3)) into the states of its automaton."""

import re

from mailroster.analysis.checks.pattern_chars import ALL, Unreadable, bits, char_class, escaped
from mailroster.analysis.checks.pattern_states import EMPTY, Part, States, TooComplex

#: A part that is repeated at most this often is copied; one that is repeated more often is a loop.
_COPIES_MAX = 4
_DEPTH_MAX = 100
_COUNT = re.compile(r"\{(\d{1,5})(?:(,)(\d{0,5}))?\}")
_OPTIONS = re.compile(r"\?[a-zA-Z^-]*([:)])")
_NAME = re.compile(r"\?(?:P?<[A-Za-z_]\w*>|'[A-Za-z_]\w*')")
_REFERENCE = re.compile(r"\?(?:R|[+-]?\d+|&\w+|P[=>]\w+)\)")
_BACKREFERENCE = re.compile(r"[1-9]\d{0,2}|[gk](?:\{[^}]*\}|<[^>]*>|'[^']*'|-?\d+)")


class PatternParser:
    """Reads one pattern and adds its states. Raises Unreadable and TooComplex."""

    def __init__(self, text: str, states: States, *, extended: bool, at: int = 0, depth: int = 0):
        self._text, self._at, self._depth = text, at, depth
        self._states, self._extended = states, extended

    def read(self) -> Part:
        part = self._alternatives()
        if self._at < len(self._text):
            raise Unreadable
        return part

    # -- the grammar

    def _alternatives(self) -> Part:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise TooComplex
        part = self._sequence()
        while self._skip("|"):
            other = self._sequence()
            empty = part.empty or other.empty
            paths = part.paths + other.paths
            part = Part(empty, part.first + other.first, part.last + other.last, paths)
        self._depth -= 1
        return part

    def _sequence(self) -> Part:
        part = EMPTY
        while self._next() not in ("", "|", ")"):
            part = self._states.join(part, self._repeated())
        return part

    def _repeated(self) -> Part:
        start, part = self._at, self._atom()
        end = self._at
        while (bounds := self._quantifier()) is not None:
            possessive = self._skip("+")
            if not possessive:
                self._skip("?")
            part = self._times(part, start, end, *bounds)
            end = self._at
            if possessive:
                part = self._states.add_atomic(part)
        return part

    def _quantifier(self) -> tuple[int, int | None] | None:
        """The least and the most times, None for any number; None if there is no quantifier."""
        self._next()
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skip(sign):
                return bounds
        count = self._match(_COUNT)
        if count is None:
            return None
        least = int(count[1])
        if not count[2]:
            return least, least
        return least, int(count[3]) if count[3] else None

    def _times(self, part: Part, start: int, end: int, least: int, most: int | None) -> Part:
        """The text from `start` to `end`, of which `part` is the first copy, repeated."""
        if most == 0:
            return EMPTY
        if most is None or most > _COPIES_MAX:
            # Unlike a loop without end, a counted one goes on after an empty text.
            for _ in range(2 if most is not None and part.empty else 1):
                self._states.link(part.last, part.first)
            return part._replace(empty=part.empty or least == 0)
        copies = [part, *(self._copy(start, end) for _ in range(most - 1))]
        whole = EMPTY
        for place in range(len(copies) - 1, -1, -1):
            whole = self._states.join(copies[place], whole)
            if place >= least:
                whole = whole._replace(empty=True, paths=whole.paths + 1)
        return whole

    def _copy(self, start: int, end: int) -> Part:
        parser = PatternParser(
            self._text[:end], self._states, extended=self._extended, at=start, depth=self._depth
        )
        return parser._repeated()

    def _atom(self) -> Part:
        char = self._text[self._at]
        self._at += 1
        if char == "(":
            return self._group()
        if char == "[":
            ignores_case = self._states.ignores_case
            chars, self._at = char_class(self._text, self._at, ignores_case=ignores_case)
            return self._states.add(chars)
        if char == "\\":
            return self._escape()
        if char == ".":
            return self._states.add(ALL)
        if char in "^$":
            return EMPTY
        if char in "*+?":
            raise Unreadable
        return self._states.add(bits(char))

    def _group(self) -> Part:
        if self._skip("?#"):
            self._at = self._text.find(")", self._at) + 1
            if not self._at:
                raise Unreadable
            return EMPTY
        if self._match(_REFERENCE):
            return self._states.add_any_text()
        if options := self._match(_OPTIONS):
            return EMPTY if options[1] == ")" else self._inside()
        if any(map(self._skip, ("?=", "?!", "?<=", "?<!"))):
            self._inside()
            return EMPTY
        if self._skip("?>"):
            return self._states.add_atomic(self._inside())
        is_plain = not (self._skip("?|") or self._match(_NAME))
        if is_plain and self._text[self._at : self._at + 1] in ("?", "*"):
            raise Unreadable
        return self._inside()

    def _inside(self) -> Part:
        part = self._alternatives()
        if not self._skip(")"):
            raise Unreadable
        return part

    def _escape(self) -> Part:
        text, at = self._text, self._at
        if at >= len(text):
            raise Unreadable
        if text[at] == "Q":
            end = text.find("\\E", at)
            end = len(text) if end < 0 else end
            part = EMPTY
            for char in text[at + 1 : end]:
                part = self._states.join(part, self._states.add(bits(char)))
            self._at = min(end + 2, len(text))
            return part
        if text[at] in "AzZbBGKE":
            self._at += 1
            return EMPTY
        if self._match(_BACKREFERENCE):
            return self._states.add_any_text()
        chars, self._at = escaped(text, at)
        return self._states.add(chars)

    # -- the text

    def _next(self) -> str:
        """The next sign that counts; "" at the end."""
        while self._extended and self._text[self._at : self._at + 1].isspace():
            self._at += 1
        if self._extended and self._text[self._at : self._at + 1] == "#":
            self._at = len(self._text)
        return self._text[self._at : self._at + 1]

    def _skip(self, sign: str) -> bool:
        """Whether a sign comes next; it is skipped then."""
        if self._text.startswith(sign, self._at):
            self._at += len(sign)
            return True
        return False

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The match of a pattern here, which is skipped."""
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return match
