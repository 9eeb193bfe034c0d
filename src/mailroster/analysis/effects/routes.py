"""The routes that a change alters.

The *route* of an address is the mailboxes and the addresses on other servers at which its mail
ends. It is empty for mail that is refused or deferred, or that ends at an address that does not
exist.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from mailroster.analysis.effects.effect import Affected, Effect
from mailroster.base.address import example, split, split_extension
from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.roster import Roster
from mailroster.routing.change import Change, changed_domains, sources_of
from mailroster.routing.lookups import quoted
from mailroster.routing.router import NotFollowed, Router

#: Looks many addresses up with pcre at once, so that `Router.captured` knows the results.
Prefetch = Callable[[Router, Collection[str]], None]
#: The most addresses that are examined where patterns change, which may affect any.
EXAMINED_MAX = 500_000


class Route(NamedTuple):
    """The ends of a route, in Postfix's order, and those of them on other servers."""

    ends: tuple[str, ...] = ()
    elsewhere: frozenset[str] = frozenset()


class Routes:
    """The routes of one roster; each is worked out once."""

    def __init__(self, router: Router) -> None:
        self.router = router.remembering()
        #: Addresses that were not followed, since all of them together take too many lookups.
        self.not_followed: set[str] = set()
        self._served: dict[str, bool] = {router.origin: True}

    def of(self, key: str) -> Route:
        """The route of an address; of a catch-all, that of an address that only it matches."""
        address = self.router.qualified(example(key))
        local, domain = split(address)
        if not self._is_served(domain.lower()):
            return Route()
        try:
            recipients = self.router.expand(address)
        except NotFollowed:
            self.not_followed.add(key)
            return Route()
        except ParseError:
            return Route()
        catch_all = local if key[:1] == "@" else None
        ends = dict.fromkeys(self._end(each, catch_all, domain) for each in recipients)
        ends.pop("", None)
        elsewhere = (end for end in ends if not self._is_served(split(end)[1].lower()))
        return Route(tuple(ends), frozenset(elsewhere))

    def of_result(self, result: str) -> Route:
        """The route of the result of a pattern, with `$1` and the like as they are written."""
        ends: dict[str, None] = {}
        elsewhere: set[str] = set()
        for word in result.replace(",", " ").split():
            route = Route((word,)) if "$" in word else self.of_recipient(word)
            ends |= dict.fromkeys(route.ends)
            elsewhere |= route.elsewhere
        return Route(tuple(ends), frozenset(elsewhere))

    def of_recipient(self, word: str) -> Route:
        """The route of a recipient, which may be on another server."""
        address = self.router.qualified(word)
        if self._is_served(split(address)[1].lower()):
            return self.of(word)
        return Route((address,), frozenset((address,)))

    def _end(self, recipient: str, catch_all: str | None, domain: str) -> str:
        """A final recipient as it is shown: `@domain` where a whole domain leads to another; "" if
        it does not exist."""
        local, recipient_domain = split(recipient)
        if catch_all is not None and local == catch_all:
            return f"@{recipient_domain}" if recipient_domain != domain else ""
        if self.router.mailbox(recipient.lower()) is not None:
            return recipient.lower()
        return "" if self._is_served(recipient_domain.lower()) else recipient

    def _is_served(self, domain: str) -> bool:
        if domain not in self._served:
            self._served[domain] = self.router.roster.names_domain(domain)
        return self._served[domain]


def affected_keys(change: Change, prefetch: Prefetch, most: int = EXAMINED_MAX) -> Affected:
    """Every key whose route a change may alter; too many rather than too few."""
    moved = change.keys["accounts"] | change.keys["virtual"] | change.keys["local_aliases"]
    changed = {*moved, *(f"@{domain}" for domain in changed_domains(change))}
    keys, by_patterns, left_out = {*filter(_entries(change), moved)}, change.captures, 0
    for router in (change.before, change.after):
        sources = sources_of(router, changed)
        keys |= sources.aliases
        by_patterns = by_patterns or sources.captured
    if by_patterns:
        every_key = _every_key(change)
        left_out = max(0, len(every_key) - most)
        keys |= _captured(change, list(islice(every_key, most)), prefetch)
    moved_users = _in_domain_aliases(change, keys)
    keys.update(islice(moved_users, most))
    return Affected(change, tuple(sorted(keys)), left_out + sum(1 for _ in moved_users))


def _documents(change: Change) -> list[Document[Any]]:
    """The files of accounts and aliases, before and after."""
    rosters = (change.before.roster, change.after.roster)
    return [document for roster in rosters for document in (roster.accounts, *roster.aliases())]


def _entries(change: Change) -> Callable[[str], bool]:
    """Tells whether a key has an entry, before or after: a line that can't be read has none."""
    documents = _documents(change)
    return lambda key: any(key in document for document in documents)


