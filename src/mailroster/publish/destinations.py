"""Where each table is published: its targets.

To publish to another place, write a target in `targets/` and add it to a list here. All targets of
a table hold the same rows.
"""

from collections.abc import Iterable, Mapping, Sequence

from mailroster.base.layout import Layout
from mailroster.publish.tables import dovecot, postfix, relays
from mailroster.publish.tables.order import POSTFIX
from mailroster.publish.targets import Target
from mailroster.publish.targets.lmdb_table import LmdbTable
from mailroster.publish.targets.sqlite_table import SqliteTable
from mailroster.publish.targets.text_table import PasswdFile, PcreRules, PcreTable
from mailroster.servers.config.dovecot.schema import ACCOUNT, APP_PASSWORD, MASTER, SPELLING
from mailroster.system.files import Disk

#: Name of a table -> its targets.
Targets = Mapping[str, Sequence[Target]]


def targets_of(layout: Layout, disk: Disk | None = None) -> Targets:
    """The targets of every table of an instance."""
    disk = disk or Disk()
    special: dict[str, list[Target]] = {
        dovecot.Exceptions.name: [PasswdFile(layout.exceptions, disk)],
        dovecot.SpeltExceptions.name: [PasswdFile(layout.spelt_exceptions, disk)],
        dovecot.Accounts.name: [SqliteTable(layout.database, ACCOUNT, disk)],
        dovecot.ExceptionsByService.name: [PasswdFile(layout.exceptions_by_service, disk)],
        dovecot.APP_PASSWORDS.name: [SqliteTable(layout.database, APP_PASSWORD, disk)],
        dovecot.MASTERS.name: [SqliteTable(layout.database, MASTER, disk)],
        dovecot.SPELLINGS.name: [SqliteTable(layout.database, SPELLING, disk)],
        postfix.REGEXP.name: [PcreTable(layout.table("regexp"), disk)],
        postfix.SPELLINGS.name: [PcreRules(layout.table("spellings"), disk)],
        relays.PASSWORDS.name: [LmdbTable(layout.table(relays.PASSWORDS.name), disk, mode=0o600)],
    }
    lmdb = [table.name for table in POSTFIX if table.name not in special]
    return special | {name: [LmdbTable(layout.table(name), disk)] for name in lmdb}


def damaged(targets: Targets, names: Iterable[str]) -> list[str]:
    """The tables among `names` with a damaged target. Reads each target completely.

    Not for a process that is writing a table: opening and closing its file drops the lock.
    """
    return [name for name in names if any(target.damage() for target in targets[name])]
