"""The live tables of an instance, with the copies of the config files that they were made from."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from mailroster.base.layout import Layout
from mailroster.publish.destinations import Targets
from mailroster.publish.intents import Intents
from mailroster.publish.marks import Marks
from mailroster.publish.published_files import PublishedFiles
from mailroster.publish.row_settings import RowSettings
from mailroster.publish.table_writer import GENERATION, TableWriter
from mailroster.publish.tables import dovecot, postfix
from mailroster.publish.tables.order import tables_for
from mailroster.publish.tables.table import delta, stream
from mailroster.publish.targets import lmdb_file
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import whole
from mailroster.roster.formats.local_aliases import LOCAL_ALIASES
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster, differing
from mailroster.routing.change import Change, change_of, differing_keys
from mailroster.routing.router import Router
from mailroster.servers.patterns import prefetch
from mailroster.system.files import Disk

#: From so many keys or aliases on, files are read completely.
MANY = 2000
#: A key of a change takes the time of so many rows of a rebuild.
_ROWS_A_KEY = 4


class LiveTables:
    """What is live, what is known of it, and the three ways to change it: `apply_change`, `rebuild`
    and `repair`. Each holds the lock of the state folder. `marks` has the table of states."""

    def __init__(
        self,
        layout: Layout,
        targets: Targets,
        copies: PublishedFiles | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._layout, self._disk, self.targets = layout, disk or Disk(), targets
        self.copies = copies or PublishedFiles(layout.served, self._disk)
        self.intents = Intents(layout, self._disk)
        self.settings = RowSettings(layout, self._disk)
        self._marks = Marks(layout, self._disk)
        self._writer = TableWriter(layout, targets, self._marks, self._disk)
        self._file_marks: dict[str, list[tuple[int, ...]]] = {}

    # -- what is known

    def exist(self) -> bool:
        """Whether this instance was ever started: only then there are tables."""
        return os.path.isdir(self._layout.tables)

    def have_copies(self) -> bool:
        """Whether there is a copy of every config file."""
        files = (document.format.file for document in Roster())
        return all(os.path.exists(self.copies.path(file)) for file in files)

    def have_published_copies(self) -> bool:
        """Whether the copies are as last published: no crash has left parts of two states."""
        return self.have_copies() and not self._marks.is_everything_unfinished()

    def are_known(self) -> bool:
        """Whether the tables hold what the copies say, except for the rows of unfinished keys."""
        version = self.settings.version()
        return self.have_published_copies() and self._marks.is_built_for(version)

    def are_whole(self) -> bool:
        """Whether the tables hold what the copies say."""
        return self.can_serve() and not self._marks.is_unfinished()

    def can_serve(self) -> bool:
        """Whether servers may start: all tables are there and known."""
        return self.are_known() and not self.lost()

    def lost(self) -> list[str]:
        """The tables with a missing target, by their first bytes."""
        lost = [
            name
            for name, targets in self.targets.items()
            if not all(target.is_there() for target in targets)
        ]
        return lost if self._writer.has_generation() else [*lost, GENERATION]

    def suspects(self) -> list[str]:
        """The tables that another process has written since the last call."""
        before = self._file_marks
        self._file_marks = {
            name: [target.mark() for target in targets] for name, targets in self.targets.items()
        }
        return [name for name, marks in self._file_marks.items() if before.get(name) != marks]

    # -- changes

    def begin(
        self, origin: str, version: str, mail: str, postmaster: str = "", services: str = ""
    ) -> None:
        """Records the settings that rows depend on: the server's own domain, the version of
        Dovecot, the mail folder, postmaster_address, main_password_services ("": all) and the
        delimiters of extensions. If one has changed, the next reconciliation is a rebuild. The
        index depends on the delimiters too."""
        self.settings.record_version(version)
        if changed := self.settings.changed(origin, mail, postmaster, services):
            self._marks.begin_everything()
            if self._layout.delimiters in changed:
                self.copies.drop_index()
            self.settings.record(changed)

    def apply_change(self, before: Router, after: Router) -> int:
        """Makes a roster live in place of another, as far as they differ; returns how many rows
        changed."""
        redo = self._marks.unfinished_keys()
        documents = [(field, new) for field, _, new in differing(before.roster, after.roster)]
        if not documents and not redo:
            return 0
        keys = differing_keys(before.roster, after.roster, redo)
        revoked = _revoked(before.roster, after.roster, keys["app_passwords"])
        if is_large(sum(map(len, keys.values())), after.roster):
            changed_rows = self.rebuild(after)
            self._writer.end_sessions(revoked)
            return changed_rows
        change = _prefetched_change(before, after, keys)
        version = self.settings.version()
        rows = {table.name: delta(table, change, every=bool(redo)) for table in tables_for(version)}
        self._marks.begin_change(change.keys)
        self._writer.write(version, rows)
        if redo or _may_limit(change):
            self._writer.renew_limits()
        closed = [key for key in keys["accounts"] if not _may_log_in(after.roster, key)]
        ended = {key for key in closed if redo or _may_log_in(before.roster, key)}
        self._writer.end_sessions(ended | revoked)
        self._update_copies(documents)
        return sum(map(len, rows.values()))

    def rebuild(self, after: Router) -> int:
        """Makes a roster live, whatever the tables hold; returns how many rows changed."""
        self._marks.begin_everything()
        self._marks.begin_rows()
        tables = [table.name for table in tables_for(self.settings.version())]
        rows, roster = self._fill(after, tables)
        self.copies.drop_index()
        self._update_copies(list(roster.documents()))
        self._marks.stamp(self.settings.version())
        return rows

    def repair(self, live: Router, broken: Collection[str]) -> int:
        """Makes the named tables hold the live roster again, where they are lost or damaged;
        returns how many rows they lacked."""
        if not broken:
            return 0
        self._marks.begin_rows()
        rows, _ = self._fill(live, broken)
        self._marks.finish_rows()
        return rows

    def _fill(self, after: Router, names: Collection[str]) -> tuple[int, Roster]:
        """Makes tables hold the rows of a roster; returns how many rows changed, and the roster as
        whole documents."""
        roster = after.roster.read_at_once()
        after = after._replace(roster=roster)
        after = after if after.memory is not None else after.remembering()
        prefetch(after, (key for document in roster.aliases() for key in document.counted()))
        version = self.settings.version()
        tables = [table for table in tables_for(version) if table.name in names]
        rows, surplus = self._writer.fill(version, tables, after)
        self._writer.renew_limits()
        removed = {*surplus[dovecot.Accounts.name], *surplus[dovecot.Exceptions.name]}
        self._writer.end_sessions([key for key in removed if key not in roster.accounts])
        self._writer.end_sessions([key for key, _ in stream(postfix.LOCKED, after)])
        return rows, roster

    def _update_copies(self, documents: Sequence[tuple[str, Document[Any]]]) -> None:
        """Makes the copies hold what the tables hold, which finishes the work."""
        if any(self.copies.may_tear(document) for _, document in documents):
            self._marks.begin_everything()
        for field, document in documents:
            self.copies.put(field, document)
        self._marks.finish()


def aliases_without_row(layout: Layout, live: Mapping[str, int]) -> dict[str, int]:
    """File -> number of its aliases without a row, since Postfix could not expand them (loops).

    `live`: file -> entries of the copy.
    """
    tables = (postfix.ALIASES, VIRTUAL.file), (postfix.LOCAL_ALIASES, LOCAL_ALIASES.file)
    missing = {
        file: live[file] - lmdb_file.entries(f"{layout.table(table.name)}.lmdb")
        for table, file in tables
    }
    return {file: number for file, number in missing.items() if number > 0}


def is_large(changed_keys: int, roster: Roster) -> bool:
    """Whether a rebuild is quicker than a change of so many keys: a key of a change takes about
    five times as long as a row."""
    return changed_keys > MANY and _ROWS_A_KEY * changed_keys > sum(
        document.size_hint() for document in roster
    )


def in_memory(change: Change) -> Change:
    """The same change with whole documents, for a reader of many lines."""
    after = change.after.roster.in_memory()
    changed = differing(change.before.roster, change.after.roster)
    old_documents: dict[str, Any] = {field: whole(old) for field, old, _ in changed}
    before = after._replace(**old_documents)
    return change._replace(
        before=change.before._replace(roster=before).remembering(),
        after=change.after._replace(roster=after).remembering(),
    )


def _prefetched_change(before: Router, after: Router, keys: dict[str, frozenset[str]]) -> Change:
    """The change of some keys, with the answers of Postfix's patterns that it needs."""
    change = change_of(before.remembering(), after.remembering(), keys)
    if len(change.dependents) > MANY:
        change = in_memory(change)
    for router in (change.before, change.after):
        prefetch(router, change.dependents)
    return change


def _may_limit(change: Change) -> bool:
    """Whether a change may lower the limit of an existing mailbox: by its quota, by an extra field
    of its account, or by removing the account."""
    before = change.before.roster.accounts
    return bool(change.keys["quotas"]) or any(key in before for key in change.keys["accounts"])


def _revoked(before: Roster, after: Roster, keys: Iterable[str]) -> set[str]:
    """The accounts that lose an app password: a session does not tell by which password it is
    open."""
    lost: set[str] = set()
    for key in keys:
        old, new = before.app_passwords.get(key), after.app_passwords.get(key)
        if old is not None and (new is None or new.digest != old.digest):
            lost.add(old.address)
    return lost


def _may_log_in(roster: Roster, key: str) -> bool:
    """Whether an account exists and is not locked."""
    account = roster.accounts.get(key)
    return account is not None and not account.is_locked()