def _every_key(change: Change) -> dict[str, None]:
    """The keys of all accounts and aliases, in the order of the files."""
    return dict.fromkeys(chain(*(document.index for document in _documents(change))))


def _captured(change: Change, keys: Sequence[str], prefetch: Prefetch) -> set[str]:
    """The keys that a pattern matches, before or after, and the aliases that lead to them."""
    affected: set[str] = set()
    for router in (change.before, change.after):
        for document in router.roster.aliases():
            document.counted()
        addresses = {router.qualified(key) for key in keys if key[0] != "@"}
        for key in keys:
            alias = router.roster.alias(key)
            if alias is None:
                continue
            addresses.update(map(router.qualified, alias.recipients))
            # The file does not contain the addresses that these lead to.
            words = (key, *alias.recipients)
            if key[0] == "@" or any(split_extension(split(word)[0])[1] for word in words):
                affected.add(key)
        prefetch(router, addresses)
        captured = {a for a in addresses if router.captured(quoted(a)) is not None}
        affected.update(key for key in keys if router.qualified(key) in captured)
        affected |= sources_of(router, {address.lower() for address in captured}).aliases
    return affected


def _in_domain_aliases(change: Change, keys: Collection[str]) -> Iterator[str]:
    """The addresses that a domain alias (`@old @new`) makes of the users of these keys."""
    users = {split(key)[0] for key in keys} - {""}
    for key in sorted(key for key in keys if key[0] == "@"):
        if change.before.is_domain_alias(key) or change.after.is_domain_alias(key):
            yield from (f"{user}{key}" for user in sorted(users))


def rerouted(affected: Affected, before: Routes, after: Routes) -> Iterator[Effect]:
    """The effects on the mail of addresses, and the accounts that are added and removed."""
    for key in affected.keys:
        route, new_route = before.of(key), after.of(key)
        if key in before.not_followed or key in after.not_followed:
            continue
        kind = _kind_of_key(key, route, new_route, before.router.roster, after.router.roster)
        if kind:
            yield _effect(kind, key, route, new_route)
    if left_out := affected.left_out + len(before.not_followed | after.not_followed):
        count = str(left_out)
        yield Effect("not-examined", "", (count,), (count,))


def _kind_of_key(key: str, before: Route, after: Route, old: Roster, new: Roster) -> str:
    """The kind of the effect on a key, "" for none."""
    if key in new.accounts and key not in old.accounts:
        return "account-added"
    if key in old.accounts and key not in new.accounts:
        return "account-removed"
    alias, new_alias = old.alias(key), new.alias(key)
    if alias is None and new_alias is not None and not before.ends:
        return "alias-added"
    if alias is not None and new_alias is None and not after.ends:
        return "alias-removed"
    return _kind_of_route(key, before, after)


def _kind_of_route(key: str, before: Route, after: Route) -> str:
    """The kind of the change of a route, "" for none."""
    if sorted(before.ends) == sorted(after.ends):
        return ""
    if not after.ends:
        return "leads-nowhere"
    if not before.ends:
        return "leads-again"
    if key in before.ends and key not in after.ends:
        return "mail-taken"
    if key in after.ends and key not in before.ends:
        return "mail-returned"
    return "route-changed"


def _effect(kind: str, subject: str, before: Route, after: Route) -> Effect:
    elsewhere = tuple(sorted(before.elsewhere | after.elsewhere))
    return Effect(kind, subject, before.ends, after.ends, elsewhere)


def patterns(change: Change, before: Routes, after: Routes) -> Iterator[Effect]:
    """The effects on patterns, and on the mail that they match."""
    old, new = before.router.roster.regexp, after.router.roster.regexp
    if not change.captures or (old.is_empty() and new.is_empty()):
        return
    results, new_results = _results(before), _results(after)
    has_effects = False
    for pattern in sorted(results.keys() | new_results.keys()):
        route = before.of_result(" ".join(results.get(pattern, ())))
        new_route = after.of_result(" ".join(new_results.get(pattern, ())))
        if pattern not in results:
            kind = "pattern-added"
        elif pattern not in new_results:
            kind = "pattern-removed"
        else:
            kind = _kind_of_route(pattern, route, new_route)
        if kind:
            has_effects = True
            yield _effect(kind, pattern, route, new_route)
    if not has_effects and [rule for _, rule in old.items()] != [rule for _, rule in new.items()]:
        yield Effect("patterns-reordered", old.format.file)


def _results(routes: Routes) -> Mapping[str, list[str]]:
    """Pattern -> the results of its rules."""
    results: dict[str, list[str]] = {}
    for _, rule in routes.router.roster.regexp.items():
        if rule.kind == "match":
            results.setdefault(rule.pattern, []).append(rule.result)
    return results
