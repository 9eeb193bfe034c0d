"""Makes the folders and files of an instance, with the owners and modes that the servers want."""

import grp
import os
import pwd
import socket
import stat
import time
from collections.abc import Callable, Sequence

from mailroster.base.address import split
from mailroster.base.findings import Refused, printable
from mailroster.base.layout import Layout
from mailroster.base.setting_rules import PORTS, path_fault
from mailroster.base.settings import NOWHERE, Settings, name_warning, relay_warning
from mailroster.roster.documents.text import only_comments
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.servers import (
    certificates,
    in_force,
    mail_owner,
    ownership,
    quota_warning,
    running,
    system_links,
    version,
)
from mailroster.servers.config import overrides, postfix, sieve_mail
from mailroster.servers.config.dovecot.versions import dialect
from mailroster.servers.listening import listening
from mailroster.servers.overrides import take
from mailroster.store.links import ConfigFolder
from mailroster.system import beneath, log_file
from mailroster.system.files import Disk, make_folder, mode_for_all, read
from mailroster.system.programs import HOT_MAIN_CF_S, program, run

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
    "perl-base": sieve_mail.PERL,
}


#: Those that tables are for, whoever starts the servers.
_OF_TABLES = (
    "postfix", "postfix-lmdb", "postfix-pcre", "dovecot-core", "dovecot-lmtpd", "dovecot-sieve",
    "dovecot-sqlite", "perl-base",
)  # fmt: skip


def missing_packages() -> list[str]:
    """The Debian packages that an instance lacks."""
    return [package for package, path in PACKAGES.items() if not os.path.exists(path)]


def check_host(settings: Settings, layout: Layout) -> None:
    """Raises Refused for what a person has to fix before there can be tables for the servers of a
    host. Changes nothing."""
    if os.geteuid() != 0:
        raise Refused("only root can write the tables: run it as root (sudo)")
    if missing := [name for name in missing_packages() if name in _OF_TABLES]:
        raise Refused(f"these Debian packages are missing: {' '.join(missing)}")
    check_paths(settings, layout)
    _check_delimiters(settings, layout)
    if layout.kind != "host" or os.path.exists(f"{layout.state}/postfix/main.cf"):
        hint = "name another home, or another state folder"
        raise Refused(f"{layout.state} is of 'mailroster up', which has servers of its own; {hint}")


def prepare_host(settings: Settings, layout: Layout) -> None:
    """Makes everything that is missing beside the servers of a host, and notes that it is for them.

    Raises Refused for a folder that a person has to fix.
    """
    _make(settings, layout, _of_tables(settings, layout))
    _note_trust(settings, layout)
    _quota_warning(settings, layout)
    _sieve_mail(settings, layout)
    Disk().replace(layout.note, f"{layout.kind}\n".encode(), mode=0o644)


def check(settings: Settings, layout: Layout, *, adopt: bool = False) -> None:
    """Raises Refused for what a person has to fix before an instance can be. Changes nothing.

    `adopt`: the servers' own places may be taken from whoever has them.
    """
    if layout.kind == "host":
        hint = "run 'mailroster watch', or name another --home"
        raise Refused(
            f"the tables in {layout.state} are for this host's own Postfix and Dovecot; {hint}"
        )
    if os.geteuid() != 0:
        raise Refused("Postfix can only be started by root: run it as root (sudo)")
    if missing := missing_packages():
        raise Refused(f"these Debian packages are missing: {' '.join(missing)}")
    package, file = dialect(version.version()).SEARCH_PACKAGE
    if settings.full_text_search and not os.path.exists(file):
        remedy = f"install it (apt-get install {package}), or switch the setting off"
        raise Refused(f"full_text_search needs the Debian package {package}; {remedy}")
    check_paths(settings, layout)
    _check_delimiters(settings, layout)
    if certificates.is_named(settings):
        certificates.check(settings, layout)
    _check_addresses(settings)
    if settings.proxied() - set(PORTS[:3]) and not settings.trusted_proxies:
        hint = "set trusted_proxies to the addresses of the load balancers"
        raise Refused(f"Dovecot would close every connection behind proxy_protocol; {hint}")
    system_links.check(layout.links, adopt)
    if layout.links and (strangers := running.strangers()):
        others = ", ".join(f"{name} (process {pid})" for name, pid in strangers.items())
        hint = "stop it for good first: systemctl disable --now postfix dovecot"
        raise Refused(f"another mail server runs here: {others}; {hint}")


