"""How much work a pattern may be for pcre, which tries one way after the other to match a text.

A loop that can match the same text in two ways, as `(a+)+` does, doubles the ways with each
character: when the rest of the pattern fails, pcre tries them all. Loops that stand one behind the
other and can share a text, as in `.*.*`, raise the work to a power.

The pattern becomes an automaton whose states are the characters of the pattern (Glushkov's), with
an edge for each way from one to the next. Two different walks over the same text from a state back
to itself are the first case; the second is a chain of loops in which a text leads around the one,
from the one to the next, and around the next (Weber and Seidl, "On the degree of ambiguity of
finite automata"). Without any loop, as in `a?a?a?a?`, each place where a text can go two ways that
meet again doubles the ways as well.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

#: Loops in a chain from which on an address of 1,000 characters reaches pcre's own limit.
DEGREE_MAX = 3
#: What is looked at for one pattern, in steps; and how many characters a pattern may have in it.
STEPS_MAX, STATES_MAX = 50_000, 10_000
#: Forks one behind the other from which on there are thousands of ways, and so many ways that a
#: pattern without loops is not looked at more closely.
FORKS_MAX, WAYS_MAX = 5, 1_000_000
#: What is repeated `{m,n}` times at most is so many copies; what is repeated more often, a loop.
_COPIES_MAX = 4
_DEPTH_MAX = 100

#: A set of characters as bits: those of ASCII, and one for all others.
_OTHERS = 1 << 128
_ALL = (1 << 129) - 1


class TooComplex(Exception):
    """The pattern is more than can be judged."""


class Unreadable(Exception):
    """Not a pattern that this module can read; pcre says whether it is one."""


def _bits(chars: Iterable[str]) -> int:
    found = 0
    for char in chars:
        found |= 1 << ord(char) if ord(char) < 128 else _OTHERS
    return found


_DIGITS = _bits("0123456789")
_LETTERS = _bits("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORD = _DIGITS | _LETTERS | _bits("_")
_SPACE = _bits(" \t\n\v\f\r")
_KINDS = {"d": _DIGITS, "w": _WORD, "s": _SPACE, "h": _bits(" \t"), "v": _bits("\n\v\f\r")}
_KINDS |= {kind.upper(): _ALL & ~bits for kind, bits in _KINDS.items()} | {"N": _ALL & ~_bits("\n")}
_POSIX = {
    "alpha": _LETTERS, "digit": _DIGITS, "alnum": _LETTERS | _DIGITS, "word": _WORD,
    "space": _SPACE, "blank": _bits(" \t"), "xdigit": _bits("0123456789abcdefABCDEF"),
    "lower": _LETTERS, "upper": _LETTERS, "punct": _bits("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
}  # fmt: skip
_NAMED_CHARS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}
_COUNT = re.compile(r"\{(\d{1,5})(?:(,)(\d{0,5}))?\}")
_OPTIONS = re.compile(r"\?[a-zA-Z^-]*([:)])")
_NAME = re.compile(r"\?(?:P?<[A-Za-z_]\w*>|'[A-Za-z_]\w*')")
_REFERENCE = re.compile(r"\?(?:R|[+-]?\d+|&\w+|P[=>]\w+)\)")
_BACKREFERENCE = re.compile(r"[1-9]\d{0,2}|[gk](?:\{[^}]*\}|<[^>]*>|'[^']*'|-?\d+)")
_CODE = re.compile(r"x\{([0-9a-fA-F]+)\}|x([0-9a-fA-F]{0,2})|0([0-7]{0,2})|o\{([0-7]+)\}")


class _Part(NamedTuple):
    """A part of a pattern: whether it matches the empty text, and the states it begins and ends
    with. A state that stands twice begins or ends it in two ways."""

    empty: bool
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    #: At most so many ways lead through it, loops not counted.
    ways: int = 1


_NOTHING = _Part(True)


class _Parser:
    """Reads a pattern and makes its automaton."""

    def __init__(self, text: str, *, folds: bool, extended: bool) -> None:
        self._text, self._at = text, 0
        self._folds, self._extended = folds, extended
        self._depth = self.steps = 0
        self.whole = _NOTHING
        self.chars: list[int] = []  # by state: the characters it matches
        self.edges: list[list[int]] = []  # by state: the next ones, twice where in two ways

    def read(self) -> None:
        """All of the pattern. Raises Unreadable and TooComplex."""
        self.whole = self._alternatives()
        if self._at < len(self._text):
            raise Unreadable

    # -- the grammar

    def _alternatives(self) -> _Part:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise TooComplex
        part = self._sequence()
        while self._take("|"):
            other = self._sequence()
            empty = part.empty or other.empty
            ways = part.ways + other.ways
            part = _Part(empty, part.first + other.first, part.last + other.last, ways)
        self._depth -= 1
        return part

    def _sequence(self) -> _Part:
        part = _NOTHING
        while self._ahead() not in ("", "|", ")"):
            part = self._joined(part, self._repeated())
        return part

    def _ahead(self) -> str:
        """The next sign that counts; "" at the end."""
        while self._extended and self._text[self._at : self._at + 1].isspace():
            self._at += 1
        if self._extended and self._text[self._at : self._at + 1] == "#":
            self._at = len(self._text)
        return self._text[self._at : self._at + 1]

    def _repeated(self) -> _Part:
        start, part = self._at, self._atom()
        end = self._at
        while (bounds := self._quantifier()) is not None:
            possessive = self._take("+")
            if not possessive:
                self._take("?")
            behind = self._at
            part = self._times(part, start, end, *bounds)
            self._at = end = behind
            if possessive:
                part = self._closed(part)
        return part

    def _quantifier(self) -> tuple[int, int | None] | None:
        """Least and most times, None for any number; None if there is no quantifier."""
        self._ahead()
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        found = _COUNT.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        least = int(found[1])
        most = least if not found[2] else int(found[3]) if found[3] else None
        return least, most

    def _atom(self) -> _Part:
        char = self._text[self._at]
        self._at += 1
        if char == "(":
            return self._group()
        if char == "[":
            return self._state(self._class())
        if char == "\\":
            return self._escape()
        if char == ".":
            return self._state(_ALL)
        if char in "^$":
            return _NOTHING
        if char in "*+?":
            raise Unreadable
        return self._state(_bits(char))

    def _group(self) -> _Part:
        text, at = self._text, self._at
        if text.startswith("?#", at):
            self._at = text.find(")", at) + 1
            if not self._at:
                raise Unreadable
            return _NOTHING
        if found := _REFERENCE.match(text, at):
            self._at = found.end()
            return self._anything()
        if found := _OPTIONS.match(text, at):
            self._at = found.end()
            return _NOTHING if found[1] == ")" else self._inside()
        for sign in ("?=", "?!", "?<=", "?<!"):
            if text.startswith(sign, at):
                self._at = at + len(sign)
                self._inside()
                return _NOTHING
        if text.startswith("?>", at):
            self._at = at + 2
            return self._closed(self._inside())
        if text.startswith("?|", at):
            self._at = at + 2
        elif found := _NAME.match(text, at):
            self._at = found.end()
        elif text[at : at + 1] in ("?", "*"):
            raise Unreadable
        return self._inside()

    def _inside(self) -> _Part:
        part = self._alternatives()
        if not self._take(")"):
            raise Unreadable
        return part

    def _escape(self) -> _Part:
        text, at = self._text, self._at
        if at >= len(text):
            raise Unreadable
        char = text[at]
        if char == "Q":
            end = text.find("\\E", at)
            end = len(text) if end < 0 else end
            part = _NOTHING
            for literal in text[at + 1 : end]:
                part = self._joined(part, self._state(_bits(literal)))
            self._at = min(end + 2, len(text))
            return part
        if char in "AzZbBGKE":
            self._at += 1
            return _NOTHING
        if found := _BACKREFERENCE.match(text, at):
            self._at = found.end()
            return self._anything()
        return self._state(self._escaped())

    def _escaped(self) -> int:
        """The characters of an escape that is one character, in a class or not."""
        text, char = self._text, self._text[self._at : self._at + 1]
        if found := _CODE.match(text, self._at):
            self._at = found.end()
            code = int(found[1] or found[2] or "0", 16) or int(found[3] or found[4] or "0", 8)
            return 1 << code if code < 128 else _OTHERS
        self._at += 1
        if char in ("p", "P", "R", "X", "C"):
            if text.startswith("{", self._at) and char in "pP":
                self._at = text.find("}", self._at) + 1 or len(text)
            return _ALL
        if char == "c":
            self._at += 1
            return _ALL
        return _KINDS.get(char) or _bits(_NAMED_CHARS.get(char, char))

    def _class(self) -> int:
        found, text = 0, self._text
        negated = self._take("^")
        start, last = self._at, -1
        while True:
            if self._at >= len(text):
                raise Unreadable
            char = text[self._at]
            if char == "]" and self._at > start:
                self._at += 1
                break
            posix = re.compile(r"\[:(\^?)(\w+):\]").match(text, self._at)
            if posix:
                self._at, last = posix.end(), -1
                bits = _POSIX.get(posix[2], _ALL)
                found |= _ALL & ~bits if posix[1] else bits
                continue
            is_range = char == "-" and last >= 0 and text[self._at + 1 : self._at + 2] != "]"
            self._at += is_range
            bits = self._in_class()
            code = bits.bit_length() - 1
            if is_range and code >= last:
                bits = (1 << (code + 1)) - (1 << last)
            last = -1 if is_range or bits & (bits - 1) else code
            found |= bits
        return _ALL & ~self._folded(found) if negated else found

    def _in_class(self) -> int:
        if self._take("\\"):
            return self._escaped()
        if self._at >= len(self._text):
            raise Unreadable
        self._at += 1
        return _bits(self._text[self._at - 1])

    def _take(self, sign: str) -> bool:
        if self._text.startswith(sign, self._at):
            self._at += len(sign)
            return True
        return False

    # -- the automaton

    def _folded(self, bits: int) -> int:
        """With both cases of each letter, where they are one."""
        if not self._folds:
            return bits
        letters = bits & _LETTERS
        return bits | (letters << 32 | letters >> 32) & _LETTERS

    def _state(self, bits: int) -> _Part:
        if len(self.chars) >= STATES_MAX:
            raise TooComplex
        self.chars.append(self._folded(bits))
        self.edges.append([])
        state = (len(self.chars) - 1,)
        return _Part(False, state, state)

    def _anything(self) -> _Part:
        """For what is known only while it matches."""
        return self._state(_ALL)._replace(empty=True)

    def _joined(self, one: _Part, other: _Part) -> _Part:
        self._link(one.last, other.first)
        return _Part(
            one.empty and other.empty,
            one.first + (other.first if one.empty else ()),
            other.last + (one.last if other.empty else ()),
            min(one.ways * other.ways, WAYS_MAX),
        )

    def _link(self, last: tuple[int, ...], first: tuple[int, ...]) -> None:
        self.steps += len(last) * len(first)
        if self.steps > STEPS_MAX:
            raise TooComplex
        for state in last:
            self.edges[state] += first

    def _times(self, part: _Part, start: int, end: int, least: int, most: int | None) -> _Part:
        """What stands from `start` to `end`, and is `part` already, so many times."""
        if most == 0:
            return _NOTHING
        if most is None or most > _COPIES_MAX:
            # Unlike a loop without end, a counted one goes on after an empty text.
            for _ in range(2 if most is not None and part.empty else 1):
                self._link(part.last, part.first)
            return part._replace(empty=part.empty or least == 0)
        parts = [part, *(self._again(start, end) for _ in range(most - 1))]
        whole = _NOTHING
        for place in range(len(parts) - 1, -1, -1):
            whole = self._joined(parts[place], whole)
            if place >= least:
                whole = whole._replace(empty=True, ways=whole.ways + 1)
        return whole

    def _again(self, start: int, end: int) -> _Part:
        """One more copy of a part of the pattern."""
        copy = _Parser(self._text[:end], folds=self._folds, extended=self._extended)
        copy._at, copy._depth = start, self._depth
        copy.chars, copy.edges, copy.steps = self.chars, self.edges, self.steps
        part = copy._repeated()
        self.steps = copy.steps
        return part

    def _closed(self, part: _Part) -> _Part:
        """What is never tried another way once it has matched: one state, without loops."""
        bits = 0
        for state in part.first:
            bits |= self.chars[state]
        return self._state(bits)._replace(empty=part.empty)


class _Automaton:
    """The states of a pattern, and the steps that it took to judge it."""

    def __init__(self, chars: list[int], edges: list[list[int]], start: tuple[int, ...]) -> None:
        self._chars, self._edges = [*chars, 0], [*edges, list(start)]
        self.steps = 0
        self.loops = [
            component for component in _components(range(len(chars)), edges.__getitem__)
            if len(component) > 1 or component[0] in edges[component[0]]
        ]  # fmt: skip

    def is_ambiguous(self) -> bool:
        """Whether a state leads back to itself in two ways over the same text."""
        return any(self._splits(set(loop)) for loop in self.loops)

    def _splits(self, loop: set[int]) -> bool:
        for state in loop:
            inside = [after for after in self._edges[state] if after in loop]
            if len(set(inside)) < len(inside):
                return True
        # Two walks part at one state and meet at one: pairs that lie on a way between them.
        parted = self._pairs_after({(state, state) for state in loop}, loop, forward=True)
        met = self._pairs_after({(state, state) for state in loop}, loop, forward=False)
        return any(one != other for one, other in parted & met)

    def _pairs_after(
        self, start: set[tuple[int, int]], loop: set[int], *, forward: bool
    ) -> set[tuple[int, int]]:
        edges: dict[int, set[int]] = {state: set() for state in loop}
        for state in loop:
            for after in loop.intersection(self._edges[state]):
                edges[state if forward else after].add(after if forward else state)
        seen, waiting = set(start), list(start)
        while waiting:
            one, other = waiting.pop()
            for left in edges[one]:
                for right in edges[other]:
                    self._step()
                    if (left, right) not in seen and self._share(left, right):
                        seen.add((left, right))
                        waiting.append((left, right))
        return seen

    def degree(self) -> int:
        """The length of the longest chain of loops that can share a text; 1 for a loop alone."""
        heads = [loop[0] for loop in self.loops]
        return _longest({
            head: [other for other in heads if other != head and self._hands_on(head, other)]
            for head in heads
        })  # fmt: skip

    def forks(self) -> int:
        """How many times, one behind the other, a text can go two ways that meet again."""
        after = {state: list(self._meet_after(state)) for state in range(len(self._edges))}
        return _longest(after) - 1

    def _meet_after(self, start: int) -> set[int]:
        """The states in which two ways from a state meet first."""
        met: set[int] = {
            state for state in self._edges[start] if self._edges[start].count(state) > 1
        }
        seen, waiting = {(start, start)}, [(start, start)]
        while waiting:
            one, other = waiting.pop()
            for left in set(self._edges[one]):
                for right in set(self._edges[other]):
                    self._step()
                    if left == right and one != other:
                        met.add(left)
                    elif left < right and (left, right) not in seen and self._share(left, right):
                        seen.add((left, right))
                        waiting.append((left, right))
        return met

    def _hands_on(self, one: int, other: int) -> bool:
        """Whether one text leads around a loop, from it to another, and around that."""
        start, goal = (one, one, other), (one, other, other)
        seen, waiting = {start}, [start]
        while waiting:
            for after in self._triples(*waiting.pop()):
                if after == goal:
                    return True
                if after not in seen:
                    seen.add(after)
                    waiting.append(after)
        return False

    def _triples(self, one: int, between: int, other: int) -> Iterator[tuple[int, int, int]]:
        for left in set(self._edges[one]):
            for middle in set(self._edges[between]):
                if not self._share(left, middle):
                    continue
                for right in set(self._edges[other]):
                    self._step()
                    if self._chars[left] & self._chars[middle] & self._chars[right]:
                        yield left, middle, right

    def _share(self, one: int, other: int) -> bool:
        return bool(self._chars[one] & self._chars[other])

    def _step(self) -> None:
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise TooComplex


def _longest(after: Mapping[int, Sequence[int]]) -> int:
    """How many nodes the longest chain has."""
    longest: dict[int, int] = {}
    for component in _components(after, after.__getitem__):
        for node in component:
            longest[node] = 1 + max((longest.get(other, 0) for other in after[node]), default=0)
    return max(longest.values(), default=0)


def _components(
    states: Iterable[int], after: Callable[[int], Iterable[int]]
) -> Iterator[list[int]]:
    """Strongly connected components, each before those that lead to it (Tarjan's, no recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    for root in states:
        if root in index:
            continue
        work = [(root, iter(after(root)))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            state, rest = work[-1]
            for other in rest:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(after(other))))
                    break
                if other in on_stack:
                    low[state] = min(low[state], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[state])
                if low[state] == index[state]:
                    component: list[int] = []
                    while not component or component[-1] != state:
                        component.append(stack.pop())
                        on_stack.discard(component[-1])
                    yield component


