"""Accounts and aliases are exported, to a file or to a folder."""

import errno
import os

from mailroster.app.home import Home
from mailroster.base.findings import Refused
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import Store
from mailroster.system.files import Disk


def write_file(path: str, content: bytes, mode: int, *, force: bool) -> None:
    """A new file; with `force` also over one that exists, if that is a regular one. Raises Refused
    and OSError."""
    disk = Disk()
    target = os.path.realpath(path)
    if force and os.path.isfile(target):
        disk.replace(target, content, mode)
        return
    try:
        disk.create(target, content, mode, None)
    except FileExistsError:
        raise Refused(f"{path} exists already; --force writes over a file") from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            disk.remove(target)
        raise


def write_folder(home: Home, roster: Roster, path: str, *, force: bool) -> None:
    """The files of accounts, quotas and aliases in a folder; others that it has stay. `force`: also
    over files that have entries. Raises Refused."""
    if os.path.realpath(path) == os.path.realpath(home.settings.config):
        raise Refused(f"{path} is the config folder itself")

    def edit(there: Roster) -> Roster:
        for _, document in there.documents():
            if document.text and not force:
                file = document.format.file
                raise Refused(f"{os.path.join(path, file)} exists already; --force writes over it")
        return there._replace(
            accounts=roster.accounts, quotas=roster.quotas, virtual=roster.virtual
        )

    Store(path, linked=home.settings.linked()).transact(edit)
