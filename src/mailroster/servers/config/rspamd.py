"""The configuration of Rspamd (rspamd.com/doc), which is a milter for mail from other servers. Pure
text.

Rspamd reads Debian's configuration, then the folders `local.d` (ours) and `override.d` of a folder
of ours. The files of docker-mailserver in the config folder go to `override.d`:

    rspamd/override.d/actions.conf       as Rspamd reads it
    rspamd/custom-commands.conf          set-option-for-module multimap enabled true

Rspamd does not sign: it lets a message pass without a signature if a key can't be read, if a scan
takes too long, or if a message has two From lines. OpenDKIM defers such mail.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mailroster.base.findings import ERROR, Finding, Location, printable
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings

OVERRIDES, COMMANDS = "rspamd/override.d", "rspamd/custom-commands.conf"
#: The parameter of main.cf with the milter. A service that does not use it sets it to nothing.
MILTER = "mailroster_rspamd"
MILTERS = "smtpd_milters"
WITHOUT = f"  -o {MILTER}=\n"
_PROXY, _CONTROLLER = "worker-proxy.inc", "worker-controller.inc"
_SIGNING = "dkim_signing.conf"
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_OPTION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
#: The longest shown part of a line, in characters.
_SHOWN_MAX = 60
#: Where the files are in docker-mailserver.
_PLACES = re.compile(r"/etc/rspamd/override\.d(?=/)|/tmp/docker-mailserver/rspamd/override\.d(?=/)")
_LEVELS = {"error": "error", "warn": "warning", "info": "notice", "debug": "info", "trace": "debug"}
#: The files of the options of one command each.
_OPTION_FILES = {
    "set-option-for-controller": _CONTROLLER,
    "set-option-for-proxy": _PROXY,
    "set-common-option": "options.inc",
}
_COMMANDS = "enable-module, disable-module, set-option-for-module, add-line, " + ", ".join(
    _OPTION_FILES
)


# -- Postfix


def milter(layout: Layout) -> str:
    """The milter for main.cf. While it does not answer, mail is accepted without it: a hung one
    delays a session by five seconds once (postconf(5), milter_command_timeout)."""
    socket = layout.from_postfix(layout.filter_socket)
    limits = "connect_timeout=5s, command_timeout=5s, content_timeout=30s"
    return f"{{ unix:{socket}, default_action=accept, {limits} }}"


# -- Rspamd


def local_files(settings: Settings) -> dict[str, str]:
    """The files of `local.d`: what differs from Debian's configuration."""
    files = {
        "worker-normal.inc": "enabled = false;\n",
        _PROXY: 'count = 1;\nupstream "local" {\n  default = yes;\n  self_scan = yes;\n}\n',
        "logging.inc": f'level = "{_LEVELS[settings.log_level]}";\n',
        "milter_headers.conf": 'use = ["authentication-results"];\n',
    }
    if settings.rspamd_redis:
        files["redis.conf"] = f"servers = {_quoted(settings.rspamd_redis)};\n"
    return {name: f"# Written by mailroster.\n{text}" for name, text in files.items()}


def override_files(layout: Layout, own: Mapping[str, str]) -> dict[str, str]:
    """The files of `override.d`: those of the config folder, with our sockets, and without a
    signature."""
    sockets = {
        _PROXY: f"{layout.filter_socket} mode=0660",
        _CONTROLLER: f"{layout.filter_control} mode=0666",
    }
    files = {name: _PLACES.sub(layout.filter_overrides, text) for name, text in own.items()}
    for name, socket in sockets.items():
        text = files.get(name, "").rstrip("\n")
        files[name] = f"{text}\n# Written by mailroster.\nbind_socket = {_quoted(socket)};\n"
    files[_SIGNING] = "# OpenDKIM signs.\nenabled = false;\n"
    return files


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def is_override(name: str) -> bool:
    """Whether a file of `rspamd/override.d` is read."""
    return _FILE.fullmatch(name) is not None and name != _SIGNING


