"""Checks the overrides of the config folder with the servers' own programs, and activates them at
a start.

The active overrides are the copies in `overrides/` below the state folder. A file with an error is
not copied: the first start fails, later starts keep the active copy.
"""

import contextlib
import os
import re
import tempfile
import time
from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import NamedTuple

from mailroster.base.findings import ERROR, WARNING, Finding, Location, Refused, printable
from mailroster.base.layout import Layout
from mailroster.base.settings import TOML, Settings
from mailroster.servers import references, version
from mailroster.servers.config import postfix
from mailroster.servers.config.dovecot.common import include_reports
from mailroster.servers.config.dovecot.versions import Dialect, dialect
from mailroster.servers.config.overrides import (
    DOVECOT,
    FILES,
    MAIN,
    MASTER,
    Overrides,
    delimiter_findings,
    dovecot_warnings,
    entries,
    findings,
    main_cf,
    master_cf,
    plugin_findings,
)
from mailroster.servers.config.rspamd import COMMANDS, OVERRIDES
from mailroster.store.links import ConfigFolder
from mailroster.system.files import Disk, Identity, identity, read
from mailroster.system.programs import HOT_MAIN_CF_S, number, program, run

_HINT = "fix it (postconf(5))"
#: Debian installs the plugins of Dovecot there.
MODULES = "/usr/lib/dovecot/modules"
#: The file of a plugin of Dovecot, as `lib20_fts_plugin.so`.
_PLUGIN = re.compile(r"lib(?:[0-9]+_)?(\w+)_plugin\.so")


class Activation(NamedTuple):
    """The overrides that are active from a start on, and the findings in the files."""

    overrides: Overrides
    findings: list[Finding]


def in_folder(folder: str, linked: Sequence[str] = ()) -> Overrides:
    """The files of a folder, without byte order marks, which no server skips. Raises OSError for a
    file that can't be read."""
    config = ConfigFolder(folder, tuple(linked))
    raw = (config.read(file).removeprefix(BOM_UTF8) for file in FILES)
    texts = (content.decode("utf-8", "surrogateescape") for content in raw)
    return Overrides(*texts)


def in_config(settings: Settings) -> Overrides:
    """The files of the config folder; empty if it is not trusted. Raises OSError for a file that
    can't be read."""
    return in_folder(settings.config, settings.linked()) if settings.trust_config else Overrides()


def _toml(settings: Settings) -> bytes:
    """The bytes of mailroster.toml; empty if the config folder is not trusted. Raises OSError."""
    if not settings.trust_config:
        return b""
    return ConfigFolder(settings.config, settings.linked()).read(TOML)


def ignored(settings: Settings) -> list[str]:
    """A message for each file that is ignored because the config folder is not trusted."""
    if settings.trust_config:
        return []
    names = [TOML, *FILES, *((OVERRIDES, COMMANDS) if settings.enable_rspamd else ())]
    files = [f for f in names if os.path.lexists(os.path.join(settings.config, f))]
    return [f"{file} is ignored: the setting trust_config is off" for file in files]


def activate(settings: Settings, layout: Layout) -> Activation:
    """Activates the files of the config folder, for servers that are about to start.

    Raises Refused for a file with an error if none was ever active.
    """
    try:
        new = in_config(settings)
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}") from None
    active = in_folder(layout.overrides)
    findings = check(new, settings, layout)
    errors = [finding for finding in findings if finding.severity == ERROR]
    bad = {finding.where.file for finding in errors}
    if bad and not os.path.isdir(layout.overrides):
        raise Refused("\n".join(map(str, errors)))
    result = Overrides(*((active if file in bad else new).of(file) for file in FILES))
    if not os.path.isdir(layout.overrides):
        Disk().make_folder(layout.overrides, 0o700)
    for file in FILES:
        path = _copy(layout, file)
        if not os.path.exists(path) or result.of(file) != active.of(file):
            Disk().replace(path, result.of(file).encode("utf-8", "surrogateescape"))
    with contextlib.suppress(OSError):  # the copy only shows later changes
        toml, raw = _copy(layout, TOML), _toml(settings)
        if not os.path.exists(toml) or raw != read(toml):
            Disk().replace(toml, raw)
    for file in sorted(bad):
        message = "the file is not put in force; its previous version stays in force"
        findings.append(Finding(Location(file), WARNING, "held-back", message, "fix its errors"))
    return Activation(result, sorted(findings))


