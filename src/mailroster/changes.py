"""What differs between two rosters, without looking at what does not."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from mailroster.address import is_idna, split
from mailroster.document import Document
from mailroster.resolve import Router, split_extension
from mailroster.roster import Roster, differing

E = TypeVar("E")


class Change(NamedTuple):
    """The keys whose entry may be another in a second roster, and the aliases it may concern."""

    before: Router
    after: Router
    keys: Mapping[str, frozenset[str]]  # field of the Roster -> keys
    dependents: frozenset[str]  # keys of the aliases that may lead elsewhere now


def change(before: Router, after: Router) -> Change:
    """The keys of every file that may mean something else in the second roster."""
    keys: dict[str, frozenset[str]] = dict.fromkeys(Roster._fields, frozenset())
    for field, old, new in differing(before.roster, after.roster):
        keys[field] = changed_keys(old, new)
    moved = keys["accounts"] | keys["virtual"]
    if keys["regexp"] or before.origin != after.origin:
        every = set(before.roster.virtual.index) | set(after.roster.virtual.index)
        return Change(before, after, keys, frozenset(every))
    found = dependents(before, moved) | dependents(after, moved) | keys["virtual"]
    return Change(before, after, keys, frozenset(found))


def changed_lines(before: Document[E], after: Document[E]) -> tuple[int, list[str], list[str]]:
    """Where two documents begin to differ, and the lines of each up to where they end to."""
    old, new = before.lines, after.lines
    start = _common(old, new)
    end = min(_common(reversed(old), reversed(new)), len(old) - start, len(new) - start)
    return start, old[start : len(old) - end], new[start : len(new) - end]


def changed_keys(before: Document[E], after: Document[E]) -> frozenset[str]:
    """Keys whose entry may differ: those of the lines that only one document has.

    Where a key stands twice the order of its lines matters too: if lines have changed places, all
    of their keys are named.
    """
    if before is after or before.text == after.text:
        return frozenset()
    if before.format.ordered:
        return frozenset({""})
    _, old, new = changed_lines(before, after)
    gone, come = set(old).difference(new), set(new).difference(old)
    lines = gone | come
    if [line for line in old if line not in gone] != [line for line in new if line not in come]:
        lines = {*old, *new}
    return frozenset({before.format.key(line) for line in lines} - {""})


def _common(some: Iterable[str], others: Iterable[str]) -> int:
    """How many items two sequences have in common at their beginning."""
    count = 0
    for one, other in zip(some, others, strict=False):
        if one != other:
            break
        count += 1
    return count


def dependents(router: Router, keys: Iterable[str]) -> set[str]:
    """Aliases through which mail may reach one of some addresses, by any number of steps.

    May name more than there are (a mailbox stops what would go to a catch-all), never fewer.
    """
    found: set[str] = set()
    waiting = list(keys)
    captures = list(_captures(router))
    while waiting:
        key = waiting.pop()
        user, domain = split(router.qualified(key))
        user = split_extension(user)[0]
        if any(_may_be(capture, user, domain) for capture in captures):
            return set(router.roster.virtual.index)  # only pcre knows who leads to the rule
        for word in _words(user, domain, router.origin):
            for _, alias in router.roster.virtual.mentions(word):
                ways = [recipient.lower() for recipient in alias.recipients]
                if "@" not in alias.key:  # the account of that name comes before the alias
                    ways.append(alias.key)
                if alias.key not in found and any(
                    _may_reach(router.qualified(way), user, domain) for way in ways
                ):
                    found.add(alias.key)
                    waiting.append(alias.key)
    return found


def _words(user: str, domain: str, origin: str) -> list[str]:
    """What a line that leads to an address must hold, one of them."""
    if domain == origin and (not user or is_idna(domain)):
        return [""]  # names without a domain lead to it too
    foreign = [f"{user}%{domain}", f"{domain}!{user}"]  # trivial-rewrite(8)
    if is_idna(domain):
        return [f"{user}@", f"{user}+", "@", *foreign]
    if not user:
        return [f"@{domain}", *foreign]  # a catch-all: anything in its domain may lead to it
    if domain == origin:
        return [user, f"@{domain}"]
    return [f"{user}@{domain}", f"{user}+", *(f"{blank}@{domain}" for blank in " \t,"), *foreign]


def _may_reach(recipient: str, user: str, domain: str) -> bool:
    """Whether a recipient is an address, one with an extension of it, or its whole domain."""
    local, there = split(recipient)
    return there == domain and (not user or not local or split_extension(local)[0] == user)


def _captures(router: Router) -> Iterator[str]:
    """What the rules of the regexp file turn addresses into, in lower case, `$1` and all."""
    for _, rule in router.roster.regexp.items():
        for word in rule.result.lower().replace(",", " ").split():
            # A captured text may be a whole address.
            yield router.qualified(word) if "@" in word or "$" not in word else f"{word}@$"


def _may_be(capture: str, user: str, domain: str) -> bool:
    """Whether a rule's result may be an address, one with an extension of it, or in its domain."""
    local, there = split(capture)
    if "$" in there:
        return True
    return _may_reach(f"@{there}" if "$" in local else capture, user, domain)
