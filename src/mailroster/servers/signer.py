"""Keeps the files of OpenDKIM in step with the keys of the config folder.

OpenDKIM signs if there is a key, and the setting is on. One process signs with one algorithm
(SignatureAlgorithm), so there is one for each kind of keys. Then the state folder has for each an
opendkim.conf and two tables, and a copy of each key that signs; only OpenDKIM's user can read it.
So a key may stay 0600 in a folder that OpenDKIM can't enter, and a damaged key file does not stop
the signing.

OpenDKIM reads its files again on SIGUSR1, for the next message. Copies that are no longer used stay
for a minute, for messages that are under way.
"""

import os
import pwd
import signal
import time
from collections.abc import Collection, Iterable
from typing import NamedTuple

from mailroster.analysis.dns.dkim_record import record_name
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
from mailroster.system.closed_folders import Folder, make_closed
from mailroster.system.files import ABSENT, Disk, identity, read
from mailroster.system.folder_lock import FolderLock
from mailroster.system.programs import run
from mailroster.system.stability import Settling

PROGRAM, PACKAGE, USER, GROUP = "/usr/sbin/opendkim", "opendkim", running.SIGNER_USER, "postfix"
#: How long the copy of a key stays that no longer signs.
_KEPT_S = 60.0


class Outcome(NamedTuple):
    """The result of a reconciliation. `changed`: the kinds of keys whose tables have changed;
    `signs`: the names of the records of the keys that sign; `new_kinds`: the kinds of keys for
    which no OpenDKIM is set up yet."""

    changed: tuple[str, ...]
    signs: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    new_kinds: tuple[str, ...] = ()


def active(layout: Layout) -> list[str]:
    """The kinds of keys for which an OpenDKIM is set up, and Postfix needs its signatures."""
    return [kind for kind in dkim.KINDS if os.path.exists(layout.signer(kind).conf)]


def planned(settings: Settings, layout: Layout) -> list[str]:
    """The kinds of keys with which OpenDKIM signs after the next preparation. Changes nothing."""
    if not settings.signs() or not is_installed():
        return []
    return Signer(settings, layout).kinds()


def is_installed() -> bool:
    return os.path.exists(PROGRAM) and bool(processes.uids(USER))


def check_installed(settings: Settings) -> None:
    """Raises Refused if there are keys, and no OpenDKIM to use them."""
    if settings.signs() and not is_installed() and dkim_keys.has_keys(settings):
        raise Refused(
            "there are DKIM keys, but OpenDKIM is not installed, so mail would leave without a "
            f"signature; install it (apt-get install {PACKAGE}), or set ENABLE_OPENDKIM=0"
        )


def process_name(kind: str) -> str:
    """The name of the OpenDKIM for one kind of keys, in logs and in `status`."""
    return "opendkim" if kind == dkim.RSA else f"opendkim-{kind}"


def expected(settings: Settings, layout: Layout) -> list[str]:
    """The kinds of keys for which an OpenDKIM has to run. If there are keys, but no OpenDKIM is
    installed, that is RSA, the usual kind."""
    if kinds := active(layout):
        return kinds
    lacks = settings.enable_opendkim and not is_installed() and dkim_keys.has_keys(settings)
    return [dkim.RSA] if lacks else []


def argv(layout: Layout, kind: str) -> tuple[str, ...]:
    """The command that starts an OpenDKIM in the background."""
    return (PROGRAM, "-x", layout.signer(kind).conf)


