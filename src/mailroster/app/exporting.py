"""Exports accounts and aliases to a file or to a folder."""

import errno
import os

from mailroster.app.home import Home
from mailroster.base.findings import Refused
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import Store
from mailroster.system.files import Disk


def write_file(path: str, content: bytes, mode: int, *, force: bool) -> None:
    """Writes a new file; with `force`, replaces a regular file. Raises Refused and OSError."""
    disk = Disk()
    target = os.path.realpath(path)
    if force and os.path.isfile(target):
        disk.replace(target, content, mode)
        return
    try:
        disk.create(target, content, mode, None)
    except FileExistsError:
        raise Refused(f"{path} exists already; add --force to replace a file") from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            disk.remove(target)
        raise


def write_folder(home: Home, roster: Roster, path: str, *, force: bool) -> None:
    """Writes the files of accounts, quotas, aliases and app passwords into a folder; its other
    files stay. `force`: replace files that are not empty. Raises Refused."""
    if os.path.realpath(path) == os.path.realpath(home.settings.config):
        raise Refused(f"{path} is the config folder itself")

    def edit(target: Roster) -> Roster:
        for _, document in target.documents():
            if document.text and not force:
                file = os.path.join(path, document.format.file)
                raise Refused(f"{file} exists already; add --force to replace it")
        return target._replace(
            accounts=roster.accounts,
            quotas=roster.quotas,
            virtual=roster.virtual,
            app_passwords=roster.app_passwords,
        )

    Store(path, linked=home.settings.linked()).transact(edit)
