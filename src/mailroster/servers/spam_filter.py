"""Keeps the files of Rspamd in step with the config folder, and those of Dovecot for spam.

Rspamd runs as its own user from the start, since the overrides of the config folder may contain
programs (Lua) and may include any file. They are not used if the config folder is not trusted.

Changed overrides are put in force once Rspamd accepts them; until then the previous ones stay.
"""

import os
import pwd
import re
import signal
import tempfile
import time
from collections.abc import Mapping
from typing import NamedTuple

from mailroster.base.findings import (
    ERROR,
    INFO,
    Finding,
    Location,
    Refused,
    ServerError,
    printable,
    unreadable,
)
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers import running
from mailroster.servers.config import rspamd, spam_sieve
from mailroster.servers.live_scripts import OLDER_S
from mailroster.servers.sievec import binary, compile_scripts
from mailroster.store.links import ConfigFolder
from mailroster.system import log_file, processes
from mailroster.system.closed_folders import Folder, make_closed
from mailroster.system.files import Disk, Identity, identity, make_folder, read, reason
from mailroster.system.folder_lock import FolderLock
from mailroster.system.programs import run

PROGRAM, CHECKER, PACKAGE = "/usr/bin/rspamd", "/usr/bin/rspamadm", "rspamd"
USER, GROUP = running.FILTER_USER, "postfix"
#: The longest override file.
_MAX_BYTES = 1 << 20
#: The time for an answer to a question whether it works.
ANSWER_S = 5.0
#: The time for Rspamd to check its configuration, which takes a second.
_CHECK_S = 30.0
#: The first packet to a milter: its length, the command, version 6, all actions and all steps.
_NEGOTIATE = bytes.fromhex("0000000d 4f 00000006 000001ff 001fffff")


class Outcome(NamedTuple):
    """The result of a reconciliation. `changed`: the configuration of Rspamd has changed."""

    changed: bool
    findings: tuple[Finding, ...] = ()


class _Scan(NamedTuple):
    """The overrides of the config folder: the files of `override.d`, and the findings in them."""

    files: dict[str, str]
    findings: list[Finding]


def is_installed() -> bool:
    return os.path.exists(PROGRAM) and bool(processes.uids(USER))


def check_installed(settings: Settings) -> None:
    """Raises Refused if the setting is on, and there is no Rspamd."""
    if settings.enable_rspamd and not is_installed():
        raise Refused(
            "enable_rspamd needs Debian's Rspamd, which is not installed; install it (apt-get "
            f"install --no-install-recommends {PACKAGE}; for an image: build it with --build-arg "
            "RSPAMD=1), or set ENABLE_RSPAMD=0"
        )


def log_path(settings: Settings) -> str:
    return os.path.join(settings.logs, "rspamd.log")


def argv(settings: Settings, layout: Layout) -> tuple[str, ...]:
    """The command that starts Rspamd in the background, in its folder and as its user."""
    paths = _paths(settings, layout, layout.filter_config)
    return ("env", "-C", layout.filter_data, *_AS_USER, PROGRAM, *paths)


_AS_USER = (
    "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs",
)  # fmt: skip


def _paths(settings: Settings, layout: Layout, config: str) -> tuple[str, ...]:
    """The options with the paths of our Rspamd (rspamd(8), --var)."""
    paths = {
        "LOCAL_CONFDIR": config,
        "DBDIR": layout.filter_data,
        "RUNDIR": layout.filter_data,
        "LOGDIR": settings.logs,
    }
    return tuple(f"--var={name}={path}" for name, path in paths.items())


def reload(layout: Layout) -> None:
    """Makes a running Rspamd read its configuration again. Its sockets stay open."""
    pid = running.filter_pid(layout)
    if pid is not None:
        processes.send(pid, signal.SIGHUP, lambda pid: running.is_filter(pid, layout))


def answers(layout: Layout) -> bool:
    """Whether Rspamd answers as a milter (the protocol of libmilter, SMFIC_OPTNEG)."""
    import socket  # 3 ms: only for the daemons

    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_S)
        try:
            client.connect(layout.filter_socket)
            client.sendall(_NEGOTIATE)
            return client.recv(5)[4:] == b"O"
        except OSError:
            return False