# -- the commands of docker-mailserver


class _Fault(Exception):
    """What is wrong with a line, and how to correct it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class Command(NamedTuple):
    """A line of custom-commands.conf. `option` and `value` are "" where it has none."""

    name: str
    file: str
    option: str
    value: str


def with_commands(files: Mapping[str, str], commands: str) -> tuple[dict[str, str], list[Finding]]:
    """The files of `override.d` after the lines of a custom-commands.conf, and findings for the
    lines that are not understood. As in docker-mailserver `enable-module` and `disable-module`
    replace the file of the module."""
    result, findings = dict(files), []
    for number, line in _lines(commands):
        try:
            command = _parse(line)
        except _Fault as fault:
            where = Location(COMMANDS, number)
            findings.append(Finding(where, ERROR, "bad-rspamd-override", fault.message, fault.hint))
            continue
        if command.name in ("enable-module", "disable-module"):
            result[command.file] = f"enabled = {command.value};\n"
        elif command.name == "add-line":
            result[command.file] = f"{_complete(result.get(command.file, ''))}{command.value}\n"
        else:
            text = result.get(command.file, "")
            result[command.file] = _with_option(text, command.option, command.value)
    return result, findings


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines with a command, and their numbers."""
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        stripped = line.strip(" \t")
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def _parse(line: str) -> Command:
    name, *words = re.split(r"[ \t]+", line, maxsplit=3)
    if any(char < " " and char != "\t" for char in line):
        raise _Fault("the line contains a control character", "remove it")
    if name in _OPTION_FILES and len(words) >= 2:
        return Command(name, _OPTION_FILES[name], _option(words[0]), " ".join(words[1:]))
    if name in ("enable-module", "disable-module") and len(words) == 1:
        value = "true" if name == "enable-module" else "false"
        return Command(name, _module(words[0]), "", value)
    if name == "set-option-for-module" and len(words) == 3:
        return Command(name, _module(words[0]), _option(words[1]), words[2])
    if name == "add-line" and len(words) >= 2:
        if not is_override(words[0]):
            raise _Fault(f"{_shown(words[0])!r} is no file of override.d", _FILE_HINT)
        return Command(name, words[0], "", " ".join(words[1:]))
    known = (*_OPTION_FILES, "enable-module", "disable-module", "set-option-for-module", "add-line")
    if name not in known:
        raise _Fault(f"there is no command {_shown(name)!r}", f"write one of {_COMMANDS}")
    raise _Fault(f"{name} has too few words or too many", "see docs/topics/spam.md")


_FILE_HINT = f"write the name of a file, as multimap.conf; not {_SIGNING}: OpenDKIM signs"


def _shown(word: str) -> str:
    """A word of a line, safe and short enough to show."""
    text = printable(word[: _SHOWN_MAX + 1])
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def _module(name: str) -> str:
    """The file of a module."""
    file = f"{name}.conf"
    if _OPTION.fullmatch(name) is None or not is_override(file):
        raise _Fault(f"{_shown(name)!r} is no module", _FILE_HINT.replace(".conf", ""))
    return file


def _option(name: str) -> str:
    if _OPTION.fullmatch(name) is None:
        raise _Fault(f"{_shown(name)!r} is not the name of an option", "write letters and _")
    return name


def _with_option(text: str, option: str, value: str) -> str:
    """A file in which an option has a value: in place of its lines, else in a new line."""
    line = f"{option} = {value.rstrip(' ;')};"
    pattern = re.compile(rf"^([ \t]*){option}[ \t]*=.*$", re.M)
    if pattern.search(text):
        return pattern.sub(lambda match: f"{match[1]}{line}", text)
    return f"{_complete(text)}{line}\n"


def _complete(text: str) -> str:
    """A text that ends with a line end."""
    return text if not text or text.endswith("\n") else f"{text}\n"
