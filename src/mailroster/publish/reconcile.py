"""Brings the served tables in step with the config folder. Safe to repeat, from any state.

The command line and the watcher call the same function under the same lock. What is served is kept
as a copy of the files (`served/`), written after the tables; a mark stands while they are at work.
With the mark, or without a copy, every row is compared; else only what changed is looked at.

The order of effects protects mail: what is added Dovecot knows before Postfix accepts for it; what
is removed Postfix refuses before Dovecot forgets.
"""

import fcntl
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

from mailroster.analysis.entry_changes import EntryChanges, described, entry_changes
from mailroster.base import address
from mailroster.base.findings import ERROR, WARNING, Finding, Location, TryAgain
from mailroster.base.layout import Layout
from mailroster.publish.published_files import PublishedFiles
from mailroster.publish.removal_guard import ScannedFolder, hold_back, keep_expandable, new_faults
from mailroster.publish.tables import dovecot, postfix, relays
from mailroster.publish.tables.table import Changes, Table, delta, stream
from mailroster.publish.targets import Target, lmdb_file
from mailroster.publish.targets.lmdb_table import LmdbTable
from mailroster.publish.targets.sqlite_table import (
    ACCOUNT,
    MASTER,
    SCHEMA_VERSION,
    SHAPES,
    SPELLING,
    SqliteTable,
)
from mailroster.publish.targets.text_table import PasswdFile, PcreRules, PcreTable
from mailroster.roster.documents.compare import changed_keys
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import whole
from mailroster.roster.plan import Plan
from mailroster.roster.roster import Roster, differing
from mailroster.routing.change import Change, change_of, differing_keys
from mailroster.routing.router import Router
from mailroster.servers.patterns import PatternMatcher, prefetch, regexp_findings
from mailroster.servers.version import noted
from mailroster.store.config_folder import Edited, Snapshot, Store
from mailroster.system import file_lock
from mailroster.system.files import ABSENT, Disk, Identity, read, reason
from mailroster.system.folder_lock import FolderLock
from mailroster.system.stability import Settling

#: In the order in which additions become visible; what goes, goes in the opposite one. So no row
#: leads to what is not there: mail for a domain that is not known yet would leave the house.
_POSTFIX: tuple[Table, ...] = (
    postfix.LOCKED, postfix.SENDERS, postfix.CATCH_ALL_SENDERS, postfix.SEND_ACCESS,
    postfix.RECEIVE_ACCESS, relays.PASSWORDS, relays.RELAYS, postfix.MAILBOXES, postfix.DOMAINS,
    postfix.ROLES, postfix.ALIASES, postfix.LOCAL_ALIASES, postfix.REGEXP, postfix.SPELLINGS,
)  # fmt: skip
GENERATION = "generation"
#: Tables whose change Postfix sees when the generation is another.
_BEFORE_GENERATION = (postfix.DOMAINS, postfix.REGEXP, postfix.SPELLINGS)
#: Tables of Dovecot's database.
_IN_SQL = (dovecot.Accounts.name, dovecot.MASTERS.name, dovecot.SPELLINGS.name)
#: From so many aliases that a change may concern on, whole files are read for it.
_MANY = 2000
#: A key of a change takes the time of so many rows of a whole build.
_ROWS_A_KEY = 4
#: Which list of extra fields the tables were made by: another one makes every row anew.
_FIELDS_LIST = "allowed-1"
#: By which rules the tables of Postfix are made from the files: other rules make every row anew.
_ROUTES = "routes-2"
#: Tables by which Postfix routes mail, where one row may lead to a row of another table.
_ROUTING = (postfix.ROLES, postfix.ALIASES, postfix.LOCAL_ALIASES, postfix.REGEXP)
#: In the mark of work that was cut short: nothing of the tables and copies is known.
EVERYTHING = b"everything\n"

Keys = Mapping[str, frozenset[str]]


def tables_for(version: str) -> tuple[Table, ...]:
    """All tables, for a version of Dovecot, in the order in which additions become visible."""
    return (*_dovecot(version), *_POSTFIX)