class PendingChanges:
    """The changes of the files since the servers were started."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        self._settings, self._layout = settings, layout
        self._seen: tuple[list[Identity] | None, tuple[Finding, ...]] = None, ()

    def identities(self) -> list[Identity]:
        if not self._settings.trust_config:
            return []
        return [identity(os.path.join(self._settings.config, file)) for file in (*FILES, TOML)]

    def findings(self) -> tuple[Finding, ...]:
        """The errors that a start would find now, and the changes that wait for a start."""
        identities = self.identities()
        if identities != self._seen[0]:
            self._seen = identities, self._check()
        return self._seen[1]

    def _check(self) -> tuple[Finding, ...]:
        if not os.path.isdir(self._layout.overrides):
            return ()
        try:
            files = in_config(self._settings)
        except OSError as error:
            where, message = Location(os.path.basename(error.filename)), f"{error.strerror}"
            hint = "fix its owner or its mode"
            return (Finding(where, ERROR, "unreadable-file", message, hint),)
        active = in_folder(self._layout.overrides)
        changed = [file for file in FILES if files.of(file) != active.of(file)]
        every = check(files, self._settings, self._layout) if changed else []
        errors = [f for f in every if f.where.file in changed and f.severity == ERROR]
        changed += [TOML] if self._is_toml_changed() else []
        bad = {finding.where.file for finding in errors}
        message = "the change waits for a restart"
        hint = "stop 'mailroster up' and start it again"
        waiting = [
            Finding(Location(file), WARNING, "restart-needed", message, hint)
            for file in changed
            if file not in bad
        ]
        return tuple(sorted(errors + waiting))

    def _is_toml_changed(self) -> bool:
        copy = _copy(self._layout, TOML)
        if not self._settings.trust_config or not os.path.exists(copy):
            return False
        try:
            return _toml(self._settings) != read(copy)
        except OSError:
            return False  # every command reports this


def check(overrides: Overrides, settings: Settings, layout: Layout) -> list[Finding]:
    """Findings in the files, from our rules and from the servers' programs that are installed,
    which check the whole configuration."""
    services = postfix.master_cf(settings)
    dovecot = dialect(version.current_version(layout)) if overrides.dovecot else None
    risky = dovecot.RISKY_SETTINGS if dovecot else frozenset()
    result = findings(overrides, services, postfix.listeners(settings), risky)
    result += delimiter_findings(overrides, settings.recipient_delimiter)
    main = main_cf(postfix.main_cf(settings, layout), overrides.main)
    master = master_cf(services, overrides.master, postfix.listeners(settings))
    errors_by_rule = {f.where for f in result if f.severity == ERROR}
    with tempfile.TemporaryDirectory(prefix="mailroster-") as folder:
        if (overrides.main or overrides.master) and program("postconf"):
            result += _check_postfix(folder, main, master, overrides)
            result += references.findings(folder, overrides, settings, layout)
        is_valid = not any(f.severity == ERROR and f.where.file == DOVECOT for f in result)
        if dovecot and is_valid and program("doveconf"):
            result += _check_dovecot(folder, settings, layout, dovecot, overrides.dovecot)
    unique = dict.fromkeys(result)
    return sorted(f for f in unique if f.severity == ERROR or f.where not in errors_by_rule)


def _check_postfix(folder: str, main: str, master: str, overrides: Overrides) -> list[Finding]:
    """Findings of Postfix's programs, run on a configuration written to a folder."""
    # Without this they would write to the queue and the log of a running Postfix.
    main = main_cf(main, f"queue_directory = {folder}/queue\nmaillog_file =\n")
    os.mkdir(f"{folder}/queue")
    for name, text in (("main.cf", main), ("master.cf", master)):
        Disk().replace(
            f"{folder}/{name}", text.encode("utf-8", "surrogateescape"),
            mtime_s=int(time.time()) - HOT_MAIN_CF_S,
        )  # fmt: skip
    lines = {
        file: {entry.name: entry.line for entry in entries(file, overrides.of(file))}
        for file in (MAIN, MASTER)
    }
    names = run(["postconf", "-c", folder, "-n"])[2]
    services = run(["postconf", "-c", folder, "-M"])[2]
    # Any program that reads the numeric parameters will do.
    numbers = run(["postmap", "-c", folder, "-q", "x", "inline:{{x=x}}"])[2]
    return _postfix_findings(f"{names}\n{services}\n{numbers}", lines)