EXPONENTIAL, POWER, UNKNOWN = "exponential", "power", "unknown"


class Judgement(NamedTuple):
    """How much work a pattern may be: EXPONENTIAL; POWER for a high power of the length of an
    address; UNKNOWN if the pattern is too complex to tell; or "". And the steps that took."""

    work: str
    steps: int


def judge(body: str, flags: str = "") -> Judgement:
    """How much work what stands between the delimiters of a pattern may be."""
    if not any(sign in body for sign in "*+{?|"):
        return Judgement("", 0)
    parser = _Parser(body, folds="i" not in flags, extended="x" in flags)
    automaton = None
    try:
        parser.read()
        automaton = _Automaton(parser.chars, parser.edges, parser.whole.first)
        found = _work(automaton, parser.whole.ways)
    except (TooComplex, RecursionError):
        found = UNKNOWN
    except Unreadable:
        found = ""
    steps = parser.steps + len(parser.chars) + (automaton.steps if automaton else 0)
    return Judgement(found, steps)


def _work(automaton: _Automaton, ways: int) -> str:
    if automaton.is_ambiguous() or (ways >= WAYS_MAX and automaton.forks() > FORKS_MAX):
        return EXPONENTIAL
    return POWER if automaton.degree() > DEGREE_MAX else ""