def _dovecot(version: str) -> tuple[Table, ...]:
    accounts = dovecot.Exceptions(version), dovecot.SpeltExceptions(version)
    return *accounts, dovecot.Accounts(version), dovecot.MASTERS, dovecot.SPELLINGS


class Outcome(NamedTuple):
    """What a reconciliation did."""

    rows: int  # changed in the tables
    held: tuple[Finding, ...]
    faults: tuple[Finding, ...]  # of lines that came with this change
    waits: bool  # whether time alone will release something that is held
    unnoted: str = ""  # why edits by hand are missing in the history
    changes: tuple[EntryChanges, ...] = ()  # of entries; none for what a command has just edited

    def entries(self) -> str:
        """Which entries changed, in words; "" for none."""
        return described(self.changes)

    def described(self) -> str:
        """The same, and where no entry is another, that tables were corrected."""
        if self.changes or not self.rows:
            return self.entries()
        return f"tables corrected: {self.rows:,} row{'' if self.rows == 1 else 's'}"


class Tables:
    """The tables of one instance, and the copies of the files that they were made from."""

    def __init__(
        self, layout: Layout, copies: PublishedFiles | None = None, disk: Disk | None = None
    ) -> None:
        self._layout, self._disk = layout, disk or Disk()
        self.copies = copies or PublishedFiles(layout.served, self._disk)
        self.exceptions = PasswdFile(layout.exceptions, self._disk)
        self._spelt_exceptions = PasswdFile(layout.spelt_exceptions, self._disk)
        targets: dict[str, Target] = {
            dovecot.Exceptions.name: self.exceptions,
            dovecot.SpeltExceptions.name: self._spelt_exceptions,
            dovecot.Accounts.name: SqliteTable(layout.database, ACCOUNT, self._disk),
            dovecot.MASTERS.name: SqliteTable(layout.database, MASTER, self._disk),
            dovecot.SPELLINGS.name: SqliteTable(layout.database, SPELLING, self._disk),
            postfix.REGEXP.name: PcreTable(layout.table("regexp"), self._disk),
            postfix.SPELLINGS.name: PcreRules(layout.table("spellings"), self._disk),
            relays.PASSWORDS.name: LmdbTable(
                layout.table(relays.PASSWORDS.name), self._disk, mode=0o600
            ),
        }
        for table in _POSTFIX:
            targets.setdefault(table.name, LmdbTable(layout.table(table.name), self._disk))
        self.targets: Mapping[str, Target] = targets
        self._generation = LmdbTable(layout.table(GENERATION), self._disk)
        self._marks: dict[str, tuple[int, ...]] = {}
        self._version = ""

    @property
    def _tables(self) -> tuple[Table, ...]:
        return tables_for(self.version())

    def exist(self) -> bool:
        """Whether this instance has ever been started: only then is there anything to keep."""
        return os.path.isdir(self._layout.tables)

    def make_folder(self) -> None:
        """Makes the folder of the copies, unless it is there."""
        if not os.path.isdir(self._layout.served):
            self._disk.make_folder(self._layout.served, 0o700)

    def begin(self, origin: str, version: str, mail: str, postmaster: str = "") -> None:
        """Notes the server's own domain, the version of Dovecot, the mail folder, the setting
        postmaster_address and the delimiters of extensions; if one of them is another, every row
        has to be looked at. The index, too, is made by the delimiters."""
        self.make_folder()
        if not os.path.exists(self._layout.dialect) or self.version() != version:
            self._disk.replace(self._layout.dialect, f"{version}\n".encode(), mode=0o644)
        self._version = version
        noted = (
            (self._layout.origin, origin, 0o644),
            (self._layout.mail_folder, mail, 0o644),
            (self._layout.postmaster, postmaster, 0o600),
            (self._layout.delimiters, address.delimiters(), 0o600),
        )
        for path, value, mode in noted:
            if not os.path.exists(path) or _line(path) != value:
                if path == self._layout.delimiters:
                    self.copies.forget()
                self._disk.replace(path, f"{value}\n".encode(), mode=mode)
                self._disk.replace(self._layout.unfinished, EVERYTHING)

    def origin(self) -> str:
        return _line(self._layout.origin)

    def mail(self) -> str:
        """The mail folder for which the tables are made."""
        return _line(self._layout.mail_folder)

    def postmaster(self) -> str:
        """The setting postmaster_address for which the tables are made, "" for none."""
        return _line(self._layout.postmaster)

    def version(self) -> str:
        """The version of Dovecot for which the tables are made."""
        self._version = self._version or noted(self._layout)
        return self._version

    def are_known(self) -> bool:
        """Whether the copies say what the tables hold, but for what a mark names."""
        return (
            self.have_copy()
            and read(self._layout.unfinished) != EVERYTHING
            and read(self._layout.built) == _build(self.version())
        )

    def remember(self) -> bool:
        """Whether the copies are what was served last, not what a crash has left of them."""
        return self.have_copy() and read(self._layout.unfinished) != EVERYTHING

    def are_whole(self) -> bool:
        """Whether the tables hold what the copies say."""
        cut_short = os.path.exists(self._layout.unfinished)
        return self.are_known() and not cut_short and not self.lost()

    def can_serve(self) -> bool:
        """Whether servers may start with the tables: all are there, and hold what was served last
        but for what a change that was cut short names."""
        return self.are_known() and not self.lost()

    def lost(self) -> list[str]:
        """The tables that are not there, at a quick look."""
        targets = {**self.targets, GENERATION: self._generation}
        return [name for name, target in targets.items() if not target.is_there()]

    def suspects(self) -> list[str]:
        """The tables that somebody has written since this was asked last."""
        marks = {name: target.mark() for name, target in self.targets.items()}
        found = [name for name, mark in marks.items() if self._marks.get(name) != mark]
        self._marks = marks
        return found

    def damaged(self, names: Iterable[str]) -> list[str]:
        """Those of some tables that can't be used, by a long look.

        Not while this process writes a table: what is opened and closed here drops its lock.
        """
        return [name for name in names if self.targets[name].damage()]

    def without_row(self, live: Mapping[str, int]) -> dict[str, int]:
        """File -> aliases that have no row, since Postfix could not expand them (loops).

        `live`: file -> entries of what is served.
        """
        fields = (
            (postfix.ALIASES, Roster().virtual),
            (postfix.LOCAL_ALIASES, Roster().local_aliases),
        )
        found = {}
        for table, document in fields:
            file = document.format.file
            found[file] = live[file] - lmdb_file.entries(f"{self._layout.table(table.name)}.lmdb")
        return {file: number for file, number in found.items() if number > 0}

    def have_copy(self) -> bool:
        files = (document.format.file for document in Roster())
        return all(os.path.exists(self.copies.path(file)) for file in files)

    # -- keys that are kept in a file: those that commands asked for, and those at work

    def note(self, asked: Keys) -> None:
        """Keeps what a command asks for, until it is in force: it is no accident."""
        self.make_folder()
        with self._asked() as file:
            file.write(_written(asked))

    def announce(self, plan: Plan) -> None:
        """Notes what a command is about to do: if it is killed, the next one knows."""
        try:
            self.note(plan.keys)
        except OSError:
            pass  # not ours to write: a removal waits as one by hand does

    def noted(self) -> tuple[bytes, Keys]:
        """What has been kept, as it is written and as keys by field."""
        raw = read(self._layout.asked)
        return raw, _keys(raw)

    def forget(self, noted: bytes) -> None:
        """Drops what was kept, now that it is in force; unless more has come."""
        if noted:
            with self._asked() as file:
                if read(self._layout.asked) == noted:
                    file.truncate(0)

    @contextmanager
    def _asked(self) -> Iterator[BinaryIO]:
        """The file of what was asked for, which commands write without the lock of the state."""
        with open(self._layout.asked, "ab", opener=_private) as file:
            file_lock.lock(file.fileno(), self._layout.asked, how=fcntl.flock)
            yield file

    # -- changes

    def put(self, before: Router, after: Router) -> int:
        """Puts a roster in force in place of another, as far as they differ; how many rows that
        changed."""
        cut_short = read(self._layout.unfinished)
        redo = _keys(cut_short)
        documents = [(field, new) for field, _, new in differing(before.roster, after.roster)]
        if not documents and not redo:
            return 0
        keys = differing_keys(before.roster, after.roster, redo)
        if is_large(sum(map(len, keys.values())), after.roster):
            return self.put_all(after)
        changed = change_of(before.remembering(), after.remembering(), keys)
        if len(changed.dependents) > _MANY:
            changed = in_memory(changed)
        for router in (changed.before, changed.after):
            prefetch(router, changed.dependents)
        changes = {table.name: delta(table, changed, every=bool(redo)) for table in self._tables}
        self._disk.replace(self._layout.unfinished, _written(changed.keys) or b"\n")
        self._write(changes)
        if redo or _may_limit(changed):
            self._renew_limits()
        shut = [key for key in changed.keys["accounts"] if not _may_log_in(after.roster, key)]
        self._end_sessions([key for key in shut if redo or _may_log_in(before.roster, key)])
        self._copy(documents)
        return sum(map(len, changes.values()))

    def put_all(self, after: Router) -> int:
        """Puts a roster in force, whatever the tables hold; how many rows that changed."""
        self._disk.replace(self._layout.unfinished, EVERYTHING)
        self._disk.replace(self._layout.changing, b"", mode=0o644)
        rows, documents = self._fill(after, self._tables)
        self.copies.forget()
        self._copy(documents)
        self._disk.replace(self._layout.built, _build(self.version()))
        return rows

    def hint(self, served: Router, broken: Collection[str]) -> int:
        """Makes tables anew that are lost or damaged; how many rows they lacked."""
        tables = [table for table in self._tables if table.name in broken]
        if not broken:
            return 0
        self._disk.replace(self._layout.changing, b"", mode=0o644)
        rows, _ = self._fill(served, tables)
        self._disk.remove(self._layout.changing)
        return rows

    def _fill(
        self, after: Router, tables: Sequence[Table]
    ) -> tuple[int, list[tuple[str, Document[Any]]]]:
        """Makes tables hold what a roster says; how many rows that changed, and its documents."""
        roster = after.roster.read_at_once()
        after = after._replace(roster=roster)
        after = after if after.memory is not None else after.remembering()
        prefetch(after, (key for document in roster.aliases() for key in document.counted()))
        rows = 0
        surplus: dict[str, Changes] = {table.name: {} for table in self._tables}
        replaced = set()
        for table in tables:
            filled = self.targets[table.name].fill(stream(table, after), is_sorted=True)
            surplus[table.name] = dict.fromkeys(filled.surplus)
            rows += filled.changed + len(filled.surplus)
            if filled.replaced:
                replaced.add(table.name)
            if filled.replaced and table.name in _IN_SQL:
                from mailroster.servers.reopen import reopen_database

                reopen_database(self._layout)
        self._drop(_POSTFIX, surplus)
        self._renew_generation(reload=any(table.name in replaced for table in _POSTFIX))
        self._forget(surplus)
        self._renew_limits()
        removed = {*surplus[dovecot.Accounts.name], *surplus[dovecot.Exceptions.name]}
        self._end_sessions([key for key in removed if key not in roster.accounts])
        self._end_sessions([key for key, _ in stream(postfix.LOCKED, after)])
        return rows, list(roster.documents())

    def _write(self, changes: Mapping[str, Changes]) -> None:
        # Rows of one table may lead to rows of another that follow in a moment, and Dovecot lets a
        # new account log in before Postfix knows it: until all are there, the policy service
        # refuses no address because it leads nowhere, and no session because its account is gone.
        comes = any(row is not None for row in changes[postfix.MAILBOXES.name].values())
        leads = comes or sum(bool(changes[table.name]) for table in _ROUTING) > 1
        if leads:
            self._disk.replace(self._layout.changing, b"", mode=0o644)
        drops: dict[str, Changes] = {}
        # What comes is there before anything goes: who becomes an alias is never unknown.
        for table in self._tables:
            rows = changes[table.name]
            drops[table.name] = {key: None for key, row in rows.items() if row is None}
            some: Changes = {key: row for key, row in rows.items() if row is not None}
            if some:
                self.targets[table.name].apply(some)
        self._drop(_POSTFIX, drops)
        if any(changes[table.name] for table in _BEFORE_GENERATION):
            self._renew_generation()
        if leads:  # nothing that Dovecot forgets concerns them, and that may take a second
            self._disk.remove(self._layout.changing)
        self._forget(drops)

    def _forget(self, drops: Mapping[str, Changes]) -> None:
        """Takes rows out of Dovecot's tables, last of all."""
        if drops[dovecot.Accounts.name]:
            self._wait_for_exceptions()
        self._drop(_dovecot(self.version()), drops)
        self._wait_for_exceptions()

    def _drop(self, tables: Sequence[Table], drops: Mapping[str, Changes]) -> None:
        for table in reversed(tables):
            if drops[table.name]:
                self.targets[table.name].apply(drops[table.name])

    def _renew_generation(self, reload: bool = False) -> None:
        """Has Postfix look at the tables anew. `reload`: even a process that began without a
        table, which answers 451 until it ends: it has no file whose change it could notice."""
        reload = reload or not self._generation.is_there()
        self._generation.renew()
        if reload:
            from mailroster.servers.reopen import reload_postfix

            reload_postfix(self._layout)

    def _renew_limits(self) -> None:
        """Has the policy service ask Dovecot anew how much room mailboxes have, once Dovecot knows
        all rows."""
        self._disk.replace(self._layout.limits, b"", mode=0o644)

    def _copy(self, documents: Sequence[tuple[str, Document[Any]]]) -> None:
        """Makes the copies say what the tables hold now; with that the work is done."""
        if any(self.copies.leaves_half(document) for _, document in documents):
            self._disk.replace(self._layout.unfinished, EVERYTHING)
        for field, document in documents:
            self.copies.put(field, document)
        self._disk.remove(self._layout.unfinished)
        if os.path.exists(self._layout.changing):
            self._disk.remove(self._layout.changing)

    def _end_sessions(self, removed: Collection[str]) -> None:
        if removed:
            from mailroster.servers.sessions import end_sessions

            end_sessions(self._layout, removed)

    def _wait_for_exceptions(self) -> None:
        """Until Dovecot has seen the passwd-files: it looks once a second at most."""
        seen_at = max(self.exceptions.seen_at, self._spelt_exceptions.seen_at)
        time.sleep(max(0.0, seen_at - time.monotonic()))


