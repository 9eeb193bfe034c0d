"""Makes the folders and files of an instance, with the owners and modes that the servers want."""

import grp
import os
import pwd
import socket
import stat
import time
from collections.abc import Callable, Sequence

from mailroster import installed, owners, places, quota_warning, running
from mailroster.adopt.mail_folder import owned
from mailroster.config_folder import ConfigFolder
from mailroster.disk import Disk, read
from mailroster.finding import Refused
from mailroster.instance import overrides, postfix
from mailroster.instance.dialect import dialect
from mailroster.instance.layout import Layout
from mailroster.overrides import take
from mailroster.services import HOT_MAIN_CF_S, program, run
from mailroster.settings import Settings

#: Debian's packages, by a file that each brings.
PACKAGES = {
    "postfix": "/usr/sbin/postfix",
    "postfix-lmdb": "/usr/lib/postfix/postfix-lmdb.so",
    "postfix-pcre": "/usr/lib/postfix/postfix-pcre.so",
    "dovecot-core": "/usr/sbin/dovecot",
    "dovecot-imapd": "/usr/lib/dovecot/imap",
    "dovecot-pop3d": "/usr/lib/dovecot/pop3",
    "dovecot-lmtpd": "/usr/lib/dovecot/lmtp",
    "dovecot-sieve": "/usr/lib/dovecot/modules/lib90_sieve_plugin.so",
    "dovecot-managesieved": "/usr/lib/dovecot/managesieve",
    "dovecot-sqlite": "/usr/lib/dovecot/modules/auth/libdriver_sqlite.so",
    "openssl": "/usr/bin/openssl",
}


#: Those that tables are for, whoever starts the servers.
_OF_TABLES = (
    "postfix", "postfix-lmdb", "postfix-pcre", "dovecot-core", "dovecot-lmtpd", "dovecot-sieve",
    "dovecot-sqlite",
)  # fmt: skip


def missing_packages() -> list[str]:
    """The Debian packages that an instance lacks."""
    return [package for package, path in PACKAGES.items() if not os.path.exists(path)]


def check_host(settings: Settings, layout: Layout) -> None:
    """Raises Refused for what a person has to mend before there can be tables for the servers of a
    host. Changes nothing."""
    if os.geteuid() != 0:
        raise Refused("the tables belong to root: run this as root")
    if missing := [name for name in missing_packages() if name in _OF_TABLES]:
        raise Refused(f"these Debian packages are missing: {' '.join(missing)}")
    check_paths(settings, layout)
    if layout.kind != "host" or os.path.exists(f"{layout.state}/postfix/main.cf"):
        mend = "name another home, or another state folder"
        raise Refused(f"{layout.state} is of 'mailroster up', which has servers of its own; {mend}")


def prepare_host(settings: Settings, layout: Layout) -> None:
    """Makes everything that is missing beside the servers of a host, and notes that it is for them.

    Raises Refused for a folder that a person has to mend.
    """
    _make(settings, layout, _of_tables(settings, layout))
    _quota_warning(settings, layout)
    Disk().replace(layout.note, f"{layout.kind}\n".encode())


def check(settings: Settings, layout: Layout, *, adopt: bool = False) -> None:
    """Raises Refused for what a person has to mend before an instance can be. Changes nothing.

    `adopt`: the servers' own places may be taken from whoever has them.
    """
    if layout.kind == "host":
        mend = "run 'mailroster watch', or name another --home"
        raise Refused(f"the tables in {layout.state} are for servers of somebody else; {mend}")
    if os.geteuid() != 0:
        raise Refused("Postfix's master wants root: run this as root")
    if missing := missing_packages():
        raise Refused(f"these Debian packages are missing: {' '.join(missing)}")
    if settings.relay_tls_level not in postfix.RELAY_TLS_LEVELS:
        levels = ", ".join(postfix.RELAY_TLS_LEVELS)
        raise Refused(f"relay_tls_level: {settings.relay_tls_level!r} is none of {levels}")
    check_paths(settings, layout)
    places.check(layout.links, adopt)
    if layout.links and (strangers := running.strangers()):
        others = ", ".join(f"{name} (process {pid})" for name, pid in strangers.items())
        mend = "stop it for good first: systemctl disable --now postfix dovecot"
        raise Refused(f"another mail server runs here: {others}; {mend}")


