"""Keeps the files of OpenDKIM in step with the keys of the config folder.

OpenDKIM signs if there is a key, and the setting is on. Then the state folder has an opendkim.conf,
two tables, and a copy of each key that signs; only OpenDKIM's user can read a copy. So a key may
stay 0600 in a folder that OpenDKIM can't enter, and a damaged key file does not stop the signing.

OpenDKIM reads its files again on SIGUSR1, for the next message. Copies that are no longer used stay
for a minute, for messages that are under way.
"""

import os
import pwd
import signal
import time
from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base.findings import (
    ERROR,
    WARNING,
    Finding,
    Location,
    Refused,
    ServerError,
    printable,
)
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.servers import dkim_keys, running
from mailroster.servers.config import dkim
from mailroster.servers.config.dkim import Key
from mailroster.system import processes
from mailroster.system.files import ABSENT, Disk, identity, make_folder, read
from mailroster.system.folder_lock import FolderLock
from mailroster.system.programs import run
from mailroster.system.stability import Settling

PROGRAM, PACKAGE, USER, GROUP = "/usr/sbin/opendkim", "opendkim", running.SIGNER_USER, "postfix"
#: How long the copy of a key stays that no longer signs.
_KEPT_S = 60.0
CODE = "bad-dkim-key"


class Outcome(NamedTuple):
    """The result of a reconciliation. `signs`: the names of the records of the keys that sign."""

    changed: bool
    signs: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


def is_active(layout: Layout) -> bool:
    """Whether OpenDKIM is set up, and Postfix needs its signatures."""
    return os.path.exists(layout.signer_conf)


def is_installed() -> bool:
    return os.path.exists(PROGRAM) and bool(processes.uids(USER))


def check_installed(settings: Settings) -> None:
    """Raises Refused if there are keys, and no OpenDKIM to use them."""
    if settings.enable_opendkim and not is_installed() and dkim_keys.has_keys(settings):
        raise Refused(
            "there are DKIM keys, but OpenDKIM is not installed, so mail would leave without a "
            f"signature; install it (apt-get install {PACKAGE}), or set ENABLE_OPENDKIM=0"
        )


def argv(layout: Layout) -> tuple[str, ...]:
    """The command that starts OpenDKIM in the background."""
    return (PROGRAM, "-x", layout.signer_conf)


def reload(layout: Layout) -> None:
    """Makes a running OpenDKIM read its files again."""
    pid = running.signer_pid(layout)
    if pid is not None:
        processes.send(pid, signal.SIGUSR1, lambda pid: running.is_signer(pid, layout))


