"""The entries that lead to an address: aliases, directly and through others, catch-alls and
patterns.

An alias counts if Postfix would deliver its mail to the address in the end. One that only mentions
the address does not: an entry on the route may send the mail elsewhere. A pattern counts if its
result may be the address; only pcre can tell which addresses it matches.
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
    """One entry that leads to an address. `through`: the addresses between the two, the nearest to
    the entry first."""

    kind: str
    key: str
    where: Location
    through: tuple[str, ...] = ()


class _Rule(NamedTuple):
    """A rule of the regexp file: its text, and its results in lower case."""

    where: Location
    text: str
    results: list[str]


def leads_to(router: Router, address: str) -> list[IncomingRoute]:
    """Every entry that leads to an address, nearest first, in the order of the files."""
    rules = list(_rules(router))
    aliases: dict[str, IncomingRoute] = {}
    patterns: dict[Location, IncomingRoute] = {}
    waiting: list[tuple[str, tuple[str, ...]]] = [(address, ())]
    while waiting:
        target, through = waiting.pop(0)
        user, domain = split(router.qualified(target))
        user = split_extension(user)[0]
        for where, text, results in rules:
            near = [result for result in results if may_be(result, user, domain)]
            if where not in patterns and any(_may_reach(router, each, address) for each in near):
                patterns[where] = IncomingRoute(PATTERN, text, where, through)
        for document, key in _mentioning(router, user, domain):
            if key not in aliases and key != address and _reaches(router, key, user, address):
                kind = CATCH_ALL if key[0] == "@" else ALIAS
                where = document.location(document.position(key))
                aliases[key] = IncomingRoute(kind, key, where, through)
                waiting.append((key, (key, *through)))
    routes = (*aliases.values(), *patterns.values())
    return sorted(routes, key=lambda route: (len(route.through), route.where))


def _mentioning(router: Router, user: str, domain: str) -> Iterator[tuple[Document[Alias], str]]:
    for written_domain in (domain, "") if domain == router.origin else (domain,):
        for document in router.roster.aliases():
            for key, _ in document.mentioning(user, written_domain):
                yield document, key


def _reaches(router: Router, key: str, user: str, address: str) -> bool:
    """Whether mail to an alias reaches an address. Of `@domain`: mail to this user in the domain,
    or to a user that does not exist."""
    sources = (key,) if key[0] != "@" else (key, f"{user}{key}")
    return any(_ends_at(router, source, address) for source in sources)


def _may_reach(router: Router, result: str, address: str) -> bool:
    """Whether the result of a rule may lead to an address."""
    return "$" in result or result == address or _ends_at(router, result, address)


def _ends_at(router: Router, source: str, address: str) -> bool:
    try:
        recipients = router.follow(source)
    except ParseError:
        return False
    return any(address in (end.lower(), router.mailbox(end)) for end in recipients)


def _rules(router: Router) -> Iterator[_Rule]:
    document = router.roster.regexp
    for position, line in enumerate(document.lines if not document.is_empty() else ()):
        rule = document.readable(line)
        if rule is not None and rule.kind == "match":
            text = f"{rule.pattern} {rule.result}"
            yield _Rule(document.location(position), text, list(results_of(router, rule)))
