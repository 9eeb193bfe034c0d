"""Which rule of `postfix-regexp.cf` takes an address, and what was tried before it.

Only pcre knows, so Postfix is asked (`postmap -q`): with the table whose results name their line,
and with the conditions alone.
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
    """What one rule, or one `if`, said of an address. `result` is what came out of the rule that
    matches, with what its groups matched put in."""

    line: int
    kind: str  # "if" or "match"
    pattern: str
    outcome: str
    result: str | None = None

    def told(self) -> str:
        """The trial without its place, for people."""
        word = "if " if self.kind == "if" else ""
        end = "" if self.result is None else f": {printable(self.result)}"
        return f"{word}{printable(self.pattern)} {self.outcome}{end}"


def trials(document: Document[Rule], address: str) -> list[Trial]:
    """Every rule up to the first that matches an address, with it; all of them if none does.

    Raises NoPcre where nobody can tell, ServerError where postmap fails.
    """
    places = [place for place in regexp.placed(document) if place.rule.kind != "endif"]
    if not places:
        return []
    line, result = winner(document, address)
    if result is not None:
        places = [place for place in places if document.number(place.position) <= line]
    holding = _holding([place for place in places if place.rule.kind == "if"], address)
    found = []
    for position, rule, within in places:
        at = document.number(position)
        kind, wins = rule.kind, result is not None and at == line
        if wins:
            outcome = MATCHES
        elif not holding.issuperset(within):
            outcome = NOT_TRIED
        elif kind == "if":
            outcome = HOLDS if position in holding else DOES_NOT_HOLD
        else:
            outcome = DOES_NOT_MATCH
        found.append(Trial(at, kind, rule.pattern, outcome, result if wins else None))
    return found


def winner(document: Document[Rule], address: str) -> tuple[int, str | None]:
    """The line of the first rule that matches an address, and what it makes of it; (0, None) if
    there is none. Raises as `trials` does."""
    answer = ask_regexp(regexp.numbered(document), [address]).results.get(address)
    return (0, None) if answer is None else _parted(answer)


def winners(document: Document[Rule], addresses: Iterable[str]) -> dict[str, int]:
    """The lines of the first rules that match some addresses. Raises as `trials` does."""
    answers = ask_regexp(regexp.numbered(document), addresses).results
    return {address: _parted(answer)[0] for address, answer in answers.items()}


def _parted(answer: str) -> tuple[int, str]:
    """The line in front of an answer of the numbered table, and the rest of it."""
    line, _, result = answer.partition(" ")
    at = number(line)
    # A rule that we can't read, but Postfix can, has no number in front.
    return (0, answer) if at is None else (at, result)


def _holding(ifs: Sequence[Placed], address: str) -> set[int]:
    """The positions of the conditions that hold, whether anybody asks for them or not."""
    holding: set[int] = set()
    while ifs:
        table = "".join(f"{rule.pattern} {position}\n" for position, rule, _ in ifs)
        first = number(ask_regexp(table, [address]).results.get(address, ""))
        if first is None:
            break
        holding.add(first)
        ifs = [place for place in ifs if place.position > first]
    return holding
