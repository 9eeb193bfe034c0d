"""What of a hand edit goes live at once, and what is held back until it has settled.

Additions and changes go live at once. A removal waits until its file has been unchanged for the
settle time, has no errors and still exists; a damaged or half-written file so takes nothing away.
When the accounts themselves seem to vanish, nothing is removed anywhere until somebody says so.
What a command asked for is never held.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from mailroster.base.findings import ERROR, WARNING, Finding, Location, ParseError
from mailroster.roster.documents.compare import changed_keys, changed_lines
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.documents.notes import WORD, check_note
from mailroster.roster.formats.virtual import Alias
from mailroster.roster.roster import Roster
from mailroster.routing.router import NotFollowed, Router

E = TypeVar("E")

#: More accounts than this gone at once, and more than half of all, are taken for an accident.
MASS_REMOVAL = 5
_MANY = 1000


class ScannedFolder(NamedTuple):
    """How the folder was found."""

    roster: Roster
    missing: frozenset[str]  # fields whose file isn't there
    unreadable: Mapping[str, str]  # field -> why its file can't be read
    settled: Callable[[str], bool]  # whether a field's file has been unchanged long enough


class Decision(NamedTuple):
    """What is to be served now, and what is held back and why."""

    roster: Roster
    findings: tuple[Finding, ...]
    waits: bool  # whether time alone will release something


def hold_back(
    served: Roster,
    found: ScannedFolder,
    asked: Mapping[str, frozenset[str]],
    *,
    accept: bool = False,
) -> Decision:
    """The roster to serve next. `asked`: keys that a command changed, which are never held.

    `accept` lets every removal pass: somebody has said that it is meant.
    """
    findings: list[Finding] = []
    alarm = "" if accept else _alarm(served, found, asked.get("accounts", frozenset()))
    if alarm:
        hint = "restore the file, or run 'setup apply --removals' if it is meant"
        where = Location(served.accounts.format.file)
        findings.append(Finding(where, ERROR, "removals-held", alarm, hint))
    documents: dict[str, Document[object]] = {}
    waits = False
    for (field, old), (_, new) in zip(served.documents(), found.roster.documents(), strict=True):
        removed = field in found.missing or field in found.unreadable
        settled = accept or (found.settled(field) and not alarm and field not in found.unreadable)
        if new.format.ordered and asked.get(field) and not removed:
            settled = True  # it counts as a whole, and so does what was asked for
        if old.same_as(new) or (settled and (removed or not _errors(new))):
            documents[field] = new
        elif new.format.ordered or removed:
            document, reason = _whole(old, new, removed)
            documents[field] = document
            if reason:
                waits = waits or not (alarm or found.settled(field))
                why = found.unreadable.get(field, reason)
                findings.append(_held(old, "the change is held back", why))
        else:
            kept = _keep(old, new, asked.get(field, frozenset()), settled)
            documents[field] = kept.document
            waits = waits or (bool(kept.keys) and not settled and not alarm)
            reason = "the file has errors" if settled else "the file has just been changed"
            reason = "the accounts seem to vanish" if alarm else reason
            findings += [_held(old, f"{key!r} stays for now", reason) for key in kept.keys]
    return Decision(Roster(**documents), tuple(findings), waits)  # type: ignore[arg-type]


class _Kept(NamedTuple):
    document: Document[object]
    keys: list[str]  # of the entries that stay as they were


def _keep(
    old: Document[object], new: Document[object], asked: frozenset[str], settled: bool
) -> _Kept:
    """The new document with the entries that it lacks, and with what its unfinished last line
    was before: a line without its line feed may be half of one."""
    changed = changed_keys(old, new)
    unfinished = ""
    last = None if settled else new.unfinished()
    if last is not None:
        key = new.format.key(new.line(last))
        if key in changed and key not in asked:
            unfinished = key
    lost = [
        (key, position)
        for key in sorted(changed - asked)
        if (position := old.position(key)) is not None and (key == unfinished or key not in new)
    ]
    if not lost and not unfinished:
        return _Kept(new, [])
    removed = {last: None} if last is not None and unfinished else {}
    document = new.edited(removed, [old.line(place).removesuffix("\r") for _, place in lost])
    return _Kept(document, [key for key, _ in lost] or [unfinished])


def _whole(
    old: Document[object], new: Document[object], removed: bool
) -> tuple[Document[object], str]:
    """A file that counts as a whole: the new one if it only adds to the old one, and why not."""
    if removed:
        return old, "" if old.is_empty() else "the file is gone"
    if _errors(new):
        return old, "the file has errors"
    lines = iter(new.lines)
    if new.text.endswith("\n") and all(line in lines for line in old.lines if old.format.key(line)):
        return new, ""
    return old, "the file has just been changed"


def _alarm(served: Roster, found: ScannedFolder, asked: frozenset[str]) -> str:
    """Why the accounts seem to vanish by accident, or ""."""
    if "accounts" in found.unreadable:
        return f"the accounts can't be read ({found.unreadable['accounts']})"
    before, now = served.accounts, found.roster.accounts
    if before.same_as(now) or not before.size_hint():
        return ""
    if "accounts" in found.missing:
        return "the file is gone; its accounts stay, and nothing else is removed"
    lost = [
        key
        for key in changed_keys(before, now) - asked
        if before.positions(key) and not now.positions(key)
    ]
    if lost and not now.size_hint():
        return f"the file has lost all of its {len(lost)} accounts; they stay"
    if len(lost) > MASS_REMOVAL and 2 * len(lost) > before.size_hint():
        return f"the file has lost {len(lost)} of {before.size_hint()} accounts; they stay"
    return ""


def vanished(
    served: Roster, before: Roster, after: Roster, asked: frozenset[str]
) -> frozenset[str]:
    """Accounts that an edit would take away unseen: the accounts file has lost all of its entries,
    and the edit writes a new one without them. `asked`: keys that a command took away before."""
    if before.accounts.size_hint() or not after.accounts.size_hint():
        return frozenset()
    old, new = served.accounts, after.accounts
    return frozenset(
        key
        for key in changed_keys(old, new) - asked
        if old.positions(key) and not new.positions(key)
    )


def _errors(document: Document[object]) -> bool:
    return document.faulty() > 0 or any(
        finding.severity == ERROR for finding in document.format.faults(document)
    )


def _held(document: Document[object], message: str, reason: str) -> Finding:
    where = Location(document.format.file)
    return Finding(where, WARNING, "held-back", message, reason)


def keep_expandable(before: Router, after: Router) -> tuple[Roster, list[Finding]]:
    """The roster of `after`, but with the aliases as they were that Postfix could expand no more.

    A new alias of that kind stays in: it gets no row. If all of them take too many lookups, the
    rest is not followed, and a finding says so. A memory of `after` is used, and keeps the results.
    """
    roster = after.roster
    pairs = list(zip(before.roster.aliases(), after.roster.aliases(), strict=True))
    changed = [changed_keys(old, new) for old, new in pairs]
    if sum(map(len, changed)) > _MANY:
        after = after._replace(roster=after.roster.read_at_once())
    if after.memory is None:
        after = after.remembering()
    kept = [
        _expandable(after, sorted(key for key in keys if key in read), old, new)
        for keys, read, (old, new) in zip(changed, after.roster.aliases(), pairs, strict=True)
    ]
    (virtual, faults), (ours, more) = kept
    return roster._replace(virtual=virtual, local_aliases=ours), faults + more


def _expandable(
    after: Router, keys: Iterable[str], old: Document[Alias], new: Document[Alias]
) -> tuple[Document[Alias], list[Finding]]:
    """As `keep_expandable`, for some keys of one file."""
    kept, findings = new, []
    for key in keys:
        try:
            after.follow(key)
        except NotFollowed:
            message = (
                f"aliases from {key!r} on are served but not followed: all take too many lookups"
            )
            hint = "give aliases fewer recipients; 'setup explain' follows one"
            where = new.location(new.position(key))
            findings.append(Finding(where, WARNING, "not-followed", message, hint))
            break
        except ParseError as fault:
            findings.append(fault.at(new.location(new.position(key))))
            position = old.position(key)
            if position is not None:
                removed = dict.fromkeys(kept.positions(key))
                kept = kept.edited(removed, [old.line(position).removesuffix("\r")])
    return kept, findings


def new_faults(old: Document[E], new: Document[E]) -> list[Finding]:
    """What can't be read of the lines that only the new document has."""
    before, after = changed_lines(old, new)
    many = len(after) > _MANY and not isinstance(new, LargeDocument)
    unreadable = new.unreadable() if many else None
    known = set(before)
    found = []
    for position, line in after:
        if WORD in line and line not in known:
            try:
                check_note(line)
            except ParseError as fault:
                found.append(fault.at(new.location(position)))
        may_be = unreadable is None or position in unreadable
        if may_be and line not in known and new.format.key(line):
            try:
                new.format.parse(line)
            except ParseError as fault:
                found.append(fault.at(new.location(position)))
    return found
