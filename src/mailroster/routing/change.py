"""What differs between two rosters, without looking at what does not."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from mailroster.base.address import split, split_extension
from mailroster.roster.documents.compare import changed_keys
from mailroster.roster.documents.large import whole
from mailroster.roster.formats.regexp import Rule
from mailroster.roster.roster import Roster, differing
from mailroster.routing.router import DOMAIN_ROLES, SERVER_ROLES, Router


class Change(NamedTuple):
    """The keys whose entry may be another in a second roster, and the aliases it may concern."""

    before: Router
    after: Router
    keys: Mapping[str, frozenset[str]]  # field of the Roster -> keys
    dependents: frozenset[str]  # keys of the aliases that may lead elsewhere now
    captures: bool = False  # whether patterns may too, and with them any address at all


def change(
    before: Router, after: Router, also: Mapping[str, frozenset[str]] | None = None
) -> Change:
    """The keys of every file that may mean something else in the second roster, and some more."""
    return change_of(before, after, differing_keys(before.roster, after.roster, also or {}))


def differing_keys(
    before: Roster, after: Roster, also: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    """The keys of every file whose entry may be another in the second roster, and some more."""
    keys = dict.fromkeys(Roster._fields, frozenset[str]()) | dict(also)
    for field, old, new in differing(before, after):
        keys[field] |= changed_keys(old, new)
    return keys


def change_of(before: Router, after: Router, keys: Mapping[str, frozenset[str]]) -> Change:
    """The change that `differing_keys` makes."""
    aliases = keys["virtual"] | keys["local_aliases"]
    moved = keys["accounts"] | aliases | _roles(before, after, keys["accounts"] | keys["virtual"])
    if keys["regexp"] or before.origin != after.origin:
        every = frozenset(_aliases(before) | _aliases(after))
        return Change(before, after, keys, every, captures=True)
    found, captured = set(aliases), False
    for router in (before, after):
        there = leading(router, moved)
        captured = captured or there.captured
        found |= _aliases(router) if there.captured else there.aliases
    if before.postmaster and not captured and _moves_postmaster(before, after, moved, keys):
        for router in (before, after):
            found |= _naming_roles(router)
    return Change(before, after, keys, frozenset(found), captured)


def _roles(before: Router, after: Router, changed: Iterable[str]) -> frozenset[str]:
    """The roles of the domains that are new, are gone, or have another catch-all."""
    if not after.postmaster:
        return frozenset()
    domains = {split(key)[1] for key in changed if key[0] == "@"}
    for domain in {split(key)[1] for key in changed} - domains - {""}:
        if before.roster.names_domain(domain) != after.roster.names_domain(domain):
            domains.add(domain)
    return frozenset(f"{name}@{domain}" for domain in domains for name in DOMAIN_ROLES)


def _moves_postmaster(
    before: Router, after: Router, moved: frozenset[str], keys: Mapping[str, frozenset[str]]
) -> bool:
    """Whether mail to the postmaster may go elsewhere, and with it that of the roles, which any
    alias may name. An account that only has another password moves nothing."""
    old, new = before.roster.accounts, after.roster.accounts
    moved -= {key for key in keys["accounts"] if (key in old) == (key in new)} - (
        keys["virtual"] | keys["local_aliases"]
    )
    return any(
        _names_postmaster(after, moved | leading(router, moved).aliases)
        for router in (before, after)
    )


def _names_postmaster(router: Router, keys: Collection[str]) -> bool:
    """Whether one of some keys decides where mail to the postmaster goes."""
    local, domain = split(router.qualified(router.postmaster.lower()))
    postmaster = f"{split_extension(local)[0]}@{domain}"
    names = {postmaster, f"@{domain}", local if domain == router.origin else postmaster}
    return not names.isdisjoint(keys)


def _naming_roles(router: Router) -> set[str]:
    """The aliases that may lead to a role, and those that lead to them."""
    if not router.roster.regexp.is_empty():
        return _aliases(router)  # a pattern may lead there from anywhere
    found: set[str] = set()
    for document in map(whole, router.roster.aliases()):
        for position in {at for name in SERVER_ROLES for at in document.naming(name)}:
            found.add(document.format.key(document.line(position)))
    return found - {""} | leading(router, found - {""}).aliases


def dependents(router: Router, keys: Iterable[str]) -> set[str]:
    """Aliases through which mail may reach one of some addresses, by any number of steps.

    May name more than there are (a mailbox stops what would go to a catch-all), never fewer.
    """
    keys = set(keys)
    aliases, captured = leading(router, keys)
    if captured:
        return _aliases(router)
    if router.postmaster and _names_postmaster(router, keys | aliases):
        aliases |= _naming_roles(router)
    return aliases


class Leading(NamedTuple):
    """Who leads to some addresses: aliases by what they mention, and whether patterns may, so that
    only pcre knows who else."""

    aliases: set[str]
    captured: bool


def leading(router: Router, keys: Iterable[str]) -> Leading:
    """As `dependents`, but the aliases that may lead there through a pattern are not named."""
    found: set[str] = set()
    captured = False
    waiting = list(keys)
    captures = list(_captures(router))
    while waiting:
        key = waiting.pop()
        user, domain = split(router.qualified(key))
        user = split_extension(user)[0]
        captured = captured or any(may_be(capture, user, domain) for capture in captures)
        for there in (domain, "") if domain == router.origin else (domain,):
            for document in router.roster.aliases():
                for alias, _ in document.mentioning(user, there):
                    if alias not in found:
                        found.add(alias)
                        waiting.append(alias)
    return Leading(found, captured)


def _aliases(router: Router) -> set[str]:
    """The keys of all aliases."""
    return {*router.roster.virtual.index, *router.roster.local_aliases.index}


def _may_reach(recipient: str, user: str, domain: str) -> bool:
    """Whether a recipient is an address, one with an extension of it, or its whole domain."""
    local, there = split(recipient)
    return there == domain and (not user or not local or split_extension(local)[0] == user)


def _captures(router: Router) -> Iterator[str]:
    """What the rules of the regexp file turn addresses into."""
    for _, rule in router.roster.regexp.items():
        yield from results_of(router, rule)


def results_of(router: Router, rule: Rule) -> Iterator[str]:
    """What a rule turns addresses into, in lower case, `$1` and all."""
    for word in rule.result.lower().replace(",", " ").split():
        # A captured text may be a whole address.
        yield router.qualified(word) if "@" in word or "$" not in word else f"{word}@$"


def may_be(capture: str, user: str, domain: str) -> bool:
    """Whether a rule's result may be an address, one with an extension of it, or in its domain."""
    local, there = split(capture)
    if "$" in there:
        return True
    return _may_reach(f"@{there}" if "$" in local else capture, user, domain)


def domains_of(change: Change) -> set[str]:
    """The domains of the accounts and aliases whose lines differ."""
    keys = change.keys["accounts"] | change.keys["virtual"]
    return {domain for key in keys if (domain := split(key)[1])}


def changed_domains(change: Change) -> dict[str, bool]:
    """Domain -> whether it is served afterwards, of each domain for which that differs."""
    before, after = change.before.roster, change.after.roster
    served = {domain: after.names_domain(domain) for domain in domains_of(change)}
    return {domain: is_ for domain, is_ in served.items() if is_ != before.names_domain(domain)}