def _postfix_findings(stderr: str, lines: dict[str, dict[str, int]]) -> list[Finding]:
    """Postfix's errors and warnings, each at the line of the override that it mentions. `lines`:
    file -> name of a setting or service -> line."""
    findings = []
    for text in dict.fromkeys(stderr.split("\n")):
        _, fatal, words = text.partition(": fatal: ")
        if not fatal:
            _, _, words = text.partition(": warning: ")
            if "unused parameter: " not in words:
                continue
            words = words[words.index("unused parameter: ") :]
        names = words.replace("=", " ").replace(":", " ").replace(",", " ").split()
        where = Location(MAIN)
        for file in (MAIN, MASTER):
            line = next((lines[file][word] for word in names if word in lines[file]), 0)
            if line:
                where = Location(file, line)
        message = f"Postfix says: {printable(words.strip())}"
        if fatal:
            findings.append(Finding(where, ERROR, "bad-override", message, _HINT))
        elif where.line:
            findings.append(Finding(where, WARNING, "unused-parameter", message, _HINT))
    return findings


def _check_dovecot(
    folder: str, settings: Settings, layout: Layout, dovecot: Dialect, text: str
) -> list[Finding]:
    """Findings of doveconf, with and without the text of an override."""
    main, override = f"{folder}/dovecot.conf", f"{folder}/{DOVECOT}"
    conf = dovecot.files(settings, layout)["dovecot.conf"]
    conf = conf.replace(_copy(layout, DOVECOT), override)
    if reports := include_reports(settings, layout):  # before the first start there is no such file
        conf = conf.replace(reports, "")

    def doveconf(content: str) -> tuple[int, str, str]:
        for path, raw in ((main, conf), (override, content)):
            Disk().replace(path, raw.encode("utf-8", "surrogateescape"))
        return run(["doveconf", "-n", "-c", main])

    code, out, stderr = doveconf(text)
    if code:
        return [_dovecot_error(stderr, override, dovecot.MANUAL)]
    warnings = dovecot_warnings(stderr, override, dovecot.MANUAL)
    if not warnings and "mail_plugins" not in text:
        return []
    _, plain, stderr = doveconf("")
    usual = {finding.message for finding in dovecot_warnings(stderr, override, dovecot.MANUAL)}
    new = [finding for finding in warnings if finding.message not in usual]
    return new + plugin_findings(text, out, plain, _installed_plugins(), dovecot.ADD_PLUGIN)


def _installed_plugins() -> frozenset[str]:
    """The names of the installed plugins, as `mail_plugins` uses them."""
    names = os.listdir(MODULES) if os.path.isdir(MODULES) else []
    return frozenset(match[1] for match in map(_PLUGIN.fullmatch, names) if match)


def _dovecot_error(stderr: str, path: str, manual: str) -> Finding:
    """The error at which Dovecot stopped, at its line if it names one."""
    fatal = [line for line in stderr.split("\n") if ": Fatal: " in line] or [stderr.strip()]
    words = fatal[-1].rpartition(": Fatal: ")[2]
    place = words.partition(f"{path} line ")[2] or words.partition(f"{path}:")[2]
    line = number(place.partition(":")[0].rstrip(")")) or 0
    for noise in ("Error in configuration file ", f"{path} line {line}: ", f"{path}: "):
        words = words.replace(noise, "", 1)
    message = f"Dovecot says: {printable(words.replace(path, DOVECOT).strip())}"
    where = Location(DOVECOT, line)
    return Finding(where, ERROR, "bad-override", message, f"fix it ({manual})")


def _copy(layout: Layout, file: str) -> str:
    return os.path.join(layout.overrides, file)
