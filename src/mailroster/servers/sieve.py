"""The Sieve scripts of the config folder, compiled where Dovecot runs them.

A script is put in force when the file has been unchanged for a moment and Pigeonhole's own sievec
takes it; what was in force stays until then. One whose file is gone, or empty, goes when the settle
time is over. Below `sieve/` in the state folder stand copies of the scripts, each with its binary
beside it: the copies are what is in force, so any of them can be made anew.

A binary says from where it was compiled, and Dovecot takes no other: so a script is tried elsewhere
first, and then compiled once more in its place.
"""

import os
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mailroster.analysis.entry_changes import NAMED_MAX
from mailroster.base.findings import (
    ERROR,
    WARNING,
    Finding,
    Location,
    TryAgain,
    printable,
    unreadable,
)
from mailroster.base.layout import Layout
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS, Account
from mailroster.roster.formats.sieve import AFTER, BEFORE, SUFFIX, Scripts, script_of, scripts_among
from mailroster.servers.sievec import binary, compile_scripts, judged
from mailroster.store.links import ConfigFolder
from mailroster.system.files import ABSENT, Disk, Identity, identity, read, reason
from mailroster.system.folder_lock import FolderLock
from mailroster.system.stability import Settling

#: How long a changed script must have been unchanged: half of one may be a whole one to sievec.
QUIET_S = 0.25
#: Scripts are made older than any binary by this: only then is a binary taken for up to date.
_OLDER_S = 10


class Outcome(NamedTuple):
    """What a reconciliation of the scripts did."""

    changed: int
    findings: tuple[Finding, ...]
    waits: bool  # whether time alone will bring something in force
    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def described(self) -> str:
        """What changed, in words; "" for nothing."""
        parts = (("changed", self.written), ("removed", self.removed))
        return "; ".join(f"{message}: {_named(names)}" for message, names in parts if names)


def _named(names: tuple[str, ...]) -> str:
    many = f"{len(names):,} Sieve scripts" if names[1:] else "Sieve script"
    listed = ", ".join(map(printable, names[:NAMED_MAX]))
    return f"{many} ({listed}, …)" if len(names) > NAMED_MAX else f"{many} {listed}"