def _check_addresses(settings: Settings) -> None:
    """Raises Refused for an address to listen on that the machine does not have."""
    for address in () if settings.is_everywhere() else settings.near():
        try:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
                probe.bind((address, 0))
        except OSError:
            hint = "correct it, or give the machine that address first"
            raise Refused(f"listen: {address} is no address of this machine; {hint}") from None


def check_paths(settings: Settings, layout: Layout) -> None:
    """Raises Refused for folders that the servers can't have, or can't get to."""
    for name in ("mail", "state", "logs"):
        path = getattr(settings, name)
        if path.startswith(NOWHERE):
            raise Refused(
                f"the folder for {name} can't be in {os.getcwd()}, where other users could make "
                f"it; name it with --{name} PATH or --home PATH"
            )
        if wrong := path_fault(path):
            raise Refused(f"{path!r} is {wrong}")
    if room := layout.socket_room():
        raise Refused(f"the path {layout.state} is {room} octets too long for sockets; use another")
    for path in (settings.mail, layout.state):
        if os.path.isdir(path):
            _passable(path)


def _check_delimiters(settings: Settings, layout: Layout) -> None:
    """Raises Refused for another `recipient_delimiter` than the tables are made for, if accounts
    have it in their names: their mail would go to other accounts. An account that is added later is
    no reason not to start: it is skipped, as any line with an error."""
    chars = settings.recipient_delimiter
    noted = read(layout.delimiters).decode("ascii", "replace").strip()
    if chars in ("", "+") or noted == chars:
        return
    file = ConfigFolder(settings.config, settings.linked()).read(ACCOUNTS.file)
    lines = file.decode("utf-8", "replace").split("\n")
    keys = [ACCOUNTS.key(line) for line in lines if not only_comments(line)]
    clashing = [key for key in keys if not {*chars}.isdisjoint(split(key)[0])]
    if clashing:
        more = f" and {len(clashing) - 3} more" if len(clashing) > 3 else ""
        names = printable(", ".join(clashing[:3])) + more
        raise Refused(
            f"recipient_delimiter: {chars!r} is in the names of accounts ({names}), so their mail "
            "would go to other accounts; rename these accounts, or set other characters"
        )


def prepare(
    settings: Settings, layout: Layout, tell: Callable[[str], object] = lambda text: None
) -> bool:
    """Makes everything that is missing; whether a file that the servers read at start changed.

    `tell` is told what is wrong with the folder's own settings for the servers, and whose an
    existing mail folder is if it is not the mail's: nothing of it is changed.

    Raises Refused for a folder or a certificate that a person has to fix.
    """
    its = dialect(version.version())
    ownership.hand_over_queue(layout)
    _make(settings, layout, [*_of_tables(settings, layout), *_of_servers(layout)])
    _note_trust(settings, layout)
    _postfix_log(f"{settings.logs}/mail.log", pwd.getpwnam("postfix").pw_uid)
    if os.path.exists(layout.note):  # somebody has said otherwise
        Disk().remove(layout.note)
    for found in mail_owner.foreign(settings.mail, settings.vmail_uid, settings.vmail_gid):
        tell(str(found))
    system_links.claim(layout.links, tell)
    _certificate(settings, layout)
    warnings = [name_warning(settings.hostname), relay_warning(settings.relayhost)]
    for warning in filter(None, [*warnings, *certificates.warnings(settings, layout)]):
        tell(warning)
    asked, settings = settings, settings._replace(listen=_listening(settings.listen))
    before = read(f"{layout.overrides}/dovecot.cf")
    taken = take(settings, layout)
    for finding in taken.findings:
        tell(str(finding))
    names = postfix.listeners(settings)
    main = overrides.main_cf(postfix.main_cf(settings, layout), taken.overrides.main)
    master = overrides.master_cf(postfix.master_cf(settings), taken.overrides.master, names)
    files = {f"{layout.postfix}/main.cf": main, f"{layout.postfix}/master.cf": master}
    limit = overrides.message_size_limit(taken.overrides.main, settings.message_size_limit)
    for name, text in its.files(settings._replace(message_size_limit=limit), layout).items():
        files[os.path.join(layout.dovecot, name)] = text
    _quota_warning(settings, layout)
    _sieve_mail(settings, layout)
    if layout.kind == "system" and not _is_open(settings, layout, taken.overrides.main):
        tell(
            f"warning: {overrides.MAIN} is closed to other users, so main.cf is closed too, and "
            f"their sendmail and mailq fail; if it has no secret in it: chmod o+r {overrides.MAIN}"
        )
    changed = before != read(f"{layout.overrides}/dovecot.cf")
    for path, text in files.items():
        raw = text.encode("utf-8", "surrogateescape")
        group, mode = 0, 0o600
        if path == f"{layout.postfix}/main.cf":
            group, mode = _main_cf_access(settings, layout, taken.overrides.main)
        if read(path) != raw:
            mtime_s = int(time.time()) - HOT_MAIN_CF_S
            Disk().replace(path, raw, mode, group=group, mtime_s=mtime_s)
            changed = True
        else:  # which may be as an earlier version has made it
            os.chown(path, 0, group)
            os.chmod(path, mode)
    in_force.write(asked, layout, listening(asked, layout, taken.overrides))
    return changed


