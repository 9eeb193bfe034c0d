"""Whose mail goes elsewhere after a change.

The *route* of an address is where its mail ends: mailboxes, and addresses on other servers. What is
refused, is put off, or ends at an address that nobody has, has an empty route.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple

from mailroster.analysis.effects.effect import Affected, Effect
from mailroster.base.address import example, split, split_extension
from mailroster.base.findings import ParseError
from mailroster.routing.change import Change, changed_domains, leading
from mailroster.routing.router import NotFollowed, Router, quoted

#: Has pcre asked for many addresses at once, so that `Router.captured` knows them.
Ask = Callable[[Router, Collection[str]], None]
#: So many addresses are looked at where patterns change, which may concern any.
EXAMINED_MAX = 500_000


class Route(NamedTuple):
    """Where mail ends, in Postfix's order, and which of it on other servers."""

    ends: tuple[str, ...] = ()
    elsewhere: frozenset[str] = frozenset()


class Routes:
    """The routes of one roster; what is asked twice is worked out once."""

    def __init__(self, router: Router) -> None:
        self.router = router.remembering()
        #: Addresses that were not followed, as all of them take too many lookups.
        self.not_followed: set[str] = set()
        self._served: dict[str, bool] = {router.origin: True}

    def of(self, key: str) -> Route:
        """The route of an address, or of a catch-all: of what nobody else in the domain takes."""
        wanted = self.router.qualified(example(key))
        local, domain = split(wanted)
        if not self._is_served(domain.lower()):
            return Route()
        try:
            recipients = self.router.expand(wanted)
        except NotFollowed:
            self.not_followed.add(key)
            return Route()
        except ParseError:
            return Route()
        catch_all = local if key[:1] == "@" else None
        ends = dict.fromkeys(self._end(found, catch_all, domain) for found in recipients)
        ends.pop("", None)
        elsewhere = (end for end in ends if not self._is_served(split(end)[1].lower()))
        return Route(tuple(ends), frozenset(elsewhere))

    def of_result(self, result: str) -> Route:
        """The route of what a pattern makes of an address; `$1` and the like stand as they are."""
        ends: dict[str, None] = {}
        elsewhere: set[str] = set()
        for word in result.replace(",", " ").split():
            route = Route((word,)) if "$" in word else self.of_recipient(word)
            ends |= dict.fromkeys(route.ends)
            elsewhere |= route.elsewhere
        return Route(tuple(ends), frozenset(elsewhere))

    def of_recipient(self, word: str) -> Route:
        """The same for a recipient, which may be on another server."""
        address = self.router.qualified(word)
        if self._is_served(split(address)[1].lower()):
            return self.of(word)
        return Route((address,), frozenset((address,)))

    def _end(self, recipient: str, catch_all: str | None, domain: str) -> str:
        """A final recipient as it is shown: `@domain` where a whole domain leads to another; "" if
        nobody gets the mail."""
        local, there = split(recipient)
        if catch_all is not None and local == catch_all:
            return f"@{there}" if there != domain else ""
        if self.router.mailbox(recipient.lower()) is not None:
            return recipient.lower()
        return "" if self._is_served(there.lower()) else recipient

    def _is_served(self, domain: str) -> bool:
        if domain not in self._served:
            self._served[domain] = self.router.roster.names_domain(domain)
        return self._served[domain]


def concerned(change: Change, ask: Ask, most: int = EXAMINED_MAX) -> Affected:
    """Everybody whose route a change may alter; more than need be.

    `ask` asks pcre for many addresses at once, before each of them is asked for.
    """
    moved = change.keys["accounts"] | change.keys["virtual"] | change.keys["local_aliases"]
    changed = {*moved, *(f"@{domain}" for domain in changed_domains(change))}
    found, any_at_all, left_out = {*filter(_entries(change), moved)}, change.captures, 0
    for router in (change.before, change.after):
        there = leading(router, changed)
        found |= there.aliases
        any_at_all = any_at_all or there.captured
    if any_at_all:
        everybody = _everybody(change)
        left_out = max(0, len(everybody) - most)
        found |= _captured(change, list(islice(everybody, most)), ask)
    handed = _handed_on(change, found)
    found.update(islice(handed, most))
    return Affected(change, tuple(sorted(found)), left_out + sum(1 for _ in handed))


def _entries(change: Change) -> Callable[[str], bool]:
    """Tells whether a key has an entry, before or after: a line that can't be read has none."""
    rosters = (change.before.roster, change.after.roster)
    documents = [document for r in rosters for document in (r.accounts, *r.aliases())]
    return lambda key: any(key in document for document in documents)