def reload(layout: Layout, kind: str) -> None:
    """Makes a running OpenDKIM read its files again."""
    pid = running.signer_pid(layout, kind)
    if pid is not None:
        processes.send(pid, signal.SIGUSR1, lambda pid: running.is_signer(pid, layout, kind))


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
        self._outcome = Outcome(())

    def begin(self, networks: Iterable[str]) -> list[str]:
        """Sets the files up before Postfix is configured, or removes them if nothing is to be
        signed. `networks`: those that may send without a login. Returns the kinds of keys that
        sign.

        Raises TryAgain and OSError.
        """
        if not self._settings.signs():
            self._remove(dkim.KINDS)
            return []
        if not active(self._layout) and not (is_installed() and dkim_keys.has_keys(self._settings)):
            return []
        with FolderLock(self._layout.state):
            keys, _ = self._keys(accept=False)
            kinds = {key.kind for key in keys}
            if self._has_accounts():
                self._remove({*dkim.KINDS} - kinds)
            self._write(keys, {*kinds, *active(self._layout)}, networks)
        return active(self._layout)

    def kinds(self) -> list[str]:
        """The kinds of the keys that sign, or will sign."""
        keys, _ = self._keys(accept=False)
        return [kind for kind in dkim.KINDS if any(key.kind == kind for key in keys)]

    def reconcile(self, *, accept: bool = False) -> Outcome:
        """Puts the keys of the config folder in force, if OpenDKIM is set up, and makes it read
        them. `accept`: without a settle time for removed keys. Raises TryAgain and OSError."""
        seen = [dkim_keys.identities(folder) for folder in self._folders], self._state()
        if seen == self._seen and not accept:
            self._drop_stale()
            return self._outcome._replace(changed=())
        with FolderLock(self._layout.state):
            keys, findings = self._keys(accept)
            kinds = active(self._layout)
            changed = tuple(self._write(keys, kinds, None)) if kinds else ()
        for kind in changed:
            reload(self._layout, kind)
        new = {key.kind for key in keys} - {*kinds}
        names = tuple(key.name() for key in keys)
        outcome = Outcome(changed, names, tuple(findings), tuple(sorted(new)))
        self._outcome = outcome
        waits = any(finding.code == "held-back" for finding in outcome.findings)
        self._seen = None if waits else (seen[0], self._state())
        return outcome

    def _state(self) -> list[object]:
        paths = [self._layout.signer_keys]
        for kind in dkim.KINDS:
            paths += self._layout.signer(kind)[:4]
        return [identity(path) for path in paths]

    def _has_accounts(self) -> bool:
        """Whether the folder has an accounts file; if not, it may be an empty mount point."""
        return any(os.path.exists(each.path_of(ACCOUNTS.file)) for each in self._folders)

    def _keys(self, accept: bool) -> tuple[list[Key], list[Finding]]:
        """The keys that sign, and the findings in their files."""
        live, findings, keys = self._live(), list[Finding](), dict[str, Key]()
        known = {key.digest for key in live.values()}
        for folder in self._folders:
            for file in dkim_keys.key_files(folder):
                name = record_name(file.domain, file.selector)
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
        """The keys in the present KeyTables whose copies exist, by the names of their records."""
        result = {}
        tables = (_text(self._layout.signer(kind).key_table) for kind in dkim.KINDS)
        for line in "\n".join(tables).split("\n"):
            name, _, value = line.partition(" ")
            domain, _, rest = value.partition(":")
            selector, _, path = rest.partition(":")
            digest = os.path.basename(path)
            if path and os.path.exists(path):
                kind = digest.partition("-")[0]
                result[name] = Key(domain, selector, "", kind, b"", digest)
        return result

    def _write(
        self, keys: list[Key], kinds: Iterable[str], networks: Iterable[str] | None
    ) -> list[str]:
        """Writes the files for some kinds of keys; the kinds whose files have changed. `networks`:
        None leaves them as they are."""
        group = pwd.getpwnam(GROUP).pw_gid
        return [kind for kind in kinds if self._write_kind(keys, kind, networks, group)]

    def _write_kind(
        self, keys: list[Key], kind: str, networks: Iterable[str] | None, group: int
    ) -> bool:
        paths, user = self._layout.signer(kind), pwd.getpwnam(USER)
        self._make_folders(paths.folder, user.pw_uid, group)
        own = [key for key in keys if key.kind == kind]
        for key in own:
            self._copy(key, user.pw_uid, user.pw_gid)
        files = {
            paths.key_table: dkim.key_table(own, self._layout),
            paths.signing_table: dkim.signing_table(own, self._settings.hostname),
        }
        if networks is not None:
            internal = sorted(networks)
            files[paths.conf] = dkim.opendkim_conf(self._layout, kind, USER, GROUP, internal)
        changed = False
        for path, text in files.items():
            if not os.path.exists(path) or read(path) != text.encode():
                Disk().replace(path, text.encode(), mode=0o640, group=group)
                changed = True
        return changed

    def _make_folders(self, folder: str, uid: int, gid: int) -> None:
        layout = self._layout
        make_closed(
            (
                Folder(layout.signer_folder, 0o710, 0, gid),
                Folder(folder, 0o710, 0, gid),
                Folder(layout.signer_keys, 0o710, 0, gid),
                Folder(layout.signer_sockets, 0o750, uid, gid),
            )
        )

    def _copy(self, key: Key, uid: int, gid: int) -> None:
        """Writes the copy of a key. An existing one has its content already, and gets its owner:
        another image may number the users in a different way."""
        path = os.path.join(self._layout.signer_keys, key.digest)
        if not os.path.exists(path) and key.pem:
            Disk().replace(path, key.pem, mode=0o400)
        os.chown(path, uid, gid, follow_symlinks=False)

    def _drop_stale(self) -> None:
        """Removes the copies that have not signed for a while."""
        tables = [identity(self._layout.signer(kind).key_table) for kind in dkim.KINDS]
        written_s = max(table.mtime_ns for table in tables) / 1e9
        if not written_s or 0 <= time.time() - written_s < _KEPT_S:
            return
        used = {key.digest for key in self._live().values()}
        for name in os.listdir(self._layout.signer_keys):
            if name not in used:
                Disk().remove(os.path.join(self._layout.signer_keys, name))
                self._seen = None

    def _remove(self, kinds: Collection[str]) -> None:
        """Removes the files for some kinds of keys: nothing is signed with them."""
        layout = self._layout
        paths = [path for kind in kinds for path in layout.signer(kind)[1:4]]
        if os.path.isdir(layout.signer_keys):
            names = (name for name in os.listdir(layout.signer_keys))
            names = (name for name in names if name.partition("-")[0] in kinds)
            paths += (os.path.join(layout.signer_keys, name) for name in names)
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
    return Finding(Location(file), ERROR, "bad-dkim-key", message, hint)


def networks_of_host(layout: Layout) -> list[str]:
    """The networks that a host's own Postfix lets send without a login."""
    code, out, _ = run(["postconf", "-c", layout.postfix, "-xh", "mynetworks"])
    return [] if code else dkim.networks(out)
