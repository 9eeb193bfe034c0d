"""Brings the tables in line with the config folder. Safe to repeat, from any state.

Commands and the follower call the same function under the same lock. The copies of the config files
as last published (`served/`) are written after the tables: by them a reconciliation looks only at
what has changed. After a crash, or without copies, it compares every row (`marks`).
"""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from mailroster.analysis.entry_changes import EntryChanges, described, entry_changes
from mailroster.base.findings import ERROR, Finding, TryAgain
from mailroster.base.layout import Layout
from mailroster.publish import live_tables
from mailroster.publish.intents import Keys, keys_from_bytes
from mailroster.publish.live_tables import LiveTables
from mailroster.publish.removal_guard import (
    ERRORS,
    ScannedFolder,
    hold_back,
    keep_expandable,
    new_faults,
    waiting,
)
from mailroster.roster.documents.compare import changed_keys
from mailroster.roster.roster import Roster, differing
from mailroster.routing.router import Router
from mailroster.servers.patterns import PatternMatcher, prefetch, regexp_findings
from mailroster.store.config_folder import Store, TransactionResult
from mailroster.system.files import ABSENT, Identity, reason
from mailroster.system.folder_lock import FolderLock
from mailroster.system.stability import Settling


class Outcome(NamedTuple):
    """What a reconciliation did."""

    rows: int  # changed in the tables
    pending: tuple[Finding, ...]  # changes that are not live yet
    faults: tuple[Finding, ...]  # of lines that are new in the files
    waits: bool  # whether a pending change becomes live by waiting alone
    history_fault: str = ""  # why manual edits are missing in the history
    changes: tuple[EntryChanges, ...] = ()  # of entries; none for the edit of a command

    def entries(self) -> str:
        """The changed entries as text; "" for none."""
        return described(self.changes)

    def described(self) -> str:
        """The changed entries as text; if there are none, the number of corrected rows."""
        if self.changes or not self.rows:
            return self.entries()
        return f"tables corrected: {self.rows:,} row{'' if self.rows == 1 else 's'}"


class Outlook(NamedTuple):
    """What a reconciliation would do now."""

    pending: tuple[Finding, ...]  # changes that it would not make live
    in_step: bool  # whether it would have nothing else to do
    skipped: Mapping[str, int]  # file -> lines with errors, which are never live


class _Scan(NamedTuple):
    """The rosters as last published and as in the config folder."""

    published: Roster
    folder: ScannedFolder
    identities: Mapping[str, Identity]


class _Publication(NamedTuple):
    """The step from the published roster to the next one, less the changes that stay pending."""

    before: Router
    after: Router
    pending: tuple[Finding, ...]
    waits: bool


def reconcile(
    store: Store,
    tables: LiveTables,
    layout: Layout,
    settling: Settling,
    *,
    edited: TransactionResult | None = None,
    accept: bool = False,
    verify: bool = False,
    broken: Collection[str] = (),
) -> Outcome:
    """Makes the config folder live, except for the removals that the guard holds back; it holds
    back no intent of a command.

    `edited`: the edit of the calling command, which is not searched for again. `accept`: no removal
    is held back. `verify`: compares every row. `broken`: tables to repair. Raises TryAgain if the
    tables can't be written.
    """
    try:
        store.recover()
        with FolderLock(layout.state), without_collector():
            return _reconcile(store, tables, settling, edited, accept, verify, broken)
    except OSError as error:
        words = f"{error.filename or layout.state}: {reason(error)}"
        raise TryAgain(f"the tables can't be written ({words})") from error


def _reconcile(
    store: Store,
    tables: LiveTables,
    settling: Settling,
    edited: TransactionResult | None,
    accept: bool,
    verify: bool,
    broken: Collection[str],
) -> Outcome:
    recorded = tables.intents.read()
    intents = keys_from_bytes(recorded)
    if intents:
        store.wait()  # for the edit that recorded them: then the files have it
    scan = _scan(store, tables, settling, edited)
    step = _decide(scan, tables, intents, accept=accept)
    before, after = step.before.roster, step.after.roster
    edits = differing(before, scan.folder.roster)
    faults = tuple(fault for _, old, new in edits for fault in new_faults(old, new))
    history_fault = _record_manual_edits(store, tables, scan, step, edited)
    # A command reports its own edit. Computed now, as the copies change with the tables.
    changes = [] if edited else entry_changes(before, after)
    if verify or not tables.are_known():
        rows = tables.rebuild(step.after)
    else:
        rows = tables.repair(step.before, {*broken, *tables.lost()})
        rows += tables.apply_change(step.before, step.after)
    tables.intents.clear(recorded)
    for field, document in scan.folder.roster.documents():
        if getattr(after, field) is document:
            path = store.path(document.format.file)
            tables.copies.record_match(field, path, scan.identities[field])
    return Outcome(rows, step.pending, faults, step.waits, history_fault, tuple(changes))