def check_paths(settings: Settings, layout: Layout) -> None:
    """Raises Refused for folders that the servers can't have, or can't get to."""
    for path in (settings.mail, settings.state, settings.logs):
        if bad := sorted(set(path) & set(" \t\"'$%{},:;#\\|<>")):
            raise Refused(f"the path {path!r} has {bad[0]!r}, which the servers would misread")
    if room := layout.socket_room():
        raise Refused(f"the path {layout.state} is {room} octets too long for sockets; use another")
    for path in (settings.mail, layout.state):
        if os.path.isdir(path):
            _passable(path)


def prepare(
    settings: Settings, layout: Layout, tell: Callable[[str], object] = lambda text: None
) -> bool:
    """Makes everything that is missing; whether a file that the servers read at start changed.

    `tell` is told what is wrong with the folder's own settings for the servers, and whose an
    existing mail folder is if it is not the mail's: nothing of it is changed.

    Raises Refused for a folder or a certificate that a person has to mend.
    """
    its = dialect(installed.version())
    owners.hand_over_queue(layout)
    _make(settings, layout, [*_of_tables(settings, layout), *_of_servers(layout)])
    _postfix_log(f"{settings.logs}/mail.log", pwd.getpwnam("postfix").pw_uid)
    if os.path.exists(layout.note):  # somebody has said otherwise
        Disk().remove(layout.note)
    for remark in owned(settings.mail, settings.vmail_uid, settings.vmail_gid):
        tell(str(remark))
    places.claim(layout.links, tell)
    _certificate(settings, layout)
    settings = settings._replace(listen=_listening(settings.listen))
    before = read(f"{layout.overrides}/dovecot.cf")
    taken = take(settings, layout)
    for finding in taken.findings:
        tell(str(finding))
    names = postfix.listeners(settings)
    main = overrides.main_cf(postfix.main_cf(settings, layout), taken.overrides.main)
    master = overrides.master_cf(postfix.master_cf(settings), taken.overrides.master, names)
    files = {f"{layout.postfix}/main.cf": main, f"{layout.postfix}/master.cf": master}
    for name, text in its.files(settings, layout).items():
        files[os.path.join(layout.dovecot, name)] = text
    _quota_warning(settings, layout)
    changed = before != read(f"{layout.overrides}/dovecot.cf")
    for path, text in files.items():
        raw = text.encode("utf-8", "surrogateescape")
        if read(path) != raw:
            Disk().replace(path, raw, mtime_s=int(time.time()) - HOT_MAIN_CF_S)
            changed = True
    return changed


def remove_sockets(layout: Layout) -> None:
    """Takes away what a Dovecot with other settings has left: it would be asked, and not answer."""
    for folder, _, names in os.walk(layout.run):
        for name in names:
            path = os.path.join(folder, name)
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)


def _listening(listen: str) -> str:
    """Every address of the machine, IPv6 where it has that: Dovecot fails where it has not."""
    if listen != "*":
        return listen
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return "*"
    return "*, ::"


def _quota_warning(settings: Settings, layout: Layout) -> None:
    sender = settings.postmaster_address or f"postmaster@{settings.hostname}"
    not_enforced = dialect(installed.version()).NOT_ENFORCED
    config = ConfigFolder(settings.config, settings.linked())
    script = quota_warning.script(config, layout.dovecot_conf, sender, not_enforced)
    Disk().replace(layout.quota_warning, script.encode(), mode=0o755)


#: A folder, its owner and group, and its mode.
_Folder = tuple[str, tuple[int, int], int]
_ROOT = (0, 0)