def _is_open(settings: Settings, layout: Layout, override: str) -> bool:
    """Whether every user of the machine may read main.cf: only where it is the machine's own, which
    sendmail(1) and mailq(1) of every user read, and no override that is closed stands in it."""
    source = os.path.join(settings.config, overrides.MAIN)
    return layout.kind == "system" and (not override or mode_for_all(source) is not None)


def _main_cf_access(settings: Settings, layout: Layout, override: str) -> tuple[int, int]:
    """The group and the mode of main.cf. All of Postfix that reads it begins as root."""
    return 0, 0o644 if _is_open(settings, layout, override) else 0o600


def remove_sockets(layout: Layout) -> None:
    """Takes away what a Dovecot with other settings has left: it would be asked, and not answer."""
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
    not_enforced = dialect(version.version()).NOT_ENFORCED
    config = ConfigFolder(settings.config, settings.linked())
    script = quota_warning.script(config, layout.dovecot_conf, sender, not_enforced)
    Disk().replace(layout.quota_warning, script.encode(), mode=0o700)


def _sieve_mail(settings: Settings, layout: Layout) -> None:
    """The programs by which mail of Sieve scripts leaves: that of the mail's user, and root's."""
    Disk().replace(layout.sieve_sendmail, sieve_mail.SENDMAIL.encode(), mode=0o644)
    options = dialect(version.version()).no_sieve(settings, layout)
    for path, script in (
        (layout.sieve_smtpd, sieve_mail.smtpd_script(settings, layout)),
        (layout.sieve_keep, sieve_mail.keep_script(layout, options)),
    ):
        Disk().replace(path, script.encode(), mode=0o700)


#: Folders below Dovecot's base_dir that hold sockets.
_SOCKET_DEPTH = 3
#: A folder, its owner and group, and its mode.
_Folder = tuple[str, tuple[int, int], int]
_ROOT = (0, 0)


def _of_tables(settings: Settings, layout: Layout) -> list[_Folder]:
    dovecot = (0, grp.getgrnam("dovecot").gr_gid)
    postfix = (0, grp.getgrnam("postfix").gr_gid)
    mail = (settings.vmail_uid, settings.vmail_gid)
    scripts = (0, settings.vmail_gid)
    return [
        # The servers' users pass through it, each to the folders that are open to that user.
        (layout.state, _ROOT, 0o711),
        (layout.locks, _ROOT, 0o700),
        (layout.tables, postfix, 0o2750),
        (layout.postmap, postfix, 0o2750),
        # Sticky: Dovecot makes logs of its database there, and replaces no file of root's.
        (layout.sql, dovecot, 0o3770),
        (layout.sieve, scripts, 0o2750),
        (layout.sieve_accounts, scripts, 0o2750),
        (layout.warning, scripts, 0o710),
        (layout.sieve_mail, scripts, 0o710),
        # Postfix's own user writes there at a start; its readers are those of /var/log.
        (settings.logs, (0, log_file.readers()), 0o751),
        (settings.mail, mail, 0o770),
    ]


def _of_servers(layout: Layout) -> list[_Folder]:
    """The folders of servers that are ours."""
    user = pwd.getpwnam("postfix")
    # In the layout `system` sendmail(1) and postdrop(1) of every user work with this Postfix.
    is_machines = layout.kind == "system"
    spool = (_ROOT, 0o711) if is_machines else ((0, user.pw_gid), 0o750)
    return [
        (layout.postfix, _ROOT, 0o711 if is_machines else 0o700),
        (layout.dovecot, _ROOT, 0o700),
        (layout.spool, *spool),
        (os.path.dirname(layout.postfix_data), _ROOT, 0o711),
        (layout.postfix_data, (user.pw_uid, 0), 0o700),
        (layout.dovecot_data, _ROOT, 0o700),
        (layout.run, _ROOT, 0o755),  # which Dovecot insists on; each socket has a mode of its own
        (layout.tls, _ROOT, 0o711),
    ]


