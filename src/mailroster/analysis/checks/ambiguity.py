"""How much work a pattern may be for pcre, which tries one way after the other to match a text.

A loop that can match the same text in two ways, like `(a+)+`, doubles the number of ways with each
character; when the rest of the pattern fails, pcre tries them all. Loops one behind the other that
can match the same text, like `.*.*`, raise the work to a power.

Both show in the automaton of the pattern. In the first case two different paths lead from a state
back to itself over the same text. In the second case there is a chain of loops: one text leads
around a loop, from it to the next, and around the next (Weber and Seidl, "On the degree of
ambiguity of finite automata"). Without any loop, as in `a?a?a?a?`, each place where a text can take
two paths that meet again doubles the work as well.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mailroster.analysis.checks.pattern_chars import Unreadable
from mailroster.analysis.checks.pattern_parser import PatternParser
from mailroster.analysis.checks.pattern_states import PATHS_MAX, STEPS_MAX, States, TooComplex

#: With a longer chain of loops, an address of 1,000 characters reaches pcre's own limit.
DEGREE_MAX = 3
#: With more forks one behind the other there are thousands of paths.
FORKS_MAX = 5

EXPONENTIAL, POWER, UNKNOWN = "exponential", "power", "unknown"


class Judgement(NamedTuple):
    """The work that a pattern may be: EXPONENTIAL; POWER for a high power of the length of an
    address; UNKNOWN if the pattern is too complex to tell; or "". And the steps it took to judge
    it."""

    work: str
    steps: int


def judge(body: str, flags: str = "") -> Judgement:
    """Judges the text between the delimiters of a pattern."""
    if not any(sign in body for sign in "*+{?|"):
        return Judgement("", 0)
    states = States(ignores_case="i" not in flags)
    automaton = None
    try:
        whole = PatternParser(body, states, extended="x" in flags).read()
        automaton = _Automaton(states.chars, states.edges, whole.first)
        work = _work(automaton, whole.paths)
    except (TooComplex, RecursionError):
        work = UNKNOWN
    except Unreadable:
        work = ""
    steps = states.steps + len(states.chars) + (automaton.steps if automaton else 0)
    return Judgement(work, steps)


class _Automaton:
    """The automaton of a pattern, and the steps that it takes to judge it."""

    def __init__(self, chars: list[int], edges: list[list[int]], start: tuple[int, ...]) -> None:
        self._chars, self._edges = [*chars, 0], [*edges, list(start)]
        self.steps = 0
        self.loops = [
            component for component in _components(range(len(chars)), edges.__getitem__)
            if len(component) > 1 or component[0] in edges[component[0]]
        ]  # fmt: skip

    def is_ambiguous(self) -> bool:
        """Whether a state leads back to itself on two paths over the same text."""
        return any(self._has_two_paths(set(loop)) for loop in self.loops)

    def _has_two_paths(self, loop: set[int]) -> bool:
        for state in loop:
            inside = [after for after in self._edges[state] if after in loop]
            if len(set(inside)) < len(inside):
                return True
        # Two paths split at one state and meet at one: pairs of states that lie between these.
        split = self._pairs_after({(state, state) for state in loop}, loop, forward=True)
        met = self._pairs_after({(state, state) for state in loop}, loop, forward=False)
        return any(one != other for one, other in split & met)

    def _pairs_after(
        self, start: set[tuple[int, int]], loop: set[int], *, forward: bool
    ) -> set[tuple[int, int]]:
        edges: dict[int, set[int]] = {state: set() for state in loop}
        for state in loop:
            for after in loop.intersection(self._edges[state]):
                source, target = (state, after) if forward else (after, state)
                edges[source].add(target)
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
        """The length of the longest chain of loops that can match one text; 1 for a loop alone."""
        heads = [loop[0] for loop in self.loops]
        return _longest({
            head: [other for other in heads if other != head and self._leads_on(head, other)]
            for head in heads
        })  # fmt: skip

    def forks(self) -> int:
        """The most times, one behind the other, that a text can take two paths that meet again."""
        after = {state: list(self._meet_after(state)) for state in range(len(self._edges))}
        return _longest(after) - 1

    def _meet_after(self, start: int) -> set[int]:
        """The states in which two paths from a state first meet."""
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

    def _leads_on(self, one: int, other: int) -> bool:
        """Whether one text leads around a loop, from it to another, and around the other."""
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
    """The number of nodes of the longest chain."""
    longest: dict[int, int] = {}
    for component in _components(after, after.__getitem__):
        for node in component:
            longest[node] = 1 + max((longest.get(other, 0) for other in after[node]), default=0)
    return max(longest.values(), default=0)


def _components(
    states: Iterable[int], after: Callable[[int], Iterable[int]]
) -> Iterator[list[int]]:
    """Strongly connected components, each before those that lead to it (Tarjan's algorithm, without
    recursion)."""
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


def _work(automaton: _Automaton, paths: int) -> str:
    if automaton.is_ambiguous() or (paths >= PATHS_MAX and automaton.forks() > FORKS_MAX):
        return EXPONENTIAL
    return POWER if automaton.degree() > DEGREE_MAX else ""
