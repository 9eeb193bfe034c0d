"""The folder's own settings for the servers: put in force at a start, and judged by the servers'
own checkers before.

What is in force are the copies in `overrides/` below the state folder. A file with an error is not
taken: at the first start nothing starts, later what was in force stays.
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
from mailroster.store.links import ConfigFolder
from mailroster.system.files import Disk, Identity, identity, read
from mailroster.system.programs import HOT_MAIN_CF_S, number, program, run

_HINT = "fix it (postconf(5))"
#: Where Debian has the plugins of Dovecot.
MODULES = "/usr/lib/dovecot/modules"
#: The file of a plugin of Dovecot, as `lib20_fts_plugin.so`.
_PLUGIN = re.compile(r"lib(?:[0-9]+_)?(\w+)_plugin\.so")


class Taken(NamedTuple):
    """What a start has found: what is in force from now on, and what is wrong with the files."""

    overrides: Overrides
    findings: list[Finding]


def in_folder(folder: str, linked: Sequence[str] = ()) -> Overrides:
    """The files of a folder, without their byte order marks, which no server skips. Raises OSError
    for one that can't be read."""
    config = ConfigFolder(folder, tuple(linked))
    raw = (config.read(file).removeprefix(BOM_UTF8) for file in FILES)
    texts = (some.decode("utf-8", "surrogateescape") for some in raw)
    return Overrides(*texts)


def wanted(settings: Settings) -> Overrides:
    """The files of the config folder, as far as the settings trust it. Raises OSError for one that
    can't be read."""
    return in_folder(settings.config, settings.linked()) if settings.trust_config else Overrides()


def _toml(settings: Settings) -> bytes:
    """The bytes of mailroster.toml, as far as the settings trust it. Raises OSError."""
    if not settings.trust_config:
        return b""
    return ConfigFolder(settings.config, settings.linked()).read(TOML)


def ignored(settings: Settings) -> list[str]:
    """The files that do not count since the config folder is not trusted, one line for each."""
    if settings.trust_config:
        return []
    files = [f for f in (TOML, *FILES) if os.path.lexists(os.path.join(settings.config, f))]
    return [f"{file} is ignored: the setting trust_config is off" for file in files]


def take(settings: Settings, layout: Layout) -> Taken:
    """Puts the files of the config folder in force, for servers that are about to start.

    Raises Refused for a file with an error where none was ever in force.
    """
    try:
        files = wanted(settings)
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}") from None
    before = in_folder(layout.overrides)
    found = judged(files, settings, layout)
    bad = {finding.where.file for finding in found if finding.severity == ERROR}
    if bad and not os.path.isdir(layout.overrides):
        raise Refused("\n".join(str(finding) for finding in found if finding.severity == ERROR))
    chosen = Overrides(*((before if f in bad else files).of(f) for f in FILES))
    if not os.path.isdir(layout.overrides):
        Disk().make_folder(layout.overrides, 0o700)
    for file in FILES:
        if not os.path.exists(path := _copy(layout, file)) or chosen.of(file) != before.of(file):
            Disk().replace(path, chosen.of(file).encode("utf-8", "surrogateescape"))
    with contextlib.suppress(OSError):  # the settings are loaded; a copy shows later changes
        toml, raw = _copy(layout, TOML), _toml(settings)
        if not os.path.exists(toml) or raw != read(toml):
            Disk().replace(toml, raw)
    for file in sorted(bad):
        message = "the file is not put in force, what was in force before stays"
        found.append(Finding(Location(file), WARNING, "held-back", message, "fix its errors"))
    return Taken(chosen, sorted(found))