def _of_tables(settings: Settings, layout: Layout) -> list[_Folder]:
    dovecot = (0, grp.getgrnam("dovecot").gr_gid)
    mail = (settings.vmail_uid, settings.vmail_gid)
    scripts = (0, settings.vmail_gid)
    return [
        (layout.state, _ROOT, 0o755),
        (layout.tables, _ROOT, 0o755),
        (layout.sql, dovecot, 0o2770),
        (layout.sieve, scripts, 0o2750),
        (layout.sieve_accounts, scripts, 0o2750),
        (layout.warning, mail, 0o700),
        (settings.logs, _ROOT, 0o755),
        (settings.mail, mail, 0o770),
    ]


def _of_servers(layout: Layout) -> list[_Folder]:
    """The folders of servers that are ours."""
    postfix = (pwd.getpwnam("postfix").pw_uid, 0)
    return [
        (layout.postfix, _ROOT, 0o755),
        (layout.dovecot, _ROOT, 0o755),
        (layout.spool, _ROOT, 0o755),
        (os.path.dirname(layout.postfix_data), _ROOT, 0o755),
        (layout.postfix_data, postfix, 0o700),
        (layout.dovecot_data, _ROOT, 0o755),
        (layout.run, _ROOT, 0o755),
        (layout.tls, _ROOT, 0o755),
    ]


def _make(settings: Settings, layout: Layout, folders: Sequence[_Folder]) -> None:
    owners.hand_over_database(layout)
    for path, owner, mode in folders:
        # One without anything in it is as a container engine has made it, for nobody.
        fresh = not os.path.isdir(path) or (path == settings.mail and _is_empty(path))
        os.makedirs(path, exist_ok=True)
        if fresh or path.startswith(layout.state):
            os.chown(path, *owner)
            os.chmod(path, mode)
    os.makedirs(settings.config, exist_ok=True)
    _passable(layout.state)
    _passable(settings.mail)


def _is_empty(folder: str) -> bool:
    """Whether there is nothing in a folder but what ext4 puts into the root of a new volume."""
    with os.scandir(folder) as entries:
        return all(entry.name == "lost+found" for entry in entries)


def _postfix_log(path: str, uid: int) -> None:
    """Postfix's log belongs to Postfix's user: before postlogd runs, postsuper tells there which
    queue files it has renamed, as after a copy or a restore, and a start fails if it can't."""
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        return
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        os.fchown(fd, uid, -1)
    finally:
        os.close(fd)


def _passable(path: str) -> None:
    """Raises Refused if the servers' users can't get to a folder."""
    while (path := os.path.dirname(path)) != "/":
        if not os.stat(path).st_mode & 0o001:
            raise Refused(
                f"{path} is closed to other users, and so to Postfix and Dovecot; "
                f"use a --home elsewhere, or: chmod o+x {path}"
            )


def _certificate(settings: Settings, layout: Layout) -> None:
    """A self-signed certificate, once; a key that is given must be there."""
    certificate, key = layout.certificate(settings)
    if settings.tls_certificate:
        for path in (certificate, key):
            if not os.path.isfile(path):
                raise Refused(f"there is no TLS file {path}")
        return
    if os.path.exists(certificate) and os.path.exists(key):
        return
    if program("openssl") is None:
        raise Refused("openssl is missing, which makes the first TLS certificate")
    names = f"subjectAltName=DNS:{settings.hostname},DNS:localhost,IP:127.0.0.1"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"]
    argv += ["-subj", f"/CN={settings.hostname}"[:67], "-addext", names]
    old_umask = os.umask(0o077)
    try:
        code, _, err = run([*argv, "-keyout", key, "-out", certificate])
    finally:
        os.umask(old_umask)
    if code:
        raise Refused(f"openssl made no certificate: {err.strip().splitlines()[-1:]}")
    os.chmod(certificate, 0o644)