def _may_limit(change: Change) -> bool:
    """Whether a change may lower the limit of a mailbox that there was before: by its quota, by an
    extra field of its account, or as the account goes."""
    before = change.before.roster.accounts
    return bool(change.keys["quotas"]) or any(key in before for key in change.keys["accounts"])


def _may_log_in(roster: Roster, key: str) -> bool:
    """Whether there is an account of a name, and it isn't locked."""
    account = roster.accounts.get(key)
    return account is not None and not account.is_locked()


def _line(path: str) -> str:
    return read(path).decode("utf-8", "surrogateescape").rstrip("\n")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _build(version: str) -> bytes:
    """What the tables were built for: this form of them, this list of extra fields, a version of
    Dovecot, and this run of the machine, since they are not synced and a power cut may have taken
    back a part."""
    columns = ",".join(column for shape in SHAPES for column in shape.columns())
    boot = read("/proc/sys/kernel/random/boot_id").decode()
    return f"{SCHEMA_VERSION} {_FIELDS_LIST} {_ROUTES} {version} {columns} {boot}".encode()


def _written(keys: Keys) -> bytes:
    lines = [f"{field}\t{key}\n" for field, some in keys.items() for key in sorted(some)]
    return "".join(lines).encode("utf-8", "surrogateescape")