def _everybody(change: Change) -> dict[str, None]:
    """The keys of all accounts and aliases, in their order."""
    rosters = (change.before.roster, change.after.roster)
    documents = [document for r in rosters for document in (r.accounts, *r.aliases())]
    return dict.fromkeys(chain(*(document.index for document in documents)))


def _captured(change: Change, keys: Sequence[str], ask: Ask) -> set[str]:
    """Those of some keys that a pattern takes, before or after, and the aliases that lead there."""
    found: set[str] = set()
    for router in (change.before, change.after):
        for document in router.roster.aliases():
            document.counted()
        asked = {router.qualified(key) for key in keys if key[0] != "@"}
        for key in keys:
            alias = router.roster.alias(key)
            if alias is None:
                continue
            asked.update(map(router.qualified, alias.recipients))
            # What comes out of these is no word of the file.
            words = (key, *alias.recipients)
            if key[0] == "@" or any(split_extension(split(word)[0])[1] for word in words):
                found.add(key)
        ask(router, asked)
        taken = {address for address in asked if router.captured(quoted(address)) is not None}
        found.update(key for key in keys if router.qualified(key) in taken)
        found |= leading(router, {address.lower() for address in taken}).aliases
    return found


def _handed_on(change: Change, keys: Collection[str]) -> Iterator[str]:
    """Addresses that exist since a catch-all hands their domain on to another, in which an address
    of the same user is concerned."""
    users = {split(key)[0] for key in keys} - {""}
    for key in sorted(key for key in keys if key[0] == "@"):
        if _hands_on(change.before, key) or _hands_on(change.after, key):
            yield from (f"{user}{key}" for user in sorted(users))


def _hands_on(router: Router, catch_all: str) -> bool:
    alias = router.roster.virtual.get(catch_all)
    return alias is not None and alias.recipients[0][0] == "@"


def rerouted(concerned: Affected, before: Routes, after: Routes) -> Iterator[Effect]:
    """What becomes of the mail of addresses, and of the accounts that come and go."""
    old, new = before.router.roster, after.router.roster
    for key in concerned.keys:
        routes = before.of(key), after.of(key)
        if key in before.not_followed or key in after.not_followed:
            continue
        came = (key in new.accounts) - (key in old.accounts)
        alias = (new.alias(key) is not None) - (old.alias(key) is not None)
        kind = _kind(key, routes[0].ends, routes[1].ends, came, alias)
        if kind:
            yield _effect(kind, key, *routes)
    if left_out := concerned.left_out + len(before.not_followed | after.not_followed):
        count = str(left_out)
        yield Effect("not-examined", "", (count,), (count,))


def _kind(
    key: str, before: tuple[str, ...], after: tuple[str, ...], account: int, alias: int
) -> str:
    """What a change of a route is called; `account`, `alias`: whether there is one more, or one
    less, of this name."""
    if account:
        return "account-added" if account > 0 else "account-removed"
    if alias > 0 and not before:
        return "alias-added"
    if alias < 0 and not after:
        return "alias-removed"
    if sorted(before) == sorted(after):
        return ""
    if not after:
        return "leads-nowhere"
    if not before:
        return "leads-again"
    if (key in before) != (key in after):
        return "mail-taken" if key in before else "mail-returned"
    return "route-changed"


def _effect(kind: str, subject: str, before: Route, after: Route) -> Effect:
    elsewhere = tuple(sorted(before.elsewhere | after.elsewhere))
    return Effect(kind, subject, before.ends, after.ends, elsewhere)


def patterns(change: Change, before: Routes, after: Routes) -> Iterator[Effect]:
    """What becomes of patterns, and of the mail that they take."""
    old, new = before.router.roster.regexp, after.router.roster.regexp
    if not change.captures or (old.is_empty() and new.is_empty()):
        return
    results, results_new = _results(before), _results(after)
    found = False
    for pattern in sorted(results.keys() | results_new.keys()):
        one, other = (
            _of_results(routes, there.get(pattern, ()))
            for routes, there in ((before, results), (after, results_new))
        )
        came = (pattern in results_new) - (pattern in results)
        kind = _kind(pattern, one.ends, other.ends, 0, 0)
        if came:
            kind = "pattern-added" if came > 0 else "pattern-removed"
        if kind:
            found = True
            yield _effect(kind, pattern, one, other)
    if not found and [rule for _, rule in old.items()] != [rule for _, rule in new.items()]:
        yield Effect("patterns-reordered", old.format.file)


def _results(routes: Routes) -> Mapping[str, list[str]]:
    """Pattern -> what the rules with it lead to."""
    found: dict[str, list[str]] = {}
    for _, rule in routes.router.roster.regexp.items():
        if rule.kind == "match":
            found.setdefault(rule.pattern, []).append(rule.result)
    return found


def _of_results(routes: Routes, results: Iterable[str]) -> Route:
    return routes.of_result(" ".join(results))
