"""Checks the Sieve scripts of the config folder, and puts them in force.

A script is put in force once its file has been unchanged for a moment and Pigeonhole's sievec
accepts it; until then the previous version stays in force. A script whose file was removed or
emptied is taken out of force after the settle time.

Dovecot runs a binary only in the folder where it was compiled. So a script is first compiled in a
temporary folder as a check, and then again where it is used (`live_scripts`).
"""

import os
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
from mailroster.servers.live_scripts import LiveScripts
from mailroster.servers.sievec import check_scripts
from mailroster.store.links import ConfigFolder
from mailroster.system.files import ABSENT, Identity, identity, reason
from mailroster.system.folder_lock import FolderLock
from mailroster.system.stability import Settling

#: A changed script must be unchanged for this time: sievec may accept half of a script as well.
QUIET_S = 0.25


class Outcome(NamedTuple):
    """The result of a reconciliation. `waits`: it has to be repeated later."""

    changed: int
    findings: tuple[Finding, ...]
    waits: bool
    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def described(self) -> str:
        """The changes in words; "" for none."""
        parts = (("changed", self.written), ("removed", self.removed))
        return "; ".join(f"{verb}: {_list(names)}" for verb, names in parts if names)


def _list(names: tuple[str, ...]) -> str:
    scripts = f"{len(names):,} Sieve scripts" if names[1:] else "Sieve script"
    listed = ", ".join(map(printable, names[:NAMED_MAX]))
    return f"{scripts} ({listed}, …)" if len(names) > NAMED_MAX else f"{scripts} {listed}"


class CheckedScript(NamedTuple):
    """A version of a file that was checked, with its findings."""

    identity: Identity
    findings: tuple[Finding, ...] = ()


class _Scan(NamedTuple):
    """The files of the config folder by the name of their script."""

    unchanged: dict[str, CheckedScript]
    texts: dict[str, bytes]  # to be compiled
    identities: dict[str, Identity]  # of the files of these texts
    changed: set[str]  # the texts that are not in force
    findings: list[Finding]
    waits: bool


