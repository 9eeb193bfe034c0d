"""The settings with which `up` or `watch` was started, and the ports of the running servers.

Commands read them from the file `in-force` in the state folder: the environment of another shell,
or a `mailroster.toml` that has changed, has no effect before a restart.

    boot 4fdb2d3c-…                         the boot of the machine (random(4))
    config /srv/mail/config
    set spoof_protection 1
    port imap 143 - proxy 127.0.0.1         name, number, tls, proxy, addresses

The file belongs to root. The group of the config folder may read it; it holds no secret.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mailroster.base.layout import Layout
from mailroster.base.setting_rules import PORTS, SECRETS, fault
from mailroster.base.settings import SETTINGS, Settings
from mailroster.servers import running
from mailroster.servers.config.endpoints import Endpoint, endpoints
from mailroster.system.boot import boot_id
from mailroster.system.files import Disk

#: Settings of the command itself, those that say how far the config folder is trusted, and secrets.
NOT_STORED = frozenset(
    (
        "layout", "password_scheme", "password_cost", "password_min_length", "password_refused",
        "trust_config", "linked_folders", "index_from_bytes", "history_bytes", *SECRETS,
    )
)  # fmt: skip
_FOLDERS = ("mail", "logs")
_BYTES_MAX = 1 << 16


class InForce(NamedTuple):
    """The stored settings by name, and the ports."""

    settings: dict[str, str | int | bool]
    endpoints: tuple[Endpoint, ...]


def write(settings: Settings, layout: Layout, endpoints: Iterable[Endpoint]) -> None:
    """Stores what the servers use from now on."""
    lines = [f"boot {boot_id()}", f"config {settings.config}"]
    defaults = {**dict.fromkeys(_FOLDERS, ""), **{s.name: s.default for s in SETTINGS}}
    for name, default in defaults.items():
        value = getattr(settings, name)
        if name not in NOT_STORED:
            lines.append(f"set {name} {int(value) if isinstance(default, bool) else value}")
    for name, port, tls, proxy, addresses in endpoints:
        flags = "tls" if tls else "-", "proxy" if proxy else "-"
        lines.append(" ".join(("port", name, str(port), *flags, *addresses)))
    raw = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    group = os.stat(settings.config).st_gid
    Disk().replace(layout.in_force, raw, 0o640, group=group)


def remove(layout: Layout) -> None:
    """Removes the file: the servers are stopped."""
    try:
        os.unlink(layout.in_force)
    except FileNotFoundError:
        pass


def read(settings: Settings, layout: Layout) -> InForce | None:
    """What the running servers of this config folder use; None if none run, or if this user may not
    read it."""
    lines = _lines(layout.in_force)
    if not lines or not _is_alive(lines, layout):
        return None
    if not _is_same(next((line[7:] for line in lines if line.startswith("config ")), ""), settings):
        return None
    values: dict[str, str | int | bool] = {}
    listening: list[Endpoint] = []
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind == "set":
            values.update(_value(*rest.partition(" ")[::2]))
        elif kind == "port":
            listening += _endpoint(rest.split())
    return InForce(values, tuple(listening))


def apply_running(settings: Settings, layout: Layout, options: Mapping[str, str]) -> Settings:
    """The settings of the running servers. Options of this command take precedence."""
    stored = read(settings, layout)
    if stored is None:
        return settings
    values: dict[str, Any] = {k: v for k, v in stored.settings.items() if k not in options}
    return settings._replace(**values)


def ports(settings: Settings, layout: Layout) -> tuple[Endpoint, ...]:
    """The ports of the running servers; those of the settings if none run."""
    stored = read(settings, layout)
    return endpoints(settings) if stored is None else stored.endpoints


def _lines(path: str) -> list[str]:
    """The lines of a file, if only root can have written it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
            return []
        return os.read(fd, _BYTES_MAX).decode("utf-8", "surrogateescape").split("\n")
    except OSError:
        return []
    finally:
        os.close(fd)


def _is_alive(lines: list[str], layout: Layout) -> bool:
    """Whether the servers of a file run. Only root can check their processes. For other users the
    file is valid until the next boot, and a stop removes it."""
    if lines[0] != f"boot {boot_id()}":
        return False
    if os.geteuid() != 0:
        return True
    is_started_by_up = layout.kind != "host" and running.is_running(layout)
    return is_started_by_up or running.up_pid(layout) is not None


def _is_same(config: str, settings: Settings) -> bool:
    """Whether a path leads to the config folder of the settings."""
    if config == settings.config:
        return True
    try:
        return os.path.samefile(config, settings.config)
    except OSError:
        return False


def _value(name: str, text: str) -> dict[str, str | int | bool]:
    """A stored setting by name; empty if its name or its value is not valid."""
    if name in _FOLDERS and os.path.isabs(text):
        return {name: text}
    setting = next((s for s in SETTINGS if s.name == name and name not in NOT_STORED), None)
    if setting is None or fault(name, text):
        return {}
    if isinstance(setting.default, str):
        return {name: text}
    if not (text.isascii() and text.isdecimal()):
        return {}
    return {name: text != "0" if isinstance(setting.default, bool) else int(text)}


def _endpoint(words: list[str]) -> list[Endpoint]:
    if len(words) < 5 or words[0] not in PORTS or not words[1].isdecimal():
        return []
    name, port, tls, proxy, *addresses = words
    return [Endpoint(name, int(port), tls == "tls", proxy == "proxy", tuple(addresses))]
