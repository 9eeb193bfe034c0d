"""The removal guard: decides which hand edits become live at once, and which changes wait.

Additions and changes are live at once. A removal waits until its file has been unchanged for the
settle time, has no errors and still exists: a damaged or half-written file removes nothing. If the
accounts seem to be lost, nothing is removed anywhere until the removal is confirmed. What a command
intended never waits.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from mailroster.base.findings import ERROR, WARNING, Finding, Location, ParseError
from mailroster.roster.documents.compare import changed_keys, changed_lines
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.documents.notes import WORD, check_note
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.virtual import Alias
from mailroster.roster.roster import Roster
from mailroster.routing.router import NotFollowed, Router

E = TypeVar("E")

#: More lost accounts than this, and more than half of all, count as an accident.
MASS_REMOVAL = 5
_MANY = 1000


class ScannedFolder(NamedTuple):
    """The config folder as it was read."""

    roster: Roster
    missing: frozenset[str]  # fields without a file
    unreadable: Mapping[str, str]  # field -> why its file can't be read, and what to do
    settled: Callable[[str], bool]  # whether the file of a field has been unchanged long enough


class Decision(NamedTuple):
    """The next live roster, and the changes that wait."""

    roster: Roster
    findings: tuple[Finding, ...]
    waits: bool  # whether a change becomes live by waiting alone


class Reason(NamedTuple):
    """Why a change waits, and what to do."""

    text: str
    hint: str


ERRORS = Reason("the file has errors", "fix them")
_MISSING = Reason("the file is missing", "restore it if that is a mistake")
_UNSETTLED = Reason("the file has just been changed", "wait a moment")
_LOST_ACCOUNTS = Reason("accounts are lost", "restore the accounts file, or confirm the removal")


def hold_back(
    live: Roster,
    folder: ScannedFolder,
    intents: Mapping[str, frozenset[str]],
    *,
    accept: bool = False,
) -> Decision:
    """The next live roster. `intents`: keys that commands have changed, which never wait.

    `accept`: the removals are confirmed, and none waits.
    """
    findings: list[Finding] = []
    alarm = "" if accept else _alarm(live, folder, intents.get("accounts", frozenset()))
    if alarm:
        hint = "restore the file, or confirm the removal with 'setup apply --removals'"
        where = Location(live.accounts.format.file)
        findings.append(Finding(where, ERROR, "removals-held", alarm, hint))
    documents: dict[str, Document[object]] = {}
    waits = False
    for (field, old), (_, new) in zip(live.documents(), folder.roster.documents(), strict=True):
        intended = intents.get(field, frozenset())
        is_missing = field in folder.missing or field in folder.unreadable
        settled = accept or (folder.settled(field) and not alarm and field not in folder.unreadable)
        if new.format.ordered and intended and not is_missing:
            settled = True  # the file counts as a whole, and so does the intent
        if old.same_as(new) or (settled and (is_missing or not _has_errors(new))):
            documents[field] = new
        elif new.format.ordered or is_missing:
            documents[field], reason = _choose_file(old, new, is_missing)
            if reason is not None:
                waits = waits or not (alarm or folder.settled(field))
                if field in folder.unreadable:
                    text, _, hint = folder.unreadable[field].partition("; ")
                    reason = Reason(text, hint or "make the file readable")
                findings.append(waiting(old, "the change waits", reason))
        else:
            documents[field], kept = _keep_entries(old, new, intended, settled)
            waits = waits or (bool(kept) and not settled and not alarm)
            reason = ERRORS if settled else _UNSETTLED
            reason = _LOST_ACCOUNTS if alarm else reason
            findings += [waiting(old, f"{key!r} stays for now", reason) for key in kept]
    return Decision(Roster(**documents), tuple(findings), waits)  # type: ignore[arg-type]


def _keep_entries(
    old: Document[object], new: Document[object], intended: frozenset[str], settled: bool
) -> tuple[Document[object], list[str]]:
    """The new document with the entries of the old one that it lacks, and their keys.

    A last line without a line feed may be half a line: its entry stays as it was.
    """
    changed = changed_keys(old, new)
    unfinished = ""
    last = None if settled else new.unfinished()
    if last is not None:
        key = new.format.key(new.line(last))
        if key in changed and key not in intended:
            unfinished = key
    lost = [
        (key, position)
        for key in sorted(changed - intended)
        if (position := old.position(key)) is not None and (key == unfinished or key not in new)
    ]
    if not lost and not unfinished:
        return new, []
    removed = {last: None} if last is not None and unfinished else {}
    lines = [old.line(position).removesuffix("\r") for _, position in lost]
    return new.edited(removed, lines), [key for key, _ in lost] or [unfinished]


def _choose_file(
    old: Document[object], new: Document[object], is_missing: bool
) -> tuple[Document[object], Reason | None]:
    """The live document of a file that counts as a whole, and why the new one waits: it is live if
    it only adds lines to the old one."""
    if is_missing:
        return old, None if old.is_empty() else _MISSING
    if _has_errors(new):
        return old, ERRORS
    lines = iter(new.lines)
    if new.text.endswith("\n") and all(line in lines for line in old.lines if old.format.key(line)):
        return new, None
    return old, _UNSETTLED


def _alarm(live: Roster, folder: ScannedFolder, intended: frozenset[str]) -> str:
    """Why the accounts seem to be lost by accident, or ""."""
    if "accounts" in folder.unreadable:
        return f"the accounts can't be read ({folder.unreadable['accounts']})"
    before, now = live.accounts, folder.roster.accounts
    if before.same_as(now) or not before.size_hint():
        return ""
    if "accounts" in folder.missing:
        return "the file is missing; its accounts stay, and nothing else is removed"
    lost = lost_accounts(before, now, intended)
    if lost and not now.size_hint():
        return f"the file has lost all of its {len(lost)} accounts; they stay"
    if len(lost) > MASS_REMOVAL and 2 * len(lost) > before.size_hint():
        return f"the file has lost {len(lost)} of {before.size_hint()} accounts; they stay"
    return ""


def lost_accounts(
    before: Document[Account], after: Document[Account], intended: frozenset[str]
) -> frozenset[str]:
    """The accounts that a second document lacks, and that no command intended to remove."""
    return frozenset(
        key
        for key in changed_keys(before, after) - intended
        if before.positions(key) and not after.positions(key)
    )


def lost_by_edit(
    live: Roster, before: Roster, after: Roster, intended: frozenset[str]
) -> frozenset[str]:
    """The live accounts that an edit would remove by accident: the accounts file has lost all of
    its entries, and the edit writes a new file without them. `intended`: keys that earlier commands
    have removed."""
    if before.accounts.size_hint() or not after.accounts.size_hint():
        return frozenset()
    return lost_accounts(live.accounts, after.accounts, intended)


def _has_errors(document: Document[object]) -> bool:
    return document.faulty() > 0 or any(
        finding.severity == ERROR for finding in document.format.faults(document)
    )


def waiting(document: Document[E], message: str, reason: Reason) -> Finding:
    """The finding on a change that waits."""
    where = Location(document.format.file)
    return Finding(where, WARNING, "held-back", f"{message}: {reason.text}", reason.hint)


def keep_expandable(before: Router, after: Router) -> tuple[Roster, list[Finding]]:
    """The roster of `after`, where an alias that Postfix could not expand any more stays as it was.

    A new alias of that kind is not replaced: it gets no row. If all aliases together take too many
    lookups, the rest is not followed, and a finding reports that. The memory of `after` is used and
    keeps the results.
    """
    roster = after.roster
    pairs = list(zip(before.roster.aliases(), after.roster.aliases(), strict=True))
    changed = [changed_keys(old, new) for old, new in pairs]
    if sum(map(len, changed)) > _MANY:
        after = after._replace(roster=after.roster.read_at_once())
    if after.memory is None:
        after = after.remembering()
    (virtual, findings), (local_aliases, more) = (
        _keep_expandable(after, sorted(key for key in keys if key in read), old, new)
        for keys, read, (old, new) in zip(changed, after.roster.aliases(), pairs, strict=True)
    )
    return roster._replace(virtual=virtual, local_aliases=local_aliases), findings + more


def _keep_expandable(
    after: Router, keys: Iterable[str], old: Document[Alias], new: Document[Alias]
) -> tuple[Document[Alias], list[Finding]]:
    """As `keep_expandable`, for some keys of one file."""
    document, findings = new, []
    for key in keys:
        try:
            after.follow(key)
        except NotFollowed:
            message = (
                f"aliases from {key!r} on are live but not followed: all aliases together take "
                "too many lookups"
            )
            hint = "give aliases fewer recipients; 'setup explain' follows one alias"
            where = new.location(new.position(key))
            findings.append(Finding(where, WARNING, "not-followed", message, hint))
            break
        except ParseError as fault:
            findings.append(fault.at(new.location(new.position(key))))
            position = old.position(key)
            if position is not None:
                removed = dict.fromkeys(document.positions(key))
                document = document.edited(removed, [old.line(position).removesuffix("\r")])
    return document, findings


def new_faults(old: Document[E], new: Document[E]) -> list[Finding]:
    """The errors of the lines that only the new document has."""
    before, after = changed_lines(old, new)
    many = len(after) > _MANY and not isinstance(new, LargeDocument)
    unreadable = new.unreadable() if many else None
    known = set(before)
    faults = []
    for position, line in after:
        if line in known:
            continue
        try:
            if WORD in line:
                check_note(line)
        except ParseError as fault:
            faults.append(fault.at(new.location(position)))
        may_be_faulty = unreadable is None or position in unreadable
        try:
            if may_be_faulty and new.format.key(line):
                new.format.parse(line)
        except ParseError as fault:
            faults.append(fault.at(new.location(position)))
    return faults
