"""The folders of an instance, with the owners and modes that the servers need."""

import grp
import os
import pwd
import stat
from collections.abc import Iterable

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers import ownership
from mailroster.servers.prerequisites import check_passable
from mailroster.system import beneath, log_file
from mailroster.system.closed_folders import Folder
from mailroster.system.files import make_folder

#: Folders with sockets lie so many levels below Dovecot's base_dir.
_SOCKET_DEPTH = 3


def table_folders(settings: Settings, layout: Layout) -> list[Folder]:
    """The folders that the tables need, on a host as well."""
    dovecot, postfix = grp.getgrnam("dovecot").gr_gid, grp.getgrnam("postfix").gr_gid
    mail_uid, mail_gid = settings.vmail_uid, settings.vmail_gid
    return [
        # The servers' users pass through it to the folders that are open to them.
        Folder(layout.state, 0o711),
        Folder(layout.locks, 0o700),
        Folder(layout.tables, 0o2750, gid=postfix),
        Folder(layout.postmap, 0o2750, gid=postfix),
        # Sticky: Dovecot creates the logs of its database there, but replaces no file of root's.
        Folder(layout.sql, 0o3770, gid=dovecot),
        Folder(layout.sieve, 0o2750, gid=mail_gid),
        Folder(layout.sieve_accounts, 0o2750, gid=mail_gid),
        Folder(layout.warning, 0o710, gid=mail_gid),
        Folder(layout.sieve_mail, 0o710, gid=mail_gid),
        # Postfix's user writes there at a start; the readers are those of /var/log.
        Folder(settings.logs, 0o751, gid=log_file.readers()),
        Folder(settings.mail, 0o770, mail_uid, mail_gid),
    ]


def server_folders(layout: Layout) -> list[Folder]:
    """The folders of the servers that `mailroster up` starts."""
    user = pwd.getpwnam("postfix")
    # In the layout `system`, sendmail(1) and postdrop(1) of every user work with this Postfix.
    is_system = layout.kind == "system"
    spool_mode, spool_gid = (0o711, 0) if is_system else (0o750, user.pw_gid)
    return [
        Folder(layout.postfix, 0o711 if is_system else 0o700),
        Folder(layout.dovecot, 0o700),
        Folder(layout.spool, spool_mode, gid=spool_gid),
        Folder(os.path.dirname(layout.postfix_data), 0o711),
        Folder(layout.postfix_data, 0o700, uid=user.pw_uid),
        Folder(layout.dovecot_data, 0o700),
        Folder(layout.run, 0o755),  # Dovecot insists on this mode; each socket has its own
        certificate_folder(layout),
    ]


def certificate_folder(layout: Layout) -> Folder:
    """The folder of the certificates that the servers read."""
    return Folder(layout.tls, 0o711)


def make_folders(settings: Settings, layout: Layout, folders: Iterable[Folder]) -> None:
    """Creates missing folders, and closes what an earlier version left open to other users. Raises
    Refused for a folder that the servers' users can't reach."""
    ownership.hand_over_database(layout)
    for path, mode, uid, gid in folders:
        is_new = not os.path.isdir(path)
        make_folder(path)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # A container engine creates an empty mail folder with an owner of its own choice.
            is_new = is_new or (path == settings.mail and _is_empty(fd))
            if is_new or path.startswith(layout.state):
                os.fchown(fd, uid, gid)
                os.fchmod(fd, mode)
        finally:
            os.close(fd)
    make_folder(settings.config)
    check_passable(layout.state)
    check_passable(settings.mail)
    _tighten(settings, layout)


def _is_empty(folder: int) -> bool:
    """Whether a folder has nothing but what ext4 puts into the root of a new volume."""
    with os.scandir(folder) as entries:
        return all(entry.name == "lost+found" for entry in entries)


def _tighten(settings: Settings, layout: Layout) -> None:
    """Closes to other users what an earlier version left open."""
    group = grp.getgrnam("postfix").gr_gid
    for entry in os.scandir(layout.tables):
        mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
        if entry.is_file(follow_symlinks=False) and mode != 0o600:
            os.chown(entry.path, 0, group)
            os.chmod(entry.path, 0o640)
    if os.path.exists(layout.old_policy_pid):  # needed to stop a policy service that still runs
        os.chmod(layout.old_policy_pid, 0o600)
    for folder in (layout.overrides, layout.served):
        if os.path.isdir(folder):
            os.chmod(folder, 0o700)
            for entry in os.scandir(folder):
                os.chmod(entry.path, 0o600)
    if os.path.isdir(settings.logs):
        log_file.tighten(settings.logs, ("mail.log", "dovecot.log", "policy.log"))


def remove_sockets(layout: Layout) -> None:
    """Removes the sockets of a Dovecot with other settings: clients would connect to them in
    vain."""
    if not os.path.isdir(layout.run):
        return
    top = os.open(layout.run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder, names in beneath.walk(top, _SOCKET_DEPTH):
            for name in names:
                if beneath.is_socket(name, folder):
                    beneath.remove(name, folder)
    finally:
        os.close(top)