class SieveScripts:
    """The scripts of one instance. An object that is reused checks only files that changed."""

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
        self.live = LiveScripts(layout)
        self._config, self._layout = config, layout
        self._folder = ConfigFolder(config, tuple(linked))
        self._settle = Settling(settle_s, observer=observer)
        self._quiet = Settling(min(QUIET_S, settle_s), observer=observer)
        self._checked: dict[str, CheckedScript] = {}

    def identities(self) -> list[tuple[str, Identity]]:
        """The files as they are now, to notice a change."""
        if not os.path.isdir(self._config):
            return []
        return [(file, identity(self._path(file))) for file in self._scripts().files.values()]

    def reconcile(self, *, accept: bool = False, recompile: bool = False) -> Outcome:
        """Puts the scripts of the folder in force. `accept`: without a settle time. `recompile`:
        also compiles unchanged scripts, as there may be another Dovecot.

        Raises TryAgain if they can't be read or written, ServerError if there is no sievec.
        """
        try:
            with FolderLock(self._layout.state):
                return self._reconcile(accept, recompile)
        except OSError as error:
            words = f"{error.filename or self._layout.sieve}: {error.strerror or error}"
            raise TryAgain(f"the Sieve scripts can't be put in force ({words})") from error

    def _reconcile(self, accept: bool, recompile: bool) -> Outcome:
        scripts, live = self._scripts(), self.live.names()
        scan = self._scan(scripts, live, accept, recompile)
        faults = self._activate(scan.texts, scripts.files) if scan.texts else {}
        checked = {
            name: CheckedScript(version, tuple(faults.get(name, ())))
            for name, version in scan.identities.items()
        }
        checked |= scan.unchanged
        findings = [*scripts.findings, *scan.findings]
        findings += [finding for script in checked.values() for finding in script.findings]
        removed, kept = self._remove_missing(live - scripts.files.keys(), accept)
        written = [name for name in scan.changed if not _has_errors(faults.get(name, ()))]
        self._checked = checked
        waits = scan.waits or (bool(kept) and self._has_accounts())
        changed = len(written) + len(removed)
        findings += kept
        return Outcome(changed, tuple(findings), waits, tuple(sorted(written)), tuple(removed))

    def _scan(self, scripts: Scripts, live: set[str], accept: bool, recompile: bool) -> _Scan:
        """Reads the files that changed, and decides which have to be compiled."""
        scan = _Scan({}, {}, {}, set(), [], waits=False)
        folder_ctime_ns = identity(self._config).ctime_ns
        for name, file in scripts.files.items():
            if not recompile and self._is_unchanged(name, identity(self._path(file)), live):
                scan.unchanged[name] = self._checked[name]
                continue
            try:
                raw, version = self._folder.look(file)
                text = script_of(raw)
            except OSError as error:
                scan.findings.append(unreadable(file, reason(error)))
                continue
            is_live = self.live.has(name, text)
            settling = self._quiet if text.strip() else self._settle
            settling.look(name, version)
            if not is_live and not accept and not settling.settled(name, folder_ctime_ns):
                scan = scan._replace(waits=True)
            elif is_live and not recompile and self.live.has_binary(name):
                scan.unchanged[name] = CheckedScript(version)
            else:
                scan.texts[name], scan.identities[name] = text, version
                if not is_live:
                    scan.changed.add(name)
        return scan

    def _is_unchanged(self, name: str, version: Identity, live: set[str]) -> bool:
        """Whether this version of a file was checked before, and its script, if valid, is still in
        force with its binary."""
        checked = self._checked.get(name)
        if checked is None or checked.identity != version:
            return False
        return (name in live and self.live.has_binary(name)) or _has_errors(checked.findings)

    def _activate(
        self, texts: Mapping[str, bytes], files: Mapping[str, str]
    ) -> dict[str, list[Finding]]:
        """Puts the valid ones of the given scripts in force; returns the findings of each."""
        dovecot_conf = self._layout.dovecot_conf
        findings = check_scripts(texts, files, dovecot_conf)
        valid = {
            name: text for name, text in texts.items() if not _has_errors(findings.get(name, ()))
        }
        self.live.activate(valid, dovecot_conf)
        return findings

    def _remove_missing(
        self, missing: Iterable[str], accept: bool
    ) -> tuple[list[str], list[Finding]]:
        """Takes scripts without a file out of force; returns their names, and a finding for each
        script that stays in force for now."""
        removed, kept, folder_ctime_ns = [], [], identity(self._config).ctime_ns
        for name in sorted(missing):
            self._settle.look(name, ABSENT)
            if accept or (self._has_accounts() and self._settle.settled(name, folder_ctime_ns)):
                self.live.remove(name)
                removed.append(name)
                continue
            message = f"the script of {name!r} stays in force for now, though its file was removed"
            hint = f"wait a moment; if there is no {ACCOUNTS.file}, restore it"
            kept.append(Finding(Location(f"{name}{SUFFIX}"), WARNING, "held-back", message, hint))
        return removed, kept

    def _has_accounts(self) -> bool:
        """Whether the folder has an accounts file; if not, it may be an empty mount point."""
        return os.path.exists(self._path(ACCOUNTS.file))

    def drop(self, names: Iterable[str]) -> None:
        """Takes scripts out of force at once. Raises TryAgain."""
        try:
            with FolderLock(self._layout.state):
                for name in names:
                    self.live.remove(name)
        except OSError as error:
            raise TryAgain(f"{error.filename or self._layout.sieve}: {reason(error)}") from error

    def waiting(self) -> list[Finding]:
        """The scripts that are not in force, and why. Changes nothing."""
        scripts, texts, findings = self._scripts(), dict[str, bytes](), list[Finding]()
        for name, file in scripts.files.items():
            try:
                text = script_of(self._folder.read(file))
            except OSError as error:
                findings.append(unreadable(file, reason(error)))
                continue
            if not self.live.has(name, text):
                texts[name] = text
        faults = check_scripts(texts, scripts.files, self._layout.dovecot_conf) if texts else {}
        for name in texts:
            where, hint = Location(scripts.files[name]), "fix its errors, or wait a moment"
            findings += faults.get(name, ())
            findings.append(Finding(where, WARNING, "held-back", "it is not in force", hint))
        for name in sorted(self.live.names() - scripts.files.keys()):
            where = Location(f"{name}{SUFFIX}")
            message = f"the script of {name!r} is still in force"
            findings.append(Finding(where, WARNING, "held-back", message, "wait a moment"))
        return findings

    def _scripts(self) -> Scripts:
        return scripts_among(os.listdir(self._config))

    def _path(self, file: str) -> str:
        return os.path.join(self._config, file)


def findings_in(
    config: ConfigFolder, dovecot_conf: str, accounts: Document[Account]
) -> list[Finding]:
    """The findings in the scripts of a config folder. Raises ServerError if there is no sievec."""
    scripts = scripts_among(os.listdir(config.path) if os.path.isdir(config.path) else ())
    findings, texts = list(scripts.findings), {}
    for name, file in scripts.files.items():
        try:
            texts[name] = script_of(config.read(file))
        except OSError as error:
            findings.append(unreadable(file, reason(error)))
        if name not in (BEFORE, AFTER) and name not in accounts:
            message, hint = f"there is no account {name!r}", "remove the file, or add the account"
            where = Location(file)
            findings.append(Finding(where, WARNING, "sieve-without-account", message, hint))
    faults = check_scripts(texts, scripts.files, dovecot_conf) if texts else {}
    return findings + [finding for some in faults.values() for finding in some]


def _has_errors(findings: Iterable[Finding]) -> bool:
    return any(finding.severity == ERROR for finding in findings)