def _keys(raw: bytes) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for line in raw.decode("utf-8", "surrogateescape").split("\n"):
        field, tab, key = line.partition("\t")
        if tab and field in Roster._fields:
            found.setdefault(field, set()).add(key)
    return {field: frozenset(keys) for field, keys in found.items()}


def is_large(changed_keys: int, roster: Roster) -> bool:
    """Whether so many keys that differ make a change that is quicker to put in force by comparing
    every row: a key of a change takes about five times as long as a row."""
    return changed_keys > _MANY and _ROWS_A_KEY * changed_keys > sum(
        document.size_hint() for document in roster
    )


def in_memory(change: Change) -> Change:
    """The same with whole documents, for who asks for many of their lines."""
    old: list[Any] = []
    new: list[Any] = []
    pairs = zip(change.before.roster.documents(), change.after.roster.documents(), strict=True)
    for (_, before), (_, after) in pairs:
        new.append(whole(after))
        old.append(new[-1] if before.same_as(after) else whole(before))
    return change._replace(
        before=change.before._replace(roster=Roster(*old)).remembering(),
        after=change.after._replace(roster=Roster(*new)).remembering(),
    )


def reconcile(
    store: Store,
    tables: Tables,
    layout: Layout,
    settling: Settling,
    *,
    edited: Edited | None = None,
    accept: bool = False,
    verify: bool = False,
    broken: Collection[str] = (),
) -> Outcome:
    """Puts in force what the config folder says, less the removals that are held back; those that
    a command has noted are not.

    `edited`: what a command has just done, so that nobody looks for it again. `accept`: no removal
    is held. `verify`: every row is compared. `broken`: tables that have to be made anew. Raises
    TryAgain if the tables can't be written.
    """
    try:
        store.recover()
        with FolderLock(layout.state), without_collector():
            tables.make_folder()
            noted, keys = tables.noted()
            if keys:
                store.wait()  # for the edit that has noted them: now the files have it
            state = _state(store, tables, settling, edited)
            judged = _judge(state, tables, keys, accept=accept)
            fresh = _fresh_faults(judged.before.roster, state.found.roster)
            unnoted = _note_by_hand(store, tables, state, judged, edited)
            # A command says itself what it edits; the copies change with the tables.
            changes = [] if edited else entry_changes(judged.before.roster, judged.after.roster)
            if verify or not tables.are_known():
                rows = tables.put_all(judged.after)
            else:
                rows = tables.hint(judged.before, {*broken, *tables.lost()})
                rows += tables.put(judged.before, judged.after)
            tables.forget(noted)
            for field, document in state.found.roster.documents():
                if getattr(judged.after.roster, field) is document:
                    path = store.path(document.format.file)
                    tables.copies.agree(field, path, state.identities[field])
            return Outcome(
                rows, judged.findings, tuple(fresh), judged.waits, unnoted, tuple(changes)
            )
    except OSError as error:
        words = f"{error.filename or layout.state}: {reason(error)}"
        raise TryAgain(f"the tables can't be written ({words})") from error


