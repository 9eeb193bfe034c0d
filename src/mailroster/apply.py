"""Brings the served tables in step with the config folder. Safe to repeat, from any state.

The command line and the watcher call the same function under the same lock. What is served is kept
as a copy of the files (`served/`), written after the tables; a mark stands while they are at work.
With the mark, or without a copy, every row is compared; else only what changed is looked at.

The order of effects protects mail: what is added Dovecot knows before Postfix accepts for it; what
is removed Postfix refuses before Dovecot forgets.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from mailroster.changes import change
from mailroster.compile import dovecot, postfix
from mailroster.disk import ABSENT, Disk, Identity, read
from mailroster.document import Document
from mailroster.finding import ERROR, WARNING, Busy, Finding, Location
from mailroster.instance.layout import Layout
from mailroster.lock import FolderLock
from mailroster.resolve import Router
from mailroster.roster import Roster, differing, document_of
from mailroster.services import Captures, prime, regexp_findings
from mailroster.settle import Found, hold_back, keep_expandable, new_faults
from mailroster.store import Snapshot, Store
from mailroster.tables import Changes, Table, delta, full
from mailroster.targets import Target
from mailroster.targets.lmdb_table import LmdbTable
from mailroster.targets.sqlite_table import ACCOUNT, MASTER, SqliteTable
from mailroster.targets.text_table import PasswdFile, PcreTable

#: In the order in which additions become visible; a domain is the last that Postfix learns.
_DOVECOT: tuple[Table, ...] = (dovecot.EXCEPTIONS, dovecot.ACCOUNTS, dovecot.MASTERS)
_POSTFIX: tuple[Table, ...] = (
    postfix.MAILBOXES, postfix.SENDERS, postfix.SEND_ACCESS, postfix.RECEIVE_ACCESS,
    postfix.ALIASES, postfix.REGEXP, postfix.DOMAINS,
)  # fmt: skip
TABLES: tuple[Table, ...] = (*_DOVECOT, *_POSTFIX)
GENERATION = "generation"


class Outcome(NamedTuple):
    """What a convergence did."""

    rows: int  # changed
    held: tuple[Finding, ...]
    faults: tuple[Finding, ...]  # of lines that came with this change
    waits: bool  # whether time alone will release something that is held


class Settling:
    """Tells whether a file has been unchanged for the settle time.

    By its ctime, which nobody can set back; and, for one who looks again and again, by what was
    seen before, so that a clock that differs (NFS) or an old file moved into place can't mislead.
    """

    def __init__(
        self,
        settle_s: float,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        observer: bool = False,
    ) -> None:
        self._settle_s, self._now, self._monotonic = settle_s, now, monotonic
        self._observer = observer
        self._first_seen: dict[str, tuple[Identity, float]] = {}

    def look(self, field: str, found: Identity) -> None:
        """Takes note of the identity of a file."""
        if self._first_seen.get(field, (None, 0.0))[0] != found:
            self._first_seen[field] = found, self._monotonic()

    def settled(self, field: str, folder_ctime_ns: int) -> bool:
        """Whether a file that was looked at has settled; an absent one is as old as its folder."""
        found, since = self._first_seen[field]
        if self._observer:
            return self._monotonic() - since >= self._settle_s
        ctime_ns = folder_ctime_ns if found == ABSENT else found.ctime_ns
        return self._now() - ctime_ns / 1e9 >= self._settle_s


class Tables:
    """The tables of one instance, and the copy of the files that they were made from."""

    def __init__(self, layout: Layout, disk: Disk | None = None) -> None:
        self._layout, self._disk = layout, disk or Disk()
        self.exceptions = PasswdFile(layout.exceptions, self._disk)
        targets: dict[str, Target] = {
            dovecot.EXCEPTIONS.name: self.exceptions,
            dovecot.ACCOUNTS.name: SqliteTable(layout.database, ACCOUNT, self._disk),
            dovecot.MASTERS.name: SqliteTable(layout.database, MASTER, self._disk),
            postfix.REGEXP.name: PcreTable(layout.table("regexp"), self._disk),
        }
        for table in _POSTFIX:
            targets.setdefault(table.name, LmdbTable(layout.table(table.name), self._disk))
        self.targets: Mapping[str, Target] = targets
        self._generation = LmdbTable(layout.table(GENERATION), self._disk)

    def exist(self) -> bool:
        """Whether this instance has ever been started: only then is there anything to keep."""
        return os.path.isdir(self._layout.served)

    def begin(self, origin: str) -> None:
        """Makes the folder of the copies, and notes the server's own domain."""
        self._disk.make_folder(self._layout.served, 0o700)
        self._disk.replace(self._layout.origin, f"{origin}\n".encode())

    def origin(self) -> str:
        return read(self._layout.origin).decode().strip()

    def are_whole(self) -> bool:
        """Whether the copy says what the tables hold: no work was cut short, no table is gone."""
        targets = (*self.targets.values(), self._generation)
        return not os.path.exists(self._layout.unfinished) and all(
            target.is_there() for target in targets
        )

    def served(self, known: Iterable[Roster] = ()) -> Roster:
        """The copy of the files that are served."""
        documents: dict[str, Document[Any]] = {}
        for field, empty in Roster().documents():
            raw = read(os.path.join(self._layout.served, empty.format.file))
            documents[field] = document_of(field, raw, known)
        return Roster(**documents)

    def note(self, asked: Mapping[str, frozenset[str]]) -> None:
        """Keeps what a command asked for, that could not be put in force yet: it is no accident."""
        lines = [f"{field}\t{key}\n" for field, keys in asked.items() for key in sorted(keys)]
        with open(self._layout.asked, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write("".join(lines))

    def noted(self) -> tuple[str, Mapping[str, frozenset[str]]]:
        """What has been kept, as it is written and as keys by field."""
        text = read(self._layout.asked).decode("utf-8", "surrogateescape")
        asked: dict[str, frozenset[str]] = {}
        for line in text.splitlines():
            field, _, key = line.partition("\t")
            asked[field] = asked.get(field, frozenset()) | {key}
        return text, asked

    def forget(self, noted: str) -> None:
        """Drops what was kept, now that it is in force; unless more has come."""
        if noted and self.noted()[0] == noted:
            self._disk.remove(self._layout.asked)

    def have_copy(self) -> bool:
        return os.path.exists(os.path.join(self._layout.served, "postfix-accounts.cf"))

    def put(self, before: Router, after: Router, *, every_row: bool) -> int:
        """Puts a roster in force in place of another; how many rows that changed."""
        filled = 0
        if every_row:
            self._disk.replace(self._layout.unfinished, b"")
            filled, changes = self._fill(after)
        else:
            changes = self._delta(before, after)
        rows = filled + sum(map(len, changes.values()))
        if every_row:
            documents = [document for _, document in after.roster.documents()]
        else:
            documents = [new for _, _, new in differing(before.roster, after.roster)]
        if not rows and not documents:
            return 0
        self._disk.replace(self._layout.unfinished, b"")
        self._write(changes, renew=every_row)
        accounts = {*changes[dovecot.ACCOUNTS.name], *changes[dovecot.EXCEPTIONS.name]}
        gone = [key for key in accounts if key not in after.roster.accounts]
        if any(key in before.roster.accounts for key in gone):
            from mailroster.sessions import end_sessions

            end_sessions(self._layout, gone)
        for document in documents:
            path = os.path.join(self._layout.served, document.format.file)
            self._disk.replace(path, bytes(document), mode=0o600)
        self._disk.remove(self._layout.unfinished)
        return rows

    def _delta(self, before: Router, after: Router) -> dict[str, Changes]:
        changed = change(before, after)
        for router in (before, after):
            prime(router, changed.dependents)
        return {table.name: delta(table, changed) for table in TABLES}

    def _fill(self, after: Router) -> tuple[int, dict[str, Changes]]:
        """Makes every row stand; how many that changed, and the drops that are left to do."""
        prime(after, after.roster.virtual.index)
        changed, drops = 0, dict[str, Changes]()
        for table in TABLES:
            filled = self.targets[table.name].fill(full(table, after).items())
            changed += filled.changed
            drops[table.name] = dict.fromkeys(filled.surplus)
            if filled.replaced and table in (dovecot.ACCOUNTS, dovecot.MASTERS):
                from mailroster.reopen import reopen_database

                reopen_database(self._layout)
        return changed, drops

    def _write(self, changes: dict[str, Changes], *, renew: bool) -> None:
        def apply(table: Table, some: Changes) -> None:
            target = self.targets[table.name]
            if some or (renew and not target.is_there()):
                target.apply(some)

        drops: dict[str, Changes] = {}
        for table in _DOVECOT:
            rows = changes[table.name]
            drops[table.name] = {key: None for key, row in rows.items() if row is None}
            apply(table, {key: row for key, row in rows.items() if row is not None})
        for table in _POSTFIX:
            apply(table, changes[table.name])
        if renew or changes[postfix.DOMAINS.name] or changes[postfix.REGEXP.name]:
            self._renew_generation()
        if drops[dovecot.ACCOUNTS.name]:
            self._wait_for_exceptions()
        for table in _DOVECOT:
            apply(table, drops[table.name])
        self._wait_for_exceptions()

    def _renew_generation(self) -> None:
        lost = not self._generation.is_there()
        self._generation.renew()
        if lost:
            from mailroster.reopen import reload_postfix

            reload_postfix(self._layout)

    def _wait_for_exceptions(self) -> None:
        """Until Dovecot has seen the passwd-file: it looks once a second at most."""
        time.sleep(max(0.0, self.exceptions.seen_at - time.time()))


def converge(
    store: Store,
    tables: Tables,
    layout: Layout,
    settling: Settling,
    *,
    asked: Mapping[str, frozenset[str]] | None = None,
    known: tuple[Roster, ...] = (),
    accept: bool = False,
    verify: bool = False,
) -> Outcome:
    """Puts in force what the config folder says, less the removals that are held back.

    `asked`: the keys a command has just changed, by field: these are never held. `known`: rosters
    whose documents may be used again. `accept`: no removal is held. `verify`: every row is
    compared. Raises Busy if the tables can't be written.
    """
    try:
        with FolderLock(layout.state):
            snapshot = store.read(known)
            noted, keys = tables.noted()
            for field, some in (asked or {}).items():
                keys = {**keys, field: keys.get(field, frozenset()) | some}
            found = _found(snapshot, store, settling)
            judged = _judge(found, tables, keys, known=known, accept=accept)
            every_row = verify or not tables.have_copy() or not tables.are_whole()
            rows = tables.put(judged.before, judged.after, every_row=every_row)
            tables.forget(noted)
            fresh = _fresh_faults(judged.before.roster, found.roster)
            return Outcome(rows, judged.findings, tuple(fresh), judged.waits)
    except OSError as error:
        words = f"{error.filename or layout.state}: {error.strerror or error}"
        raise Busy(f"the tables can't be written ({words})") from error


def outlook(store: Store, tables: Tables, settling: Settling) -> tuple[tuple[Finding, ...], bool]:
    """What a convergence would hold back now, and whether it would have nothing else to do."""
    found = _found(store.read(), store, settling)
    judged = _judge(found, tables, tables.noted()[1])
    same = not any(differing(judged.before.roster, judged.after.roster))
    return judged.findings, same and tables.are_whole()


class _Judged(NamedTuple):
    """What is served, what is to be served, and what of the folder is held back and why."""

    before: Router
    after: Router
    findings: tuple[Finding, ...]
    waits: bool


def _judge(
    found: Found,
    tables: Tables,
    asked: Mapping[str, frozenset[str]],
    *,
    known: tuple[Roster, ...] = (),
    accept: bool = False,
) -> _Judged:
    served = tables.served((*known, found.roster))
    found, faults = _without_bad_regexp(found, served)
    held = hold_back(served if tables.have_copy() else found.roster, found, asked, accept=accept)
    origin = tables.origin()
    before = Router(served, origin, Captures(served.regexp))
    after = Router(held.roster, origin, Captures(held.roster.regexp))
    loops: list[Finding] = []
    if tables.have_copy() and not accept:
        roster, loops = keep_expandable(before, after)
        after = after._replace(roster=roster)
    return _Judged(before, after, (*faults, *loops, *held.findings), held.waits)


def _found(snapshot: Snapshot, store: Store, settling: Settling) -> Found:
    folder_ctime_ns = os.stat(store.folder).st_ctime_ns
    missing = frozenset(f for f, found in snapshot.identities.items() if found == ABSENT)
    for field, found in snapshot.identities.items():
        settling.look(field, found)
    return Found(
        snapshot.roster,
        missing,
        snapshot.unreadable,
        lambda field: settling.settled(field, folder_ctime_ns),
    )


def _without_bad_regexp(found: Found, served: Roster) -> tuple[Found, list[Finding]]:
    """What was live stays if Postfix can't read a rule of the new file."""
    regexp = found.roster.regexp
    if regexp.text == served.regexp.text:
        return found, []
    findings = [f for f in regexp.findings() if f.severity == ERROR] + regexp_findings(regexp)
    if not findings:
        return found, []
    what = "the file is not put in force, what was live before stays"
    where = Location(regexp.format.file)
    findings.append(Finding(where, WARNING, "held-back", what, "mend its errors"))
    return found._replace(roster=found.roster._replace(regexp=served.regexp)), findings


def _fresh_faults(served: Roster, found: Roster) -> list[Finding]:
    changed = differing(served, found)
    return [fault for _, old, new in changed for fault in new_faults(old, new)]
