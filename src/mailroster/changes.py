"""What differs between two rosters, without looking at what does not."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from mailroster.address import split
from mailroster.document import Document
from mailroster.resolve import Router, split_extension

E = TypeVar("E")


class Change(NamedTuple):
    """The keys whose entry may be another in a second roster, and the aliases it may concern."""

    before: Router
    after: Router
    keys: Mapping[str, frozenset[str]]  # field of the Roster -> keys
    dependents: frozenset[str]  # keys of the aliases that may lead elsewhere now


def change(before: Router, after: Router) -> Change:
    """The keys of every file that may mean something else in the second roster."""
    keys = {
        name: changed_keys(old, new)
        for (name, old), (_, new) in zip(
            before.roster.documents(), after.roster.documents(), strict=True
        )
    }
    moved = keys["accounts"] | keys["virtual"]
    if keys["regexp"] or before.origin != after.origin:
        every = set(before.roster.virtual.index) | set(after.roster.virtual.index)
        return Change(before, after, keys, frozenset(every))
    found = dependents(before, moved) | dependents(after, moved) | keys["virtual"]
    return Change(before, after, keys, frozenset(found))


def changed_keys(before: Document[E], after: Document[E]) -> frozenset[str]:
    """Keys whose entry may differ: those of the lines that only one document has.

    Where a key stands twice the order of its lines matters too, so those keys are always named.
    """
    if before is after or before.text == after.text:
        return frozenset()
    key_of = before.format.key
    keys = {key_of(line) for line in set(before.lines) ^ set(after.lines)}
    if before.format.ordered:
        return frozenset({""})
    for document in (before, after):
        if len(document.index) < len(document.lines):
            keys |= {key for key, positions in document.index.items() if len(positions) > 1}
    return frozenset(keys - {""})


def dependents(router: Router, keys: Iterable[str]) -> set[str]:
    """Aliases through which mail may reach one of some addresses, by any number of steps.

    Looks for the user's name in the lines of the aliases, so it finds plus-addresses and names
    without a domain too; it may find more than there are, never fewer.
    """
    found: set[str] = set()
    waiting = list(keys)
    while waiting:
        for word in _words(waiting.pop(), router.origin):
            for key, _ in router.roster.virtual.mentions(word):
                if key not in found:
                    found.add(key)
                    waiting.append(key)
    return found


def _words(key: str, origin: str) -> list[str]:
    """What a line that leads to a key may hold."""
    user, domain = split(key)
    if not user:
        return [key]  # a catch-all: anything in its domain may lead to it
    user = split_extension(user)[0]
    if domain in ("", origin):
        return [user]
    return [f"{user}@{domain}", f"{user}+", f"@{domain}"]
