"""The verbs for `postfix-regexp.cf`. Each takes a roster and gives another, or Refused.

Whether a pattern compiles, and what it takes, only Postfix can tell: its answers are handed in.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from mailroster.base.address import split_extension
from mailroster.base.findings import Finding, ParseError, Refused
from mailroster.edits import accounts
from mailroster.roster.documents import notes
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import regexp
from mailroster.roster.formats.regexp import Placed, Rule
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router

#: What Postfix finds wrong with a table.
Judge = Callable[[Document[Rule]], Iterable[Finding]]


def add_rule(roster: Roster, pattern: str, recipients: Sequence[str], judge: Judge) -> Roster:
    """With recipients on the rule of a pattern; a new rule comes last. Refused if the rule has one
    of them already, if it would stand in an `if` that nobody closes, or if Postfix would skip it.
    """
    document = roster.regexp
    found = _counting(document, pattern)
    if found is None:
        _refuse_in_block(document, pattern)
        document = document.append(regexp.line(pattern, recipients))
        position = max(place.position for place in regexp.placed(document))
    else:
        position = found.position
        for recipient in recipients:
            rule = document.readable(document.line(position))
            assert rule is not None
            if recipient.lower() in map(str.lower, regexp.recipients(rule.result)):
                raise Refused(f"rule {pattern} has the recipient {recipient!r} already")
            document = regexp.add_recipient(document, position, recipient)
    _one_domain(document.readable(document.line(position)))
    where = document.location(position)
    for finding in (*document.findings(), *judge(document)):
        if finding.where == where:
            raise Refused(f"Postfix would skip the rule {pattern}: {finding.message}")
    return roster._replace(regexp=document)


def rule_with(document: Document[Rule], pattern: str, recipients: Sequence[str]) -> int | None:
    """The position of the rule of a pattern that has some recipients; None if there is none."""
    found = _counting(document, pattern)
    if found is None:
        return None
    there = {word.lower() for word in regexp.recipients(found.rule.result)}
    return found.position if there.issuperset(map(str.lower, recipients)) else None


def delete_rule(roster: Roster, pattern: str, recipients: Sequence[str]) -> Roster:
    """Without some recipients of every rule of a pattern, or without the rules if none is named;
    one left bare goes. What isn't there is no error."""
    document = roster.regexp
    for position, _, _ in reversed(list(_of(document, pattern))):
        rest = _rest(document, position, recipients) if recipients else None
        if rest is None:
            document = notes.without(document, [position])
        elif rest != document.line(position):
            document = document.replace(position, rest.removesuffix("\r"))
    return roster._replace(regexp=document)


def refuse_endless(before: Router, after: Router, recipients: Iterable[str]) -> None:
    """Refused if Postfix could not follow a recipient of a rule to its end, or an alias that is led
    to the rule, and could before."""
    plain = [word for word in recipients if "$" not in word and word[0] != "@"]
    accounts.refuse_worse(before, after, (*plain, *sorted(_led_elsewhere(before, after))))


def _led_elsewhere(before: Router, after: Router) -> set[str]:
    """The aliases with a recipient of which the patterns make something else now, and those that
    lead to one of these."""
    found = {
        key
        for document in after.roster.aliases()
        for key, alias in document.items()
        for word in (*alias.recipients, *((key,) if key[0] != "@" else ()))
        if after.captured(after.qualified(word)) != before.captured(before.qualified(word))
    }
    waiting = list(found)
    while waiting:
        local, _, domain = after.qualified(waiting.pop()).rpartition("@")
        for document in after.roster.aliases():
            for key, _ in document.mentioning(split_extension(local)[0], domain):
                if key not in found:
                    found.add(key)
                    waiting.append(key)
    return found


def _of(document: Document[Rule], pattern: str) -> Iterator[Placed]:
    for place in regexp.placed(document):
        if place.rule.kind == "match" and place.rule.pattern == pattern:
            yield place


def _counting(document: Document[Rule], pattern: str) -> Placed | None:
    """The first rule of a pattern that stands in no `if`: others count for some addresses only."""
    return next((place for place in _of(document, pattern) if not place.within), None)


def _refuse_in_block(document: Document[Rule], pattern: str) -> None:
    for position in regexp.open_ifs(document):
        where = document.location(position)
        raise Refused(
            f"the 'if' of {where} has no 'endif', so the rule {pattern} would count only where it "
            "holds; add a line 'endif' first"
        )


def _one_domain(rule: Rule | None) -> None:
    words = regexp.recipients(rule.result) if rule is not None else []
    if len(words) > 1 and any(word[0] == "@" for word in words):
        raise Refused("'@domain' can't stand among several recipients; give it alone")


def _rest(document: Document[Rule], position: int, recipients: Sequence[str]) -> str | None:
    try:
        return regexp.without(document.line(position), recipients)
    except ParseError:
        where = document.location(position)
        raise Refused(
            f"the pattern of {where} goes over several lines; take recipients out by hand"
        ) from None
