"""Lists what running servers need in the state folder, and finds what is missing.

Servers keep folders, sockets and files open. If the state folder is emptied, or a tmpfs is lost,
they keep using files that have no name any more, and answer with errors.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.roster.roster import Roster
from mailroster.servers.config.overrides import FILES as OVERRIDES
from mailroster.servers.ownership import QUEUES

DOVECOT, POSTFIX, POLICY = "dovecot", "postfix", "policy service"

#: Whether it must be the same file or folder as before, or any with that name.
_SAME, _ANY = True, False
#: No file has this device and inode.
_NOTHING = (0, 0)


class Essential(NamedTuple):
    """A file, folder or socket that is needed.

    `servers` have to be restarted if it is missing. `maker`: the server that creates it at its
    start; while that server is down, it may be missing. `always`: every start creates it, so it is
    missed even if it did not exist when the last record was made.
    """

    path: str
    servers: tuple[str, ...] = ()
    same: bool = _ANY
    maker: str = ""
    always: bool = False


class Essentials:
    """The essentials of one instance, as of the last call of `record`."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        self._settings, self._layout = settings, layout
        self._recorded: dict[Essential, tuple[int, int]] = {}

    def record(self) -> None:
        """Records what exists now as complete."""
        self._recorded = {
            each: inode or _NOTHING
            for each in essentials(self._settings, self._layout)
            if (inode := _inode(each.path)) or each.always
        }

    def lost(self, is_running: Callable[[str], bool]) -> list[Essential]:
        """The essentials that are missing, or replaced if that matters. Those that a server creates
        itself count only while that server runs (`is_running`, by name)."""
        return [
            each
            for each, before in self._recorded.items()
            if (not each.maker or is_running(each.maker))
            and (not (inode := _inode(each.path)) or (each.same and inode != before))
        ]


def essentials(settings: Settings, layout: Layout) -> Iterator[Essential]:
    """Everything that may be essential, whether or not it exists."""
    yield from _of_tables(layout)
    servers = (POLICY,) if layout.kind == "host" else (DOVECOT, POSTFIX, POLICY)
    yield Essential(settings.logs, servers, _SAME)
    yield Essential(layout.policy_pid, (POLICY,), _ANY, POLICY)
    yield Essential(layout.policy, (POLICY,), _ANY, POLICY)
    if layout.kind != "host":
        yield from _of_servers(settings, layout)
    elif settings.names_certificate():
        yield Essential(layout.tls, (), _SAME)
        yield from (Essential(path) for path in layout.active_certificates(settings))


def _of_tables(layout: Layout) -> Iterator[Essential]:
    for folder in (
        layout.state, layout.tables, layout.postmap, layout.sql, layout.sieve,
        layout.sieve_accounts,
    ):  # fmt: skip
        yield Essential(folder, (), _SAME, always=True)
    # Another folder may have an old pid file of the policy service, which is not locked.
    yield Essential(layout.locks, (POLICY,), _SAME, always=True)
    yield Essential(layout.served, (), _SAME, always=True)
    yield Essential(layout.up_pid, (), _SAME, always=True)
    yield Essential(layout.warning, (DOVECOT,), _SAME)
    yield Essential(layout.sieve_mail, (DOVECOT,), _SAME)
    for file in (
        layout.origin, layout.dialect, layout.mail_folder, layout.postmaster, layout.delimiters,
        layout.main_services,
        layout.built, layout.layout_file, layout.untrusted, layout.quota_warning,
        layout.sieve_sendmail, layout.sieve_smtpd, layout.sieve_keep,
        os.path.join(layout.postmap, "main.cf"),
    ):  # fmt: skip
        yield Essential(file)
    for document in Roster():
        yield Essential(os.path.join(layout.served, document.format.file))


def _of_servers(settings: Settings, layout: Layout) -> Iterator[Essential]:
    for folder in (layout.dovecot, layout.dovecot_data):
        yield Essential(folder, (DOVECOT,), _SAME, always=True)
    for folder in (layout.postfix, layout.postfix_data, layout.spool):
        yield Essential(folder, (POSTFIX,), _SAME, always=True)
    yield Essential(layout.run, (DOVECOT, POLICY), _SAME, always=True)
    yield Essential(layout.tls, (DOVECOT, POSTFIX), _SAME)
    yield Essential(layout.overrides, (), _SAME)
    for name in ("pid", *QUEUES):
        yield Essential(os.path.join(layout.spool, name), (POSTFIX,), _SAME)
    for name in ("main.cf", "master.cf"):
        yield Essential(os.path.join(layout.postfix, name), (POSTFIX,))
    for path in _files(layout.dovecot):
        yield Essential(path, (DOVECOT,))
    for name in OVERRIDES:
        yield Essential(os.path.join(layout.overrides, name))
    for path in layout.certificates(settings)[0] if not settings.tls_certificate else ():
        yield Essential(path, (DOVECOT, POSTFIX))
    for path in layout.active_certificates(settings):
        yield Essential(path, (DOVECOT, POSTFIX))
    yield Essential(layout.dovecot_pid, (DOVECOT,), _ANY, DOVECOT)
    for path in _sockets((layout.run, layout.sieve_mail)):
        if path != layout.policy:
            yield Essential(path, (DOVECOT,), _ANY, DOVECOT)
    for path in (f"{layout.spool}/pid/master.pid", f"{layout.postfix_data}/master.lock"):
        yield Essential(path, (POSTFIX,), _ANY, POSTFIX)
    for path in _sockets((f"{layout.spool}/public", f"{layout.spool}/private")):
        yield Essential(path, (POSTFIX,), _ANY, POSTFIX)


def _files(folder: str) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        yield from (os.path.join(place, name) for name in names)


def _sockets(folders: Iterable[str]) -> Iterator[str]:
    """The sockets of services. A socket named by a number belongs to one process, which removes it
    (Dovecot 2.4, `srv.imap-login/PID`)."""
    for folder in folders:
        for path in _files(folder):
            if os.path.basename(path).isdecimal():
                continue
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                continue
            if stat.S_ISSOCK(mode):
                yield path


def _inode(path: str) -> tuple[int, int] | None:
    """The device and inode of a file or folder; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
