"""The automaton of a pattern while it is built: its states are the characters of the pattern
(Glushkov's construction), with an edge from each to those that may follow."""

from typing import NamedTuple

from mailroster.analysis.checks.pattern_chars import ALL, both_cases

#: The most steps to judge one pattern, and the most characters that it may have.
STEPS_MAX, STATES_MAX = 50_000, 10_000
#: A pattern without loops is examined if a text can take this many paths through it.
PATHS_MAX = 1_000_000


class TooComplex(Exception):
    """The pattern takes more steps to judge than it may."""


class Part(NamedTuple):
    """A part of a pattern: whether it matches the empty text, and the states with which it begins
    and ends. A state that is listed twice begins or ends it in two ways."""

    empty: bool
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    #: The most paths that lead through it, without loops.
    paths: int = 1


EMPTY = Part(True)


class States:
    """All states so far. Every method raises TooComplex beyond its limit."""

    def __init__(self, *, ignores_case: bool) -> None:
        self.ignores_case = ignores_case
        self.chars: list[int] = []  # by state: the characters that it matches
        self.edges: list[list[int]] = []  # by state: the next ones, twice if in two ways
        self.steps = 0

    def add(self, chars: int) -> Part:
        if len(self.chars) >= STATES_MAX:
            raise TooComplex
        self.chars.append(both_cases(chars) if self.ignores_case else chars)
        self.edges.append([])
        state = (len(self.chars) - 1,)
        return Part(False, state, state)

    def add_any_text(self) -> Part:
        """A part whose text is known only during a match."""
        return self.add(ALL)._replace(empty=True)

    def add_atomic(self, part: Part) -> Part:
        """A part that pcre never matches in another way: one state, without loops."""
        chars = 0
        for state in part.first:
            chars |= self.chars[state]
        return self.add(chars)._replace(empty=part.empty)

    def join(self, part: Part, following: Part) -> Part:
        self.link(part.last, following.first)
        return Part(
            part.empty and following.empty,
            part.first + (following.first if part.empty else ()),
            following.last + (part.last if following.empty else ()),
            min(part.paths * following.paths, PATHS_MAX),
        )

    def link(self, last: tuple[int, ...], first: tuple[int, ...]) -> None:
        self.steps += len(last) * len(first)
        if self.steps > STEPS_MAX:
            raise TooComplex
        for state in last:
            self.edges[state] += first