class SieveScripts:
    """The scripts of one instance. Who keeps this for long looks only at what has changed."""

    def __init__(
        self,
        config: str,
        layout: Layout,
        settle_s: float,
        *,
        observer: bool = False,
        linked: Iterable[str] = (),
    ) -> None:
        """`linked`: other folders to which links in the config folder may lead."""
        self._config, self._layout = config, layout
        self._folder = ConfigFolder(config, tuple(linked))
        self._settle = Settling(settle_s, observer=observer)
        self._quiet = Settling(min(QUIET_S, settle_s), observer=observer)
        self._disk = Disk()
        #: What was found of each file that needs no other look.
        self._known: dict[str, tuple[Identity, tuple[Finding, ...]]] = {}

    def identities(self) -> list[tuple[str, Identity]]:
        """The files as they stand, for one who waits for a change."""
        if not os.path.isdir(self._config):
            return []
        return [(file, identity(self._path(file))) for file in self._scripts().files.values()]

    def live(self) -> set[str]:
        """The names of the scripts in force."""
        names = set()
        for folder in (self._layout.sieve, self._layout.sieve_accounts):
            if os.path.isdir(folder):
                names |= {name[:-6] for name in os.listdir(folder) if name.endswith(".sieve")}
        return names

    def path(self, name: str) -> str:
        """Where the script of a name is in force."""
        common = name in (BEFORE, AFTER)
        folder = self._layout.sieve if common else self._layout.sieve_accounts
        return os.path.join(folder, f"{name}.sieve")

    def reconcile(self, *, accept: bool = False, anew: bool = False) -> Outcome:
        """Puts the scripts of the folder in force. `accept`: nothing has to settle. `anew`: those
        in force are compiled again too, as it may be another Dovecot.

        Raises TryAgain if they can't be read or written, ServerError if there is no sievec.
        """
        try:
            with FolderLock(self._layout.state):
                return self._reconcile(accept, anew)
        except OSError as error:
            words = f"{error.filename or self._layout.sieve}: {error.strerror or error}"
            raise TryAgain(f"the Sieve scripts can't be put in force ({words})") from error

    def _reconcile(self, accept: bool, anew: bool) -> Outcome:
        scripts, live = self._scripts(), self.live()
        found = self._found(scripts, live, accept, anew)
        bad = self._put(found.texts, scripts.files) if found.texts else {}
        known = {name: (which, tuple(bad.get(name, ()))) for name, which in found.looked.items()}
        known |= found.known
        findings = [*scripts.findings, *found.findings]
        findings += [finding for _, some in known.values() for finding in some]
        taken, held = self._take_away(live - scripts.files.keys(), accept)
        fresh = [name for name in found.changed if not _errors(bad.get(name, ()))]
        self._known = known
        waits = found.waits or (bool(held) and self._is_whole())
        removed = tuple(sorted(live - scripts.files.keys() - self.live())) if taken else ()
        changed = len(fresh) + taken
        return Outcome(changed, (*findings, *held), waits, tuple(sorted(fresh)), removed)

    def _found(self, scripts: Scripts, live: set[str], accept: bool, anew: bool) -> "_Found":
        """What of the files has to be looked at by sievec now."""
        found = _Found({}, {}, {}, set(), [], False)
        folder_ctime_ns = identity(self._config).ctime_ns
        for name, file in scripts.files.items():
            which = identity(self._path(file))
            if not anew and self._is_known(name, which, live):
                found.known[name] = self._known[name]
                continue
            try:
                raw, which = self._folder.look(file)
                text = script_of(raw)
            except OSError as error:
                found.findings.append(unreadable(file, reason(error)))
                continue
            same = name in live and text == read(self.path(name))
            settling = self._quiet if text.strip() else self._settle
            settling.look(name, which)
            if not same and not accept and not settling.settled(name, folder_ctime_ns):
                found = found._replace(waits=True)
            elif same and not anew and os.path.exists(binary(self.path(name))):
                found.known[name] = which, ()
            else:
                found.texts[name], found.looked[name] = text, which
                found.changed.update(() if same else (name,))
        return found

    def _is_known(self, name: str, which: Identity, live: set[str]) -> bool:
        """Whether a file was looked at already, and its script is still in force if it is good:
        both the script and its binary are there."""
        seen, findings = self._known.get(name, (None, ()))
        there = name in live and os.path.exists(binary(self.path(name)))
        return seen == which and (there or _errors(findings))

    def _put(
        self, texts: Mapping[str, bytes], files: Mapping[str, str]
    ) -> dict[str, list[Finding]]:
        """Puts those of some scripts in force that can be; what is wrong with each."""
        findings = judged(texts, files, self._layout.dovecot_conf)
        good = [name for name in texts if not _errors(findings.get(name, ()))]
        group = os.stat(self._layout.sieve).st_gid
        for name in good:
            if texts[name] != read(self.path(name)) or not os.path.exists(self.path(name)):
                # Dovecot takes an old binary for one of any text; without one it compiles itself.
                self._remove(binary(self.path(name)))
                mtime_s = int(time.time()) - _OLDER_S
                self._disk.replace(
                    self.path(name), texts[name], mode=0o640, group=group, mtime_s=mtime_s
                )
        compile_scripts([self.path(name) for name in good], self._layout.dovecot_conf)
        return findings

    def _take_away(self, removed: Iterable[str], accept: bool) -> tuple[int, list[Finding]]:
        """Takes scripts away whose file is gone; how many, and why others stay."""
        taken, held, folder_ctime_ns = 0, [], identity(self._config).ctime_ns
        for name in sorted(removed):
            self._settle.look(name, ABSENT)
            if accept or (self._is_whole() and self._settle.settled(name, folder_ctime_ns)):
                self._drop(name)
                taken += 1
                continue
            message = f"what takes the script of {name!r} away is held back"
            reason = "the folder has just been changed, or lacks its accounts"
            where = Location(f"{name}{SUFFIX}")
            held.append(Finding(where, WARNING, "held-back", message, reason))
        return taken, held

    def _is_whole(self) -> bool:
        """Whether the folder is one with accounts, and not what is left where it was mounted."""
        return os.path.exists(self._path(ACCOUNTS.file))

    def drop(self, names: Iterable[str]) -> None:
        """Takes scripts out of force, without a wait. Raises TryAgain."""
        try:
            with FolderLock(self._layout.state):
                for name in names:
                    self._drop(name)
        except OSError as error:
            raise TryAgain(f"{error.filename or self._layout.sieve}: {reason(error)}") from error

    def _drop(self, name: str) -> None:
        path = self.path(name)
        for file in (path, binary(path)):
            self._remove(file)

    def _remove(self, file: str) -> None:
        if os.path.exists(file):
            self._disk.remove(file)

    def waiting(self) -> list[Finding]:
        """What of the folder is not in force, and why. Changes nothing."""
        scripts, texts, found = self._scripts(), dict[str, bytes](), list[Finding]()
        live = self.live()
        for name, file in scripts.files.items():
            try:
                text = script_of(self._folder.read(file))
            except OSError as error:
                found.append(unreadable(file, reason(error)))
                continue
            if name not in live or text != read(self.path(name)):
                texts[name] = text
        bad = judged(texts, scripts.files, self._layout.dovecot_conf) if texts else {}
        for name in texts:
            where, hint = Location(scripts.files[name]), "fix its errors, or wait a moment"
            found += bad.get(name, ())
            found.append(Finding(where, WARNING, "held-back", "it is not in force", hint))
        for name in sorted(live - scripts.files.keys()):
            where, message = (
                Location(f"{name}{SUFFIX}"),
                f"the script of {name!r} is still in force",
            )
            found.append(Finding(where, WARNING, "held-back", message, "wait a moment"))
        return found

    def _scripts(self) -> Scripts:
        return scripts_among(os.listdir(self._config))

    def _path(self, file: str) -> str:
        return os.path.join(self._config, file)


class _Found(NamedTuple):
    """What a look at the files has found, by the name of the script."""

    known: dict[str, tuple[Identity, tuple[Finding, ...]]]  # nothing to do
    texts: dict[str, bytes]  # to be compiled
    looked: dict[str, Identity]  # the files of these texts
    changed: set[str]  # those of them that are not in force
    findings: list[Finding]
    waits: bool


def findings_in(
    config: ConfigFolder, dovecot_conf: str, accounts: Document[Account]
) -> list[Finding]:
    """Everything that is wrong with the scripts of a config folder. Raises ServerError where
    there is no sievec."""
    scripts = scripts_among(os.listdir(config.path) if os.path.isdir(config.path) else ())
    found, texts = list(scripts.findings), {}
    for name, file in scripts.files.items():
        try:
            texts[name] = script_of(config.read(file))
        except OSError as error:
            found.append(unreadable(file, reason(error)))
        if name not in (BEFORE, AFTER) and name not in accounts:
            message, hint = f"there is no account {name!r}", "remove the file, or add the account"
            where = Location(file)
            found.append(Finding(where, WARNING, "sieve-without-account", message, hint))
    bad = judged(texts, scripts.files, dovecot_conf) if texts else {}
    return [*found, *(finding for some in bad.values() for finding in some)]


def _errors(findings: Iterable[Finding]) -> bool:
    return any(finding.severity == ERROR for finding in findings)