@contextmanager
def without_collector() -> Iterator[None]:
    """Without the garbage collector, as commands run: of a whole build it takes 8 %, and finds
    nothing, as no value here refers to itself."""
    import gc

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _note_by_hand(
    store: Store, tables: Tables, state: "_State", judged: "_Judged", edited: Edited | None
) -> str:
    """Keeps in the history what comes into force and is not from a command. Before that is so: if
    it is cut short, the next reconciliation finds in the history what is noted already."""
    before, after = judged.before.roster, judged.after.roster
    if edited is not None and not (
        any(differing(before, edited.before)) or any(differing(after, edited.after))
    ):
        return ""
    if not any(differing(before, after)) or not tables.remember():
        return ""
    return store.note_by_hand(before, after, state.identities)


class Outlook(NamedTuple):
    """What a reconciliation would do now."""

    held: tuple[Finding, ...]  # what it would hold back
    in_step: bool  # whether it would have nothing else to do
    skipped: Mapping[str, int]  # file -> lines that are never served, since they have errors


def outlook(store: Store, tables: Tables, settling: Settling) -> Outlook:
    """What a reconciliation would do, without doing it."""
    state = _state(store, tables, settling)
    judged = _judge(state, tables, tables.noted()[1])
    same = not any(differing(judged.before.roster, judged.after.roster))
    faulty = {d.format.file: d.faulty() for _, d in state.found.roster.documents()}
    skipped = {file: number for file, number in faulty.items() if number}
    return Outlook(judged.findings, same and tables.are_whole(), skipped)


