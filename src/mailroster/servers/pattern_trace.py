"""Traces an address through the rules of `postfix-regexp.cf`: which rules Postfix tries, and which
one matches.

Only pcre can decide that, so postmap looks the address up: in a table whose results name their
line, and in a table of the conditions alone.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mailroster.base.findings import printable
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import regexp
from mailroster.roster.formats.regexp import Placed, Rule
from mailroster.servers.patterns import ask_regexp
from mailroster.system.programs import number

MATCHES, DOES_NOT_MATCH, NOT_TRIED = "matches", "does not match", "not tried"
HOLDS, DOES_NOT_HOLD = "holds", "does not hold"


class Trial(NamedTuple):
    """The outcome of one rule, or one `if`, for an address. `result`: the result of the rule that
    matches, with its groups filled in."""

    line: int
    kind: str  # "if" or "match"
    pattern: str
    outcome: str
    result: str | None = None

    def describe(self) -> str:
        """The trial in words, without its line."""
        word = "if " if self.kind == "if" else ""
        end = "" if self.result is None else f": {printable(self.result)}"
        return f"{word}{printable(self.pattern)} {self.outcome}{end}"


def trials(document: Document[Rule], address: str) -> list[Trial]:
    """The rules up to the first that matches an address, and that one; all rules if none does.

    Raises NoPcre if no postmap with pcre is installed, ServerError if postmap fails.
    """
    places = [place for place in regexp.placed(document) if place.rule.kind != "endif"]
    if not places:
        return []
    line, result = find_match(document, address)
    if result is not None:
        places = [place for place in places if document.number(place.position) <= line]
    holding = _holding([place for place in places if place.rule.kind == "if"], address)
    outcomes = []
    for position, rule, within in places:
        number = document.number(position)
        kind, is_winner = rule.kind, result is not None and number == line
        if is_winner:
            outcome = MATCHES
        elif not holding.issuperset(within):
            outcome = NOT_TRIED
        elif kind == "if":
            outcome = HOLDS if position in holding else DOES_NOT_HOLD
        else:
            outcome = DOES_NOT_MATCH
        outcomes.append(Trial(number, kind, rule.pattern, outcome, result if is_winner else None))
    return outcomes


def find_match(document: Document[Rule], address: str) -> tuple[int, str | None]:
    """The line and the result of the first rule that matches an address; (0, None) if none does.
    Raises as `trials` does."""
    answer = ask_regexp(regexp.numbered(document), [address]).results.get(address)
    return (0, None) if answer is None else _split(answer)


def find_matching_lines(document: Document[Rule], addresses: Iterable[str]) -> dict[str, int]:
    """The lines of the first rules that match the given addresses. Raises as `trials` does."""
    answers = ask_regexp(regexp.numbered(document), addresses).results
    return {address: _split(answer)[0] for address, answer in answers.items()}


def _split(answer: str) -> tuple[int, str]:
    """The line number at the start of a result of the numbered table, and the rest."""
    line, _, result = answer.partition(" ")
    at = number(line)
    # A rule that Postfix can read, but we can't, has no number.
    return (0, answer) if at is None else (at, result)


def _holding(ifs: Sequence[Placed], address: str) -> set[int]:
    """The positions of all conditions that hold, also of those that Postfix does not reach."""
    holding: set[int] = set()
    while ifs:
        table = "".join(f"{rule.pattern} {position}\n" for position, rule, _ in ifs)
        first = number(ask_regexp(table, [address]).results.get(address, ""))
        if first is None:
            break
        holding.add(first)
        ifs = [place for place in ifs if place.position > first]
    return holding
