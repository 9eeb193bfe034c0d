"""What differs between two rosters, found without a look at the rest."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from mailroster.base.address import split, split_extension
from mailroster.roster.documents.compare import changed_keys
from mailroster.roster.documents.large import whole
from mailroster.roster.formats.regexp import Rule, recipients
from mailroster.roster.roster import Roster, differing
from mailroster.routing.lookups import DOMAIN_ROLES, SERVER_ROLES
from mailroster.routing.router import Router


class Change(NamedTuple):
    """The keys whose entries may differ between two rosters, and the aliases that this may
    affect."""

    before: Router
    after: Router
    keys: Mapping[str, frozenset[str]]  # field of the Roster -> keys
    dependents: frozenset[str]  # keys of the aliases whose recipients may change
    captures: bool = False  # whether the results of patterns may change, so that of any address


def change(
    before: Router, after: Router, also: Mapping[str, frozenset[str]] | None = None
) -> Change:
    """The change between two rosters; the keys in `also` count as changed."""
    return change_of(before, after, differing_keys(before.roster, after.roster, also or {}))


def differing_keys(
    before: Roster, after: Roster, also: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    """The keys of every file whose entries may differ between two rosters, and those in `also`."""
    keys = dict.fromkeys(Roster._fields, frozenset[str]()) | dict(also)
    for field, old, new in differing(before, after):
        keys[field] |= changed_keys(old, new)
    return keys


def change_of(before: Router, after: Router, keys: Mapping[str, frozenset[str]]) -> Change:
    """The change of the keys that `differing_keys` gives."""
    aliases = keys["virtual"] | keys["local_aliases"]
    moved = keys["accounts"] | aliases | _roles(before, after, keys["accounts"] | keys["virtual"])
    if keys["regexp"] or before.origin != after.origin:
        every = frozenset(_aliases(before) | _aliases(after))
        return Change(before, after, keys, every, captures=True)
    affected, captured = set(aliases), False
    for router in (before, after):
        sources = sources_of(router, moved)
        captured = captured or sources.captured
        affected |= _aliases(router) if sources.captured else sources.aliases
    if before.postmaster and not captured and _moves_postmaster(before, after, moved, keys):
        for router in (before, after):
            affected |= _naming_roles(router)
    return Change(before, after, keys, frozenset(affected), captured)


def _roles(before: Router, after: Router, changed: Iterable[str]) -> frozenset[str]:
    """The roles of the domains that are added or removed, or whose catch-all changes."""
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
    """Whether the route of the postmaster may change, and with it that of the roles, which any
    alias may name. An account that only has another password moves nothing."""
    old, new = before.roster.accounts, after.roster.accounts
    moved -= {key for key in keys["accounts"] if (key in old) == (key in new)} - (
        keys["virtual"] | keys["local_aliases"]
    )
    return any(
        _names_postmaster(after, moved | sources_of(router, moved).aliases)
        for router in (before, after)
    )


def _names_postmaster(router: Router, keys: Collection[str]) -> bool:
    """Whether one of these keys decides where mail to the postmaster goes."""
    local, domain = split(router.qualified(router.postmaster.lower()))
    postmaster = f"{split_extension(local)[0]}@{domain}"
    names = {postmaster, f"@{domain}", local if domain == router.origin else postmaster}
    return not names.isdisjoint(keys)


def _naming_roles(router: Router) -> set[str]:
    """The aliases that may lead to a role, directly or through others."""
    if not router.roster.regexp.is_empty():
        return _aliases(router)  # a pattern may lead to a role from any address
    aliases: set[str] = set()
    for document in map(whole, router.roster.aliases()):
        for position in {at for name in SERVER_ROLES for at in document.naming(name)}:
            aliases.add(document.format.key(document.line(position)))
    aliases.discard("")
    return aliases | sources_of(router, aliases).aliases


def dependents(router: Router, keys: Iterable[str]) -> set[str]:
    """Aliases through which mail may reach one of these addresses, in any number of steps.

    May name too many (a mailbox stops what would go to a catch-all), never too few.
    """
    keys = set(keys)
    aliases, captured = sources_of(router, keys)
    if captured:
        return _aliases(router)
    if router.postmaster and _names_postmaster(router, keys | aliases):
        aliases |= _naming_roles(router)
    return aliases


class AliasSources(NamedTuple):
    """The aliases that lead to some addresses by the recipients they name; and whether a pattern
    may lead there too, so that only pcre knows from which addresses."""

    aliases: set[str]
    captured: bool


def sources_of(router: Router, keys: Iterable[str]) -> AliasSources:
    """As `dependents`, without the aliases that may lead there through a pattern."""
    aliases: set[str] = set()
    captured = False
    waiting = list(keys)
    results = [
        result
        for _, rule in router.roster.regexp.items()
        for result in results_of(router, rule)
    ]  # fmt: skip
    while waiting:
        user, domain = split(router.qualified(waiting.pop()))
        user = split_extension(user)[0]
        captured = captured or any(may_be(result, user, domain) for result in results)
        for written_domain in (domain, "") if domain == router.origin else (domain,):
            for document in router.roster.aliases():
                for alias, _ in document.mentioning(user, written_domain):
                    if alias not in aliases:
                        aliases.add(alias)
                        waiting.append(alias)
    return AliasSources(aliases, captured)


def _aliases(router: Router) -> set[str]:
    """The keys of all aliases."""
    return {*router.roster.virtual.index, *router.roster.local_aliases.index}


def results_of(router: Router, rule: Rule) -> Iterator[str]:
    """The results of a rule, in lower case, with `$1` and the like as they are written."""
    for word in recipients(rule.result.lower()):
        # The captured text may be a whole address.
        yield router.qualified(word) if "@" in word or "$" not in word else f"{word}@$"


def may_be(result: str, user: str, domain: str) -> bool:
    """Whether the result of a rule may be an address, one with an extension of it, or in its
    domain (`user` ""). A result that is a whole domain may be any address in it."""
    local, result_domain = split(result)
    if "$" in result_domain:
        return True
    if result_domain != domain:
        return False
    return "$" in local or not user or not local or split_extension(local)[0] == user


def domains_of(change: Change) -> set[str]:
    """The domains of the accounts and aliases whose lines differ."""
    keys = change.keys["accounts"] | change.keys["virtual"]
    return {domain for key in keys if (domain := split(key)[1])}


def changed_domains(change: Change) -> dict[str, bool]:
    """Domain -> whether it is served after the change, for each domain that is added or removed."""
    before, after = change.before.roster, change.after.roster
    served = {domain: after.names_domain(domain) for domain in domains_of(change)}
    return {domain: is_ for domain, is_ in served.items() if is_ != before.names_domain(domain)}
