"""Edits of `postfix-regexp.cf`. Each takes a roster and returns the edited one, or raises Refused.

Only Postfix knows whether a pattern compiles and what it matches, so its answers are passed in.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from mailroster.base.address import split_extension
from mailroster.base.findings import Finding, ParseError, Refused
from mailroster.edits import aliases
from mailroster.roster.documents import notes
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import regexp
from mailroster.roster.formats.regexp import Placed, Rule
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router

#: Gives the errors that Postfix reports for a table.
Judge = Callable[[Document[Rule]], Iterable[Finding]]


def add_rule(roster: Roster, pattern: str, recipients: Sequence[str], judge: Judge) -> Roster:
    """Adds recipients to the rule of a pattern; a new rule comes last. Refused if the rule has one
    of them already, if it would be inside an `if` without an `endif`, or if Postfix would skip it.
    """
    document = roster.regexp
    place = _outside_if(document, pattern)
    if place is None:
        _refuse_in_block(document, pattern)
        document = document.append(regexp.line(pattern, recipients))
        position = max(each.position for each in regexp.placed(document))
    else:
        position = place.position
        for recipient in recipients:
            rule = document.readable(document.line(position))
            assert rule is not None
            if recipient.lower() in map(str.lower, regexp.recipients(rule.result)):
                raise Refused(f"rule {pattern} has the recipient {recipient!r} already")
            document = regexp.add_recipient(document, position, recipient)
    _refuse_two_domains(document.readable(document.line(position)))
    where = document.location(position)
    for finding in (*document.findings(), *judge(document)):
        if finding.where == where:
            raise Refused(f"Postfix would skip the rule {pattern}: {finding.message}")
    return roster._replace(regexp=document)


def rule_with(document: Document[Rule], pattern: str, recipients: Sequence[str]) -> int | None:
    """The position of the rule of a pattern if it has these recipients, else None."""
    place = _outside_if(document, pattern)
    if place is None:
        return None
    existing = {word.lower() for word in regexp.recipients(place.rule.result)}
    return place.position if existing.issuperset(map(str.lower, recipients)) else None


def delete_rule(roster: Roster, pattern: str, recipients: Sequence[str]) -> Roster:
    """Removes recipients from every rule of a pattern, and a rule with its last one; without
    recipients it removes the rules. A recipient that a rule does not have is no error."""
    document = roster.regexp
    for position, _, _ in reversed(list(_of(document, pattern))):
        rest = _rest(document, position, recipients) if recipients else None
        if rest is None:
            document = notes.without(document, [position])
        elif rest != document.line(position):
            document = document.replace(position, rest.removesuffix("\r"))
    return roster._replace(regexp=document)


def refuse_endless(before: Router, after: Router, recipients: Iterable[str]) -> None:
    """Refused if Postfix can no longer follow a recipient of a rule to its end, or an alias that
    leads to the rule."""
    plain = [word for word in recipients if "$" not in word and word[0] != "@"]
    aliases.refuse_worse(before, after, (*plain, *sorted(_rerouted(before, after))))


def _rerouted(before: Router, after: Router) -> set[str]:
    """The aliases with a recipient for which the patterns now have another result, and the aliases
    that lead to them."""
    keys = {
        key
        for document in after.roster.aliases()
        for key, alias in document.items()
        for word in (*alias.recipients, *((key,) if key[0] != "@" else ()))
        if after.captured(after.qualified(word)) != before.captured(before.qualified(word))
    }
    waiting = list(keys)
    while waiting:
        local, _, domain = after.qualified(waiting.pop()).rpartition("@")
        for document in after.roster.aliases():
            for key, _ in document.mentioning(split_extension(local)[0], domain):
                if key not in keys:
                    keys.add(key)
                    waiting.append(key)
    return keys


def _of(document: Document[Rule], pattern: str) -> Iterator[Placed]:
    for place in regexp.placed(document):
        if place.rule.kind == "match" and place.rule.pattern == pattern:
            yield place


def _outside_if(document: Document[Rule], pattern: str) -> Placed | None:
    """The first rule of a pattern outside of every `if`: the others are for some addresses only."""
    return next((place for place in _of(document, pattern) if not place.within), None)


def _refuse_in_block(document: Document[Rule], pattern: str) -> None:
    for position in regexp.open_ifs(document):
        where = document.location(position)
        raise Refused(
            f"the 'if' in {where} has no 'endif', so the rule {pattern} would be inside it; "
            "add a line 'endif' first"
        )


def _refuse_two_domains(rule: Rule | None) -> None:
    words = regexp.recipients(rule.result) if rule is not None else []
    if len(words) > 1 and any(word[0] == "@" for word in words):
        raise Refused("'@domain' can't be one of several recipients; give it alone")


def _rest(document: Document[Rule], position: int, recipients: Sequence[str]) -> str | None:
    try:
        return regexp.without(document.line(position), recipients)
    except ParseError:
        where = document.location(position)
        raise Refused(
            f"the pattern in {where} has several lines; remove the recipients with an editor"
        ) from None