def _make(settings: Settings, layout: Layout, folders: Sequence[_Folder]) -> None:
    ownership.hand_over_database(layout)
    for path, owner, mode in folders:
        fresh = not os.path.isdir(path)
        make_folder(path)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # One without anything in it is as a container engine has made it, for nobody.
            fresh = fresh or (path == settings.mail and _is_empty(fd))
            if fresh or path.startswith(layout.state):
                os.fchown(fd, *owner)
                os.fchmod(fd, mode)
        finally:
            os.close(fd)
    make_folder(settings.config)
    _passable(layout.state)
    _passable(settings.mail)
    _tighten(settings, layout)


def _note_trust(settings: Settings, layout: Layout) -> None:
    """Notes for commands, which may lack our environment, that the config folder is not trusted."""
    there = os.path.lexists(layout.untrusted)
    if settings.trust_config and there:
        Disk().remove(layout.untrusted)
    if not settings.trust_config and not there:
        Disk().replace(layout.untrusted, b"trust_config is off\n", mode=0o644)


def _tighten(settings: Settings, layout: Layout) -> None:
    """Closes what an earlier version has left open to other users."""
    group = grp.getgrnam("postfix").gr_gid
    for entry in os.scandir(layout.tables):
        mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
        if entry.is_file(follow_symlinks=False) and mode != 0o600:
            os.chown(entry.path, 0, group)
            os.chmod(entry.path, 0o640)
    if os.path.exists(layout.old_policy_pid):  # by which one that still runs is stopped
        os.chmod(layout.old_policy_pid, 0o600)
    for folder in (layout.overrides, layout.served):
        if os.path.isdir(folder):
            os.chmod(folder, 0o700)
            for entry in os.scandir(folder):
                os.chmod(entry.path, 0o600)
    if os.path.isdir(settings.logs):
        log_file.tighten(settings.logs, ("mail.log", "dovecot.log", "policy.log"))
    _postmap(
        layout,
        f"""\
# Written by mailroster, for the user of Postfix.
compatibility_level = 3.6
meta_directory = /etc/postfix
smtputf8_enable = no
myhostname = {settings.hostname}
""",
    )


def _postmap(layout: Layout, main_cf: str) -> None:
    path, raw = f"{layout.postmap}/main.cf", main_cf.encode("utf-8", "surrogateescape")
    if read(path) != raw:
        Disk().replace(path, raw, 0o640, mtime_s=int(time.time()) - HOT_MAIN_CF_S)


def _is_empty(folder: int) -> bool:
    """Whether there is nothing in a folder but what ext4 puts into the root of a new volume."""
    with os.scandir(folder) as entries:
        return all(entry.name == "lost+found" for entry in entries)


def _postfix_log(path: str, uid: int) -> None:
    """Postfix's log belongs to Postfix's user: before postlogd runs, postsuper tells there which
    queue files it has renamed, as after a copy or a restore, and a start fails if it can't."""
    if not log_file.is_elsewhere(path):
        os.close(log_file.opened(path, uid))


def _passable(path: str) -> None:
    """Raises Refused if the servers' users can't get to a folder."""
    while (path := os.path.dirname(path)) != "/":
        if not os.stat(path).st_mode & 0o001:
            raise Refused(
                f"{path} is closed to other users, and so to Postfix and Dovecot; "
                f"use a --home elsewhere, or: chmod o+x {path}"
            )


def _certificate(settings: Settings, layout: Layout) -> None:
    """A self-signed certificate, where none is named and none is there that its key fits: a start
    may have ended between the two files. Raises Refused for a named one that can't be used."""
    if certificates.is_named(settings):
        certificates.check(settings, layout)
        return
    path, key = layout.certificate(settings)
    if os.path.exists(path) and os.path.exists(key) and certificates.is_usable(path, key):
        return
    if program("openssl") is None:
        raise Refused("openssl is missing, which makes the first TLS certificate")
    names = f"subjectAltName=DNS:{settings.hostname},DNS:localhost,IP:127.0.0.1"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"]
    argv += ["-subj", f"/CN={settings.hostname}"[:67], "-addext", names]
    old_umask = os.umask(0o077)
    try:
        code, _, err = run([*argv, "-keyout", key, "-out", path])
    finally:
        os.umask(old_umask)
    if code:
        raise Refused(f"openssl made no certificate: {err.strip().splitlines()[-1:]}")
    os.chmod(path, 0o644)
