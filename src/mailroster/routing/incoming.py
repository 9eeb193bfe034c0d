"""What leads to an address: aliases, directly and through others, catch-alls, and patterns.

An alias is told if Postfix, asked for it, would deliver to the address in the end; one that only
mentions it is not (its mail may be taken elsewhere on the way). A pattern is told if its result may
be the address: which addresses match it, only pcre can tell.
"""

from collections.abc import Iterator
from typing import NamedTuple

from mailroster.base.address import split, split_extension
from mailroster.base.findings import Location, ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.virtual import Alias
from mailroster.routing.change import may_be, results_of
from mailroster.routing.router import Router

ALIAS, CATCH_ALL, PATTERN = "alias", "catch-all", "pattern"


class IncomingRoute(NamedTuple):
    """One entry that leads to an address. `through`: the addresses between, nearest to it last."""

    kind: str
    key: str
    where: Location
    through: tuple[str, ...] = ()


def leads_to(router: Router, address: str) -> list[IncomingRoute]:
    """Every entry that leads to an address, in the order of the files, nearest first."""
    patterns = list(_patterns(router))
    found: dict[str, IncomingRoute] = {}
    waiting: list[tuple[str, tuple[str, ...]]] = [(address, ())]
    told: dict[int, IncomingRoute] = {}
    while waiting:
        nearest, through = waiting.pop(0)
        user, domain = split(router.qualified(nearest))
        user = split_extension(user)[0]
        for position, pattern, captures in patterns:
            near = [one for one in captures if may_be(one, user, domain)]
            if position not in told and any(_may_reach(router, one, address) for one in near):
                where = router.roster.regexp.location(position)
                told[position] = IncomingRoute(PATTERN, pattern, where, through)
        for document, key in _mentioning(router, user, domain):
            if key not in found and key != address and _reaches(router, key, user, address):
                found[key] = _lead(document, key, through)
                waiting.append((key, (key, *through)))
    return sorted(
        (*found.values(), *told.values()), key=lambda lead: (len(lead.through), lead.where)
    )


def _lead(document: Document[Alias], key: str, through: tuple[str, ...]) -> IncomingRoute:
    kind = CATCH_ALL if key[0] == "@" else ALIAS
    return IncomingRoute(kind, key, document.location(document.position(key)), through)


def _mentioning(router: Router, user: str, domain: str) -> Iterator[tuple[Document[Alias], str]]:
    for there in (domain, "") if domain == router.origin else (domain,):
        for document in router.roster.aliases():
            for key, _ in document.mentioning(user, there):
                yield document, key


def _reaches(router: Router, key: str, user: str, address: str) -> bool:
    """Whether mail to an alias gets to an address; to `@domain`, mail to its user there or to one
    that nobody has."""
    asked = (key,) if key[0] != "@" else (key, f"{user}{key}")
    return any(_ends_at(router, one, address) for one in asked)


def _may_reach(router: Router, result: str, address: str) -> bool:
    """Whether the result of a rule leads to an address, as far as one can tell."""
    return "$" in result or result == address or _ends_at(router, result, address)


def _ends_at(router: Router, asked: str, address: str) -> bool:
    try:
        recipients = router.follow(asked)
    except ParseError:
        return False
    return any(address in (one.lower(), router.mailbox(one)) for one in recipients)


def _patterns(router: Router) -> Iterator[tuple[int, str, list[str]]]:
    """The rules of the regexp file: position, how it reads, what it may turn an address into."""
    document = router.roster.regexp
    for position, line in enumerate(document.lines if not document.is_empty() else ()):
        rule = document.readable(line)
        if rule is not None and rule.kind == "match":
            yield position, f"{rule.pattern} {rule.result}", list(results_of(router, rule))
