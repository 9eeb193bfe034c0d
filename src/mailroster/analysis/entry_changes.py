"""The entries that differ between two rosters, and their text for a log: `added: account
john@x.example; changed: alias info@x.example`."""

from collections.abc import Collection, Iterable, Mapping
from heapq import nsmallest
from typing import NamedTuple

from mailroster.base.findings import printable
from mailroster.roster.documents.compare import changed_lines
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import whole
from mailroster.roster.roster import Roster, differing

ADDED, CHANGED, REMOVED = "added", "changed", "removed"
#: The most keys that are named of each kind of entry; the rest is counted.
NAMED_MAX = 3
#: Beyond this many keys, entries are not parsed to see whether they really differ.
_LOOKED_UP_MAX = 1000
#: One entry of a field of the Roster, and many.
NOUNS: Mapping[str, tuple[str, str]] = {
    "accounts": ("account", "accounts"),
    "quotas": ("quota of", "quotas of"),
    "virtual": ("alias", "aliases"),
    "regexp": ("rule by pattern", "rules by pattern"),
    "masters": ("master", "masters"),
    "send_access": ("send restriction", "send restrictions"),
    "receive_access": ("receive restriction", "receive restrictions"),
    "sender_logins": ("sender rights of", "sender rights of"),
    "local_aliases": ("local alias", "local aliases"),
    "relaymap": ("relay of", "relays of"),
    "sasl_passwords": ("relay login of", "relay logins of"),
    "app_passwords": ("app password", "app passwords"),
}


class EntryChanges(NamedTuple):
    """The entries of one field that differ: the first keys of each kind, and how many there are."""

    field: str
    keys: Mapping[str, tuple[str, ...]]  # by ADDED, CHANGED, REMOVED
    counts: Mapping[str, int]


def entry_changes(before: Roster, after: Roster) -> list[EntryChanges]:
    """The changes of each file that has any."""
    changes_by_file = [_of_file(field, old, new) for field, old, new in differing(before, after)]
    return [changes for changes in changes_by_file if any(changes.counts.values())]


def _of_file(field: str, old: Document[object], new: Document[object]) -> EntryChanges:
    if not old.size_hint():
        return _counted(field, {ADDED: [*whole(new).counted()]})
    if not new.size_hint():
        return _counted(field, {REMOVED: [*whole(old).counted()]})
    removed, placed = changed_lines(old, new)
    key_of = old.format.key
    old_keys = {key_of(line) for line in removed} - {""}
    new_keys = {key_of(line) for _, line in placed} - {""}
    if len(old_keys) + len(new_keys) > _LOOKED_UP_MAX:
        kinds = {
            ADDED: new_keys - old_keys,
            CHANGED: new_keys & old_keys,
            REMOVED: old_keys - new_keys,
        }
        return _counted(field, kinds)
    differing_keys = [key for key in old_keys | new_keys if old.get(key) != new.get(key)]
    kinds = {
        ADDED: {key for key in differing_keys if key not in old},
        CHANGED: {key for key in differing_keys if key in old and key in new},
        REMOVED: {key for key in differing_keys if key not in new},
    }
    return _counted(field, kinds)


def _counted(field: str, kinds: Mapping[str, Collection[str]]) -> EntryChanges:
    """The first keys in alphabetical order, and the numbers of all."""
    named = {kind: tuple(nsmallest(NAMED_MAX, keys)) for kind, keys in kinds.items()}
    return EntryChanges(field, named, {kind: len(keys) for kind, keys in kinds.items()})


def described(changes: Iterable[EntryChanges]) -> str:
    """The changes as one line, "" for none."""
    changes = list(changes)
    parts = []
    for kind in (ADDED, CHANGED, REMOVED):
        texts = [_named(change, kind) for change in changes if change.counts.get(kind)]
        if texts:
            parts.append(f"{kind}: {', '.join(texts)}")
    return "; ".join(parts)


def _named(change: EntryChanges, kind: str) -> str:
    one, many = NOUNS[change.field]
    count, keys = change.counts[kind], change.keys[kind]
    names = ", ".join(map(printable, keys))
    if count == 1:
        return f"{one} {names}"
    if count == len(keys):
        return f"{many} {names}"
    return f"{count:,} {many.removesuffix(' of')} ({names}, …)"