class SpamFilter:
    """The files of the Rspamd of one instance. An object that is reused looks only at changes."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        self._settings, self._layout = settings, layout
        linked = settings.linked()
        paths = filter(None, (settings.config, settings.source))
        self._folders = [ConfigFolder(path, linked) for path in paths]
        self._seen: object = None
        self._findings: tuple[Finding, ...] = ()

    def begin(self) -> None:
        """Creates the folders and files before Rspamd and Dovecot start, or removes them if the
        setting is off. Raises OSError and ServerError."""
        layout = self._layout
        if not self._settings.enable_rspamd:
            import shutil

            for folder in (layout.filter_config, layout.spam_sieve):
                if os.path.isdir(folder):
                    shutil.rmtree(folder)
            return
        with FolderLock(layout.state):
            self._make_folders()
            if not log_file.is_elsewhere(log_path(self._settings)):
                os.close(log_file.opened(log_path(self._settings), _user().pw_uid))
            self._write_local()
            if not os.path.isdir(layout.filter_overrides):
                self._write_folder(layout.filter_overrides, rspamd.override_files(layout, {}))
        self.reconcile()

    def reconcile(self) -> Outcome:
        """Puts the overrides of the config folder in force if they have changed, and Rspamd accepts
        them. Raises TryAgain and OSError."""
        seen = self._identities()
        if seen == self._seen:
            return Outcome(False, self._findings)
        scan = self._scan()
        files = rspamd.override_files(self._layout, scan.files)
        findings, is_new = scan.findings, not self._is_live(files)
        if is_new and (fault := self._fault(files)):
            where, hint = _place(fault), "correct the file; the previous ones stay"
            findings = [*findings, Finding(where, ERROR, "bad-rspamd-override", fault, hint)]
            is_new = False
        with FolderLock(self._layout.state):
            self._make_folders()
            changed = self._write_local() or is_new
            if is_new:
                self._write_folder(self._layout.filter_overrides, files)
            self._write_sieve()
            self.compile(self._layout.dovecot_conf, missing=True)
        self._findings = tuple(findings)
        self._seen = self._identities() if seen[0] == self._identities()[0] else None
        return Outcome(changed, self._findings)

    def check(self) -> list[Finding]:
        """The findings in the overrides of the config folder, without a change. Only root can run
        Rspamd's own check."""
        scan = self._scan()
        findings = list(scan.findings)
        can_ask = os.geteuid() == 0 and is_installed()
        if can_ask and (fault := self._fault(rspamd.override_files(self._layout, scan.files))):
            where, hint = _place(fault), "correct the file"
            findings.append(Finding(where, ERROR, "bad-rspamd-override", fault, hint))
        return findings

    def _identities(self) -> tuple[list[tuple[str, Identity]], list[tuple[str, Identity]]]:
        """The files of the config folder, and the copies, as they are now."""
        own = []
        if self._settings.trust_config:
            for folder in self._folders:
                names = (rspamd.COMMANDS, *self._names(folder))
                own += [(path, identity(path)) for path in map(folder.path_of, names)]
        config, sieve = self._layout.filter_config, self._layout.spam_sieve
        folders = (f"{config}/local.d", f"{config}/override.d", sieve, self._layout.spam_programs)
        copies = [(path, identity(path)) for folder in folders for path in _below(folder)]
        return own, copies

    def _names(self, folder: ConfigFolder) -> list[str]:
        """The files of `override.d` in a config folder."""
        names = (os.path.basename(path) for path in _below(folder.path_of(rspamd.OVERRIDES)))
        return [f"{rspamd.OVERRIDES}/{name}" for name in names if rspamd.is_override(name)]

    def _scan(self) -> _Scan:
        """Reads the overrides. Those of the config folder precede those of its source."""
        files: dict[str, str] = {}
        commands, findings = "", list[Finding]()
        if not self._settings.trust_config:
            return _Scan({}, [])
        for folder in self._folders:
            for file in self._names(folder):
                name = os.path.basename(file)
                try:
                    if name not in files and not os.path.isdir(folder.path_of(file)):
                        files[name] = _text(folder, file)
                except OSError as error:
                    findings.append(unreadable(file, reason(error)))
            try:
                commands = commands or _text(folder, rspamd.COMMANDS)
            except OSError as error:
                findings.append(unreadable(rspamd.COMMANDS, reason(error)))
        files, faults = rspamd.with_commands(files, commands)
        return _Scan(files, [*findings, *faults])

    def _is_live(self, files: Mapping[str, str]) -> bool:
        folder = self._layout.filter_overrides
        names = {os.path.basename(path) for path in _below(folder)}
        return names == files.keys() and all(
            read(os.path.join(folder, name)) == _raw(text) for name, text in files.items()
        )

    def _fault(self, files: Mapping[str, str]) -> str:
        """The first error that Rspamd reports about a configuration with these overrides; "" for
        none."""
        with tempfile.TemporaryDirectory(prefix="mailroster-") as folder:
            group = _user().pw_gid
            os.chown(folder, 0, group)
            os.chmod(folder, 0o710)
            local = rspamd.local_files(self._settings)
            for name, texts in (("local.d", local), ("override.d", files)):
                self._write_folder(os.path.join(folder, name), texts)
            paths = _paths(self._settings, self._layout, folder)
            try:
                argv = [*_AS_USER, CHECKER, *paths, "configtest"]
                code, out, err = run(argv, timeout_s=_CHECK_S)
            except ServerError as error:
                return f"Rspamd can't check them: {error}"
            if not code:
                return ""
            lines = [line for line in err.split("\n") if "error" in line or "failed" in line]
            line = (lines or [*filter(None, (err or out).split("\n")), ""])[0]
            line = line.replace(f"{folder}/override.d", rspamd.OVERRIDES)
            return f"Rspamd says: {printable(line.replace(folder, 'rspamd').strip(' ;'))}"

    def _make_folders(self) -> None:
        layout, user = self._layout, _user()
        postfix, mail = pwd.getpwnam(GROUP).pw_gid, self._settings.vmail_gid
        make_closed(
            (
                Folder(layout.filter_folder, 0o711, 0, 0),
                Folder(layout.filter_config, 0o750, 0, user.pw_gid),
                Folder(layout.filter_data, 0o700, user.pw_uid, user.pw_gid),
                Folder(os.path.dirname(layout.filter_socket), 0o2710, user.pw_uid, postfix),
                Folder(os.path.dirname(layout.filter_control), 0o710, user.pw_uid, mail),
                Folder(layout.spam_sieve, 0o2750, 0, mail),
                Folder(layout.spam_programs, 0o2750, 0, mail),
            )
        )

    def _write_local(self) -> bool:
        folder, files = f"{self._layout.filter_config}/local.d", rspamd.local_files(self._settings)
        names = {os.path.basename(path) for path in _below(folder)}
        if names == files.keys() and all(
            read(os.path.join(folder, name)) == _raw(text) for name, text in files.items()
        ):
            return False
        self._write_folder(folder, files)
        return True

    def _write_folder(self, folder: str, files: Mapping[str, str]) -> None:
        """Writes the files of a folder that Rspamd reads, and removes all others."""
        group = _user().pw_gid
        make_folder(folder)
        os.chown(folder, 0, group)
        os.chmod(folder, 0o750)
        for name, text in files.items():
            Disk().replace(os.path.join(folder, name), _raw(text), mode=0o640, group=group)
        for path in _below(folder):
            if os.path.basename(path) not in files:
                Disk().remove(path)

    def _write_sieve(self) -> None:
        layout, group = self._layout, self._settings.vmail_gid
        scripts = spam_sieve.scripts(self._settings)
        mtime_s = int(time.time()) - OLDER_S
        for name, text in scripts.items():
            path = os.path.join(layout.spam_sieve, f"{name}.sieve")
            if read(path) != text.encode():
                if os.path.exists(binary(path)):
                    Disk().remove(binary(path))
                Disk().replace(path, text.encode(), 0o640, group=group, mtime_s=mtime_s)
        path = os.path.join(layout.spam_programs, spam_sieve.PROGRAM)
        program = spam_sieve.program(layout).encode()
        if spam_sieve.is_learning(self._settings) and read(path) != program:
            Disk().replace(path, program, 0o750, group=group)

    def compile(self, dovecot_conf: str, *, missing: bool = False) -> None:
        """Compiles the Sieve scripts, with the configuration of Dovecot. `missing`: only those
        without a binary."""
        folder = self._layout.spam_sieve
        paths = [f"{folder}/{name}.sieve" for name in spam_sieve.scripts(self._settings)]
        if missing:
            paths = [path for path in paths if not os.path.exists(binary(path))]
        if paths:
            compile_scripts(paths, dovecot_conf)


def without_redis(settings: Settings) -> list[Finding]:
    """The finding that Rspamd works without a Redis."""
    if not settings.enable_rspamd or settings.rspamd_redis:
        return []
    message = "Rspamd has no Redis, so it learns nothing (Bayes) and delays nothing (greylisting)"
    hint = "set rspamd_redis to a Redis server, as 127.0.0.1:6379"
    return [Finding(Location("rspamd_redis"), INFO, "no-redis", message, hint)]


def _place(fault: str) -> Location:
    """The file and the line that a message of Rspamd names; the folder if it names none."""
    match = re.search(rf"({rspamd.OVERRIDES}/[A-Za-z0-9_.-]+):([0-9]{{1,9}})", fault)
    return Location(match[1], int(match[2])) if match else Location(rspamd.OVERRIDES)


def _user() -> pwd.struct_passwd:
    return pwd.getpwnam(USER)


def _text(folder: ConfigFolder, file: str) -> str:
    return folder.look(file, _MAX_BYTES)[0].decode("utf-8", "surrogateescape")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _below(folder: str) -> list[str]:
    """The paths in a folder, sorted; none if it can't be read."""
    try:
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    except OSError:
        return []