class Pending:
    """What of the files has changed since the servers were started."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        self._settings, self._layout = settings, layout
        self._seen: tuple[list[Identity] | None, tuple[Finding, ...]] = None, ()

    def identities(self) -> list[Identity]:
        if not self._settings.trust_config:
            return []
        return [identity(os.path.join(self._settings.config, file)) for file in (*FILES, TOML)]

    def findings(self) -> tuple[Finding, ...]:
        """What would be wrong at a start now, and what only a start would put in force."""
        found = self.identities()
        if found != self._seen[0]:
            self._seen = found, self._look()
        return self._seen[1]

    def _look(self) -> tuple[Finding, ...]:
        if not os.path.isdir(self._layout.overrides):
            return ()
        try:
            files = wanted(self._settings)
        except OSError as error:
            where, message = Location(os.path.basename(error.filename)), f"{error.strerror}"
            hint = "fix its owner or its mode"
            return (Finding(where, ERROR, "unreadable-file", message, hint),)
        before = in_folder(self._layout.overrides)
        changed = [file for file in FILES if files.of(file) != before.of(file)]
        judgement = judged(files, self._settings, self._layout) if changed else []
        found = [f for f in judgement if f.where.file in changed and f.severity == ERROR]
        changed += [TOML] if self._is_toml_changed() else []
        bad = {finding.where.file for finding in found}
        for file in [file for file in changed if file not in bad]:
            message, hint = (
                "the change waits for a restart",
                "stop 'mailroster up' and start it again",
            )
            found.append(Finding(Location(file), WARNING, "restart-needed", message, hint))
        return tuple(sorted(found))

    def _is_toml_changed(self) -> bool:
        copy = _copy(self._layout, TOML)
        if not self._settings.trust_config or not os.path.exists(copy):
            return False
        try:
            return _toml(self._settings) != read(copy)
        except OSError:
            return False  # every command says so


def judged(overrides: Overrides, settings: Settings, layout: Layout) -> list[Finding]:
    """What is wrong with the files: by their words, and by what the servers' programs say of the
    whole configuration, as far as they are installed."""
    services = postfix.master_cf(settings)
    its = dialect(version.known(layout)) if overrides.dovecot else None
    pillars = its.PILLARS if its else frozenset()
    found = findings(overrides, services, postfix.listeners(settings), pillars)
    found += delimiter_findings(overrides, settings.recipient_delimiter)
    main = main_cf(postfix.main_cf(settings, layout), overrides.main)
    master = master_cf(services, overrides.master, postfix.listeners(settings))
    said = {(f.where.file, f.where.line) for f in found if f.severity == ERROR}
    with tempfile.TemporaryDirectory(prefix="mailroster-") as folder:
        if (overrides.main or overrides.master) and program("postconf"):
            found += _postfix_says(folder, main, master, overrides)
            found += references.findings(folder, overrides, settings, layout)
        is_whole = not any(f.severity == ERROR and f.where.file == DOVECOT for f in found)
        if its and is_whole and program("doveconf"):
            found += _dovecot_says(folder, settings, layout, its, overrides.dovecot)
    unique = [f for f in dict.fromkeys(found) if f.severity == ERROR or f.where not in said]
    return sorted(unique)


def _postfix_says(folder: str, main: str, master: str, overrides: Overrides) -> list[Finding]:
    # Its programs shall not speak to a Postfix that runs: what they say is ours alone.
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
    # Any program that reads its numbers will do.
    numbers = run(["postmap", "-c", folder, "-q", "x", "inline:{{x=x}}"])[2]
    return _of_postfix(f"{names}\n{services}\n{numbers}", lines)


def _of_postfix(stderr: str, lines: dict[str, dict[str, int]]) -> list[Finding]:
    """Postfix's warnings and errors, each at the line that names what it is about."""
    found = []
    for text in dict.fromkeys(stderr.split("\n")):
        _, fatal, words = text.partition(": fatal: ")
        if not fatal:
            _, _, words = text.partition(": warning: ")
            if "unused parameter: " not in words:
                continue
            words = words[words.index("unused parameter: ") :]
        told = words.replace("=", " ").replace(":", " ").replace(",", " ").split()
        where = Location(MAIN)
        for file in (MAIN, MASTER):
            line = next((lines[file][word] for word in told if word in lines[file]), 0)
            if line:
                where = Location(file, line)
        message = f"Postfix says: {printable(words.strip())}"
        if fatal:
            found.append(Finding(where, ERROR, "bad-override", message, _HINT))
        elif where.line:
            found.append(Finding(where, WARNING, "unused-parameter", message, _HINT))
    return found


def _dovecot_says(
    folder: str, settings: Settings, layout: Layout, its: Dialect, text: str
) -> list[Finding]:
    ours, theirs = f"{folder}/dovecot.conf", f"{folder}/{DOVECOT}"
    conf = its.files(settings, layout)["dovecot.conf"]
    conf = conf.replace(_copy(layout, DOVECOT), theirs)

    def answer(content: str) -> tuple[int, str, str]:
        for path, raw in ((ours, conf), (theirs, content)):
            Disk().replace(path, raw.encode("utf-8", "surrogateescape"))
        return run(["doveconf", "-n", "-c", ours])

    code, out, stderr = answer(text)
    if code:
        return _of_dovecot(stderr, theirs, its.MANUAL)
    warnings = dovecot_warnings(stderr, theirs, its.MANUAL)
    if not warnings and "mail_plugins" not in text:
        return []
    _, plain, stderr = answer("")
    own = {finding.message for finding in dovecot_warnings(stderr, theirs, its.MANUAL)}
    found = [finding for finding in warnings if finding.message not in own]
    return found + plugin_findings(text, out, plain, _plugins_of(MODULES), its.ADD_PLUGIN)


def _plugins_of(folder: str) -> frozenset[str]:
    """The plugins that are installed, by the names that `mail_plugins` has for them."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    found = map(_PLUGIN.fullmatch, names)
    return frozenset(match[1] for match in found if match)


def _of_dovecot(stderr: str, path: str, manual: str) -> list[Finding]:
    """The error that Dovecot has stopped at, at its line if it names one."""
    fatal = [line for line in stderr.split("\n") if ": Fatal: " in line] or [stderr.strip()]
    words = fatal[-1].rpartition(": Fatal: ")[2]
    place = words.partition(f"{path} line ")[2] or words.partition(f"{path}:")[2]
    line = number(place.partition(":")[0].rstrip(")")) or 0
    for noise in ("Error in configuration file ", f"{path} line {line}: ", f"{path}: "):
        words = words.replace(noise, "", 1)
    message = f"Dovecot says: {printable(words.replace(path, DOVECOT).strip())}"
    where = Location(DOVECOT, line)
    return [Finding(where, ERROR, "bad-override", message, f"fix it ({manual})")]


def _copy(layout: Layout, file: str) -> str:
    return os.path.join(layout.overrides, file)