class _State(NamedTuple):
    """What is served, and what the folder says."""

    served: Roster
    found: ScannedFolder
    identities: Mapping[str, Identity]


def _state(
    store: Store, tables: Tables, settling: Settling, edited: Edited | None = None
) -> _State:
    known = (edited.before, edited.after) if edited is not None else ()
    served = tables.copies.roster(known)
    find = tables.copies.finding(served, edited)
    snapshot = store.read((*known, served), find)
    return _State(served, _found(snapshot, store, settling), snapshot.identities)


class _Judged(NamedTuple):
    """What is served, what is to be served, and what of the folder is held back and why."""

    before: Router
    after: Router
    findings: tuple[Finding, ...]
    waits: bool


def _judge(state: _State, tables: Tables, asked: Keys, *, accept: bool = False) -> _Judged:
    served = state.served
    found, faults = _without_bad_regexp(state.found, served)
    held = hold_back(served if tables.have_copy() else found.roster, found, asked, accept=accept)
    origin = tables.origin()
    mail, postmaster = tables.mail(), tables.postmaster()
    captured = PatternMatcher(served.regexp)
    before = Router(served, origin, captured, mail=mail, postmaster=postmaster)
    after = before._replace(roster=held.roster, captured=PatternMatcher(held.roster.regexp))
    loops: list[Finding] = []
    after = after.remembering()
    if held.roster.regexp.index:
        pairs = zip(served.aliases(), held.roster.aliases(), strict=True)
        moved = {key for old, new in pairs for key in changed_keys(old, new)}
        for router in (before, after):
            many = len(moved) > _MANY
            roster = router.roster.read_at_once() if many else router.roster
            prefetch(router._replace(roster=roster), moved)
    if tables.have_copy() and not accept:
        roster, loops = keep_expandable(before, after)
        assert after.memory is not None
        is_valid = roster == after.roster and not after.memory.is_exhausted()
        after = after._replace(roster=roster, memory=after.memory if is_valid else None)
    return _Judged(before, after, (*faults, *loops, *held.findings), held.waits)


