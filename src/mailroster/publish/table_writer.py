"""Writes rows to the targets, in an order that protects mail, and tells the servers about it.

Dovecot knows an account before Postfix accepts mail for it; Postfix refuses the mail before Dovecot
forgets the account.
"""

import time
from collections.abc import Collection, Mapping, Sequence

from mailroster.base.layout import Layout
from mailroster.publish.destinations import Targets
from mailroster.publish.marks import Marks
from mailroster.publish.tables import dovecot, postfix
from mailroster.publish.tables.order import POSTFIX, ROUTING, dovecot_tables, tables_for
from mailroster.publish.tables.table import Changes, Table, stream
from mailroster.publish.targets.lmdb_table import LmdbTable
from mailroster.routing.router import Router
from mailroster.system.files import Disk

GENERATION = "generation"
#: Tables whose change Postfix notices by the generation only.
_READ_AT_START = (postfix.DOMAINS, postfix.REGEXP, postfix.SPELLINGS)
#: Tables of Dovecot's database.
_IN_SQL = (
    dovecot.Accounts.name,
    dovecot.APP_PASSWORDS.name,
    dovecot.MASTERS.name,
    dovecot.SPELLINGS.name,
)


class TableWriter:
    """The writer of one instance. It holds the lock of the state folder."""

    def __init__(self, layout: Layout, targets: Targets, marks: Marks, disk: Disk) -> None:
        self._layout, self._targets, self._marks, self._disk = layout, targets, marks, disk
        self._generation = LmdbTable(layout.table(GENERATION), disk)

    def has_generation(self) -> bool:
        return self._generation.is_there()

    def write(self, version: str, changes: Mapping[str, Changes]) -> None:
        """Writes changed rows: table -> key -> row, None to remove it."""
        # Until all rows are there, the policy service refuses no address as one that leads nowhere,
        # and no session because its account is missing: rows may name rows of a later table, and
        # Dovecot lets a new account log in before Postfix knows it.
        adds_mailbox = any(row is not None for row in changes[postfix.MAILBOXES.name].values())
        routing = [table for table in ROUTING if changes[table.name]]
        needs_mark = adds_mailbox or len(routing) > 1
        if needs_mark:
            self._marks.begin_rows()
        removals: dict[str, Changes] = {}
        # Additions first: an account that becomes an alias is known at each moment.
        for table in tables_for(version):
            rows = changes[table.name]
            removals[table.name] = {key: None for key, row in rows.items() if row is None}
            self._apply(table, {key: row for key, row in rows.items() if row is not None})
        self._remove(POSTFIX, removals)
        if any(changes[table.name] for table in _READ_AT_START):
            self._renew_generation()
        if needs_mark:  # the removals from Dovecot may take a second and concern no mail
            self._marks.finish_rows()
        self._remove_from_dovecot(version, removals)

    def fill(
        self, version: str, tables: Sequence[Table], router: Router
    ) -> tuple[int, dict[str, Changes]]:
        """Makes tables hold the rows of a router; returns how many rows changed, and the rows that
        were removed."""
        changed = 0
        surplus: dict[str, Changes] = {table.name: {} for table in tables_for(version)}
        replaced = set()
        for table in tables:
            for target in self._targets[table.name]:
                filled = target.fill(stream(table, router), is_sorted=True)
                surplus[table.name] |= dict.fromkeys(filled.surplus)
                changed += filled.changed + len(filled.surplus)
                if not filled.replaced:
                    continue
                replaced.add(table.name)
                if table.name in _IN_SQL:
                    from mailroster.servers.reopen import reopen_database

                    reopen_database(self._layout)
        self._remove(POSTFIX, surplus)
        self._renew_generation(reload=any(table.name in replaced for table in POSTFIX))
        self._remove_from_dovecot(version, surplus)
        return changed, surplus

    def renew_limits(self) -> None:
        """Makes the policy service ask Dovecot again for the room in mailboxes. Dovecot must know
        all rows by then."""
        self._disk.replace(self._layout.limits, b"", mode=0o644)

    def end_sessions(self, accounts: Collection[str]) -> None:
        """Ends the sessions of accounts that may not log in any more."""
        if accounts:
            from mailroster.servers.sessions import end_sessions

            end_sessions(self._layout, accounts)

    def _apply(self, table: Table, rows: Changes) -> None:
        if rows:
            for target in self._targets[table.name]:
                target.apply(rows)

    def _remove(self, tables: Sequence[Table], removals: Mapping[str, Changes]) -> None:
        for table in reversed(tables):
            self._apply(table, removals[table.name])

    def _remove_from_dovecot(self, version: str, removals: Mapping[str, Changes]) -> None:
        if removals[dovecot.Accounts.name]:
            self._wait_for_dovecot()
        self._remove(dovecot_tables(version), removals)
        self._wait_for_dovecot()

    def _wait_for_dovecot(self) -> None:
        """Waits until every lookup of Dovecot sees the rows that were written."""
        targets = (target for some in self._targets.values() for target in some)
        visible_at = max(target.visible_at for target in targets)
        time.sleep(max(0.0, visible_at - time.monotonic()))

    def _renew_generation(self, *, reload: bool = False) -> None:
        """Makes Postfix read its tables again. `reload`: even a process that started without a
        table, which answers 451 until it ends, as it has no file whose change it could notice."""
        reload = reload or not self._generation.is_there()
        self._generation.renew()
        if reload:
            from mailroster.servers.reopen import reload_postfix

            reload_postfix(self._layout)