class Signer:
    """The files of the OpenDKIM of one instance. An object that is reused looks only at changes."""

    def __init__(
        self,
        settings: Settings,
        layout: Layout,
        *,
        observer: bool = False,
    ) -> None:
        """`observer`: see Settling."""
        self._settings, self._layout = settings, layout
        self._folders = dkim_keys.folders(settings)
        self._settling = Settling(settings.settle_seconds, observer=observer)
        self._seen: object = None
        self._outcome = Outcome(False, ())

    def begin(self, networks: Iterable[str]) -> bool:
        """Sets the files up before Postfix is configured, or removes them if nothing is to be
        signed. `networks`: those that may send without a login. Returns whether OpenDKIM signs.

        Raises TryAgain and OSError.
        """
        if not self._settings.enable_opendkim:
            self._remove()
            return False
        if not is_active(self._layout) and not (
            is_installed() and dkim_keys.has_keys(self._settings)
        ):
            return False
        outcome = self._locked(networks, accept=False)
        if not outcome.signs and self._has_accounts():
            self._remove()
        return is_active(self._layout)

    def reconcile(self, *, accept: bool = False) -> Outcome:
        """Puts the keys of the config folder in force, if OpenDKIM is set up, and makes it read
        them. `accept`: without a settle time for removed keys. Raises TryAgain and OSError."""
        seen = [dkim_keys.identities(folder) for folder in self._folders], self._state()
        if seen == self._seen and not accept:
            self._drop_stale()
            return self._outcome._replace(changed=False)
        outcome = self._locked(None, accept=accept)
        if outcome.changed:
            reload(self._layout)
        self._outcome = outcome
        waits = any(finding.code == "held-back" for finding in outcome.findings)
        self._seen = None if waits else (seen[0], self._state())
        return outcome

    def _state(self) -> list[object]:
        layout = self._layout
        files = (layout.signer_conf, layout.signer_key_table, layout.signer_signing_table)
        return [identity(path) for path in (*files, layout.signer_keys)]

    def _has_accounts(self) -> bool:
        """Whether the folder has an accounts file; if not, it may be an empty mount point."""
        return any(os.path.exists(each.path_of(ACCOUNTS.file)) for each in self._folders)

    def _locked(self, networks: Iterable[str] | None, *, accept: bool) -> Outcome:
        with FolderLock(self._layout.state):
            keys, findings = self._keys(accept)
            changed = self._write(keys, networks) if keys or is_active(self._layout) else False
        return Outcome(changed, tuple(key.name() for key in keys), tuple(findings))

    def _keys(self, accept: bool) -> tuple[list[Key], list[Finding]]:
        """The keys that sign, and the findings in their files."""
        live, findings, keys = self._live(), list[Finding](), dict[str, Key]()
        known = {key.digest for key in live.values()}
        for folder in self._folders:
            for file in dkim_keys.key_files(folder):
                name = dkim.record_name(file.domain, file.selector)
                if name in keys:
                    continue
                try:
                    keys[name] = dkim_keys.load(folder, file, known)
                except (dkim_keys.KeyFault, ServerError) as error:
                    findings.append(key_finding(file.file, error))
                    if name in live:
                        keys[name] = live[name]
        findings += self._hold(live, keys, accept)
        selectors = _merged([dkim_keys.preferred(folder) for folder in self._folders])
        rotations = _merged([dkim_keys.rotations(folder) for folder in self._folders])
        return dkim.chosen(keys.values(), selectors, rotations), findings

    def _hold(self, live: dict[str, Key], keys: dict[str, Key], accept: bool) -> list[Finding]:
        """Keeps keys in force whose files were removed only now: an editor or a copy may be at
        work, or the folder may be an empty mount point."""
        findings = []
        ctime_ns = identity(self._settings.config).ctime_ns
        for name in live.keys() - keys.keys():
            self._settling.look(name, ABSENT)
            if accept or (self._has_accounts() and self._settling.settled(name, ctime_ns)):
                continue
            keys[name] = live[name]
            message = f"the key {name} still signs, though its file was removed"
            where = Location(f"{dkim.OPENDKIM_KEYS}/{live[name].domain}")
            findings.append(Finding(where, WARNING, "held-back", message, "wait a moment"))
        return findings

    def _live(self) -> dict[str, Key]:
        """The keys in the present KeyTable whose copies exist, by the names of their records."""
        result = {}
        for line in _text(self._layout.signer_key_table).split("\n"):
            name, _, value = line.partition(" ")
            domain, _, rest = value.partition(":")
            selector, _, path = rest.partition(":")
            digest = os.path.basename(path)
            if path and os.path.exists(path):
                kind = digest.partition("-")[0]
                result[name] = Key(domain, selector, "", kind, b"", digest)
        return result

    def _write(self, keys: list[Key], networks: Iterable[str] | None) -> bool:
        """Writes the files; returns whether one that OpenDKIM reads has changed."""
        layout = self._layout
        user = pwd.getpwnam(USER)
        group = pwd.getpwnam(GROUP).pw_gid
        self._make_folders(user.pw_uid, group)
        for key in keys:
            self._copy(key, user.pw_uid, user.pw_gid)
        files = {
            layout.signer_key_table: dkim.key_table(keys, layout),
            layout.signer_signing_table: dkim.signing_table(keys, self._settings.hostname),
        }
        if networks is not None or not is_active(layout):
            files[layout.signer_conf] = dkim.opendkim_conf(
                layout, USER, GROUP, sorted(networks or ())
            )
        changed = False
        for path, text in files.items():
            if read(path) != text.encode() or not os.path.exists(path):
                Disk().replace(path, text.encode(), mode=0o640, group=group)
                changed = True
        return changed

    def _make_folders(self, uid: int, gid: int) -> None:
        layout = self._layout
        sockets = os.path.dirname(layout.signer)
        for path, owner, mode in (
            (layout.signer_folder, (0, gid), 0o710),
            (layout.signer_keys, (0, gid), 0o710),
            (sockets, (uid, gid), 0o750),
        ):
            if not os.path.isdir(path):
                make_folder(path)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fchown(fd, *owner)
                os.fchmod(fd, mode)
            finally:
                os.close(fd)

    def _copy(self, key: Key, uid: int, gid: int) -> None:
        """Writes the copy of a key. An existing one has its content already, and gets its owner:
        another image may number the users in a different way."""
        path = os.path.join(self._layout.signer_keys, key.digest)
        if not os.path.exists(path) and key.pem:
            Disk().replace(path, key.pem, mode=0o400)
        os.chown(path, uid, gid, follow_symlinks=False)

    def _drop_stale(self) -> None:
        """Removes the copies that have not signed for a while."""
        table = self._layout.signer_key_table
        age_s = time.time() - identity(table).mtime_ns / 1e9
        if identity(table) == ABSENT or 0 <= age_s < _KEPT_S:
            return
        used = {key.digest for key in self._live().values()}
        for name in os.listdir(self._layout.signer_keys):
            if name not in used:
                Disk().remove(os.path.join(self._layout.signer_keys, name))
                self._seen = None

    def _remove(self) -> None:
        """Removes the files: nothing is signed."""
        layout = self._layout
        paths = [layout.signer_conf, layout.signer_key_table, layout.signer_signing_table]
        if os.path.isdir(layout.signer_keys):
            paths += (entry.path for entry in os.scandir(layout.signer_keys))
        for path in paths:
            if os.path.lexists(path):
                Disk().remove(path)


def _merged(parts: list[dict]) -> dict:  # type: ignore[type-arg]
    """The entries of the config folder, and those of its source that it does not have."""
    return {name: value for part in reversed(parts) for name, value in part.items()}


def _text(path: str) -> str:
    return read(path).decode("ascii", "replace")


def key_finding(file: str, error: Exception) -> Finding:
    message = f"the DKIM key can't be used: {printable(str(error))}"
    hint = "replace it by a private key in PEM format, or remove the file"
    return Finding(Location(file), ERROR, CODE, message, hint)


def networks_of_host(layout: Layout) -> list[str]:
    """The networks that a host's own Postfix lets send without a login."""
    code, out, _ = run(["postconf", "-c", layout.postfix, "-xh", "mynetworks"])
    return [] if code else dkim.networks(out)