def _found(snapshot: Snapshot, store: Store, settling: Settling) -> ScannedFolder:
    folder_ctime_ns = os.stat(store.folder).st_ctime_ns
    missing = frozenset(f for f, found in snapshot.identities.items() if found == ABSENT)
    for field, found in snapshot.identities.items():
        settling.look(field, found)
    return ScannedFolder(
        snapshot.roster,
        missing,
        snapshot.unreadable,
        lambda field: settling.settled(field, folder_ctime_ns),
    )


def _without_bad_regexp(
    found: ScannedFolder, served: Roster
) -> tuple[ScannedFolder, list[Finding]]:
    """What was live stays if Postfix can't read a rule of the new file."""
    regexp = found.roster.regexp
    if regexp.same_as(served.regexp):
        return found, []
    findings = [f for f in regexp.findings() if f.severity == ERROR] + regexp_findings(regexp)
    if not findings:
        return found, []
    message = "the file is not put in force, what was live before stays"
    where = Location(regexp.format.file)
    findings.append(Finding(where, WARNING, "held-back", message, "fix its errors"))
    return found._replace(roster=found.roster._replace(regexp=served.regexp)), findings


def _fresh_faults(served: Roster, found: Roster) -> list[Finding]:
    changed = differing(served, found)
    return [fault for _, old, new in changed for fault in new_faults(old, new)]