@contextmanager
def without_collector() -> Iterator[None]:
    """Switches the garbage collector off, as in commands: it takes 8 % of a rebuild and finds
    nothing, as no value here refers to itself."""
    import gc

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def outlook(store: Store, tables: LiveTables, settling: Settling) -> Outlook:
    """What a reconciliation would do. Changes nothing."""
    scan = _scan(store, tables, settling)
    step = _decide(scan, tables, tables.intents.keys())
    same = not any(differing(step.before.roster, step.after.roster))
    faulty = {d.format.file: d.faulty() for _, d in scan.folder.roster.documents()}
    skipped = {file: number for file, number in faulty.items() if number}
    return Outlook(step.pending, same and tables.are_whole(), skipped)


# -- steps


def _scan(
    store: Store, tables: LiveTables, settling: Settling, edited: TransactionResult | None = None
) -> _Scan:
    """Reads the copies and the config folder."""
    known = (edited.before, edited.after) if edited is not None else ()
    published = tables.copies.roster(known)
    find = tables.copies.finder(published, edited)
    snapshot = store.read((*known, published), find)
    folder_ctime_ns = os.stat(store.folder).st_ctime_ns
    for field, identity in snapshot.identities.items():
        settling.look(field, identity)
    folder = ScannedFolder(
        snapshot.roster,
        frozenset(field for field, seen in snapshot.identities.items() if seen == ABSENT),
        snapshot.unreadable,
        lambda field: settling.settled(field, folder_ctime_ns),
    )
    return _Scan(published, folder, snapshot.identities)


def _decide(
    scan: _Scan, tables: LiveTables, intents: Keys, *, accept: bool = False
) -> _Publication:
    """Decides which changes of the folder become live."""
    published = scan.published
    folder, faults = _without_bad_regexp(scan.folder, published)
    has_copies = tables.have_copies()
    decision = hold_back(published if has_copies else folder.roster, folder, intents, accept=accept)
    settings = tables.settings
    before = Router(
        published,
        settings.origin(),
        PatternMatcher(published.regexp),
        mail=settings.mail(),
        postmaster=settings.postmaster(),
        services=settings.main_services(),
    )
    roster = decision.roster
    after = before._replace(roster=roster, captured=PatternMatcher(roster.regexp)).remembering()
    if roster.regexp.index:
        _prefetch_changed_aliases(before, after)
    loops: list[Finding] = []
    if has_copies and not accept:
        roster, loops = keep_expandable(before, after)
        assert after.memory is not None
        is_valid = roster == after.roster and not after.memory.is_exhausted()
        after = after._replace(roster=roster, memory=after.memory if is_valid else None)
    return _Publication(before, after, (*faults, *loops, *decision.findings), decision.waits)


def _prefetch_changed_aliases(before: Router, after: Router) -> None:
    pairs = zip(before.roster.aliases(), after.roster.aliases(), strict=True)
    changed = {key for old, new in pairs for key in changed_keys(old, new)}
    for router in (before, after):
        many = len(changed) > live_tables.MANY
        roster = router.roster.read_at_once() if many else router.roster
        prefetch(router._replace(roster=roster), changed)


def _without_bad_regexp(
    folder: ScannedFolder, published: Roster
) -> tuple[ScannedFolder, list[Finding]]:
    """Keeps the published patterns if Postfix can't read a rule of the new file."""
    regexp = folder.roster.regexp
    if regexp.same_as(published.regexp):
        return folder, []
    findings = [f for f in regexp.findings() if f.severity == ERROR] + regexp_findings(regexp)
    if not findings:
        return folder, []
    findings.append(waiting(regexp, "the change waits", ERRORS))
    return folder._replace(roster=folder.roster._replace(regexp=published.regexp)), findings


def _record_manual_edits(
    store: Store,
    tables: LiveTables,
    scan: _Scan,
    step: _Publication,
    edited: TransactionResult | None,
) -> str:
    """Adds manual edits that become live to the history; returns why that failed, or "". Called
    before they are live: if the process is killed in between, the next reconciliation finds in the
    history that they are recorded."""
    before, after = step.before.roster, step.after.roster
    if edited is not None and not (
        any(differing(before, edited.before)) or any(differing(after, edited.after))
    ):
        return ""
    if not any(differing(before, after)) or not tables.have_published_copies():
        return ""
    return store.record_manual_edits(before, after, scan.identities)
