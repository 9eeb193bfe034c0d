"""What the configuration of a host's Postfix and Dovecot becomes, so that they read our tables.

It is made in a copy of their files, by Postfix's own postconf, and read there by both: what they
could not read is never written. Changes nothing.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from mailroster.base.findings import Refused, ServerError
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers import version
from mailroster.servers.config import host
from mailroster.servers.config.dovecot.doveconf import printed
from mailroster.servers.config.dovecot.versions import dialect
from mailroster.servers.config.smtp_safety import UNSAFE
from mailroster.system.files import Disk, read
from mailroster.system.programs import run

DROP_IN = "conf.d/99-mailroster.conf"
#: The lines of ours in master.cf stand between these.
_BEGIN, _END = "# mailroster: services of ours begin", "# mailroster: and end"
#: Lists of restrictions that decide who may send to elsewhere.
_ALLOWED = ("smtpd_relay_restrictions", "smtpd_recipient_restrictions")
#: In front of a line of somebody else's that doesn't count while we are here.
OFF = "#mailroster: "
_SYSTEM_USERS = re.compile(
    r"^[ \t]*!include(?:_try)?[ \t]+(?:\S*/)?auth-system\.conf\.ext[ \t]*$", re.M
)


class Change(NamedTuple):
    """One file: its path, what is in it, and what is to be; None is no file."""

    path: str
    old: bytes | None
    new: bytes


class SettingChange(NamedTuple):
    """One setting that would become another; "" is none."""

    file: str
    name: str
    old: str
    new: str


class Planned(NamedTuple):
    """Everything that would change, and what a person has to know of it."""

    changes: list[Change]
    settings: list[SettingChange]
    warnings: list[str]


def planned(settings: Settings, layout: Layout, *, keep_system_users: bool) -> Planned:
    """What has to become of the host's files. Raises Refused for what a person has to fix first,
    ServerError if the servers can't read the result."""
    for path in (f"{layout.postfix}/main.cf", f"{layout.postfix}/master.cf", layout.dovecot_conf):
        if not os.path.isfile(path):
            raise Refused(f"there is no {path}: Postfix and Dovecot have to be set up first")
    with tempfile.TemporaryDirectory(prefix="mailroster-") as folder:
        postfix = _postfix(settings, layout, folder)
        dovecot = _dovecot(settings, layout, folder, keep_system_users)
    return Planned(
        postfix.changes + dovecot.changes,
        postfix.settings + dovecot.settings,
        postfix.warnings + dovecot.warnings,
    )


# -- Postfix


def _postfix(settings: Settings, layout: Layout, folder: str) -> Planned:
    copy = os.path.join(folder, "postfix")
    os.mkdir(copy)
    old = {name: _text(f"{layout.postfix}/{name}") for name in ("main.cf", "master.cf")}
    theirs = _without_block(old["master.cf"])
    for name, text in old.items():
        Disk().replace(f"{copy}/{name}", _bytes(text))
    had = _parameters(_postconf(copy, "-n"))  # of ours only what our services name
    Disk().replace(f"{copy}/master.cf", _bytes(theirs))
    services = {"/".join(line.split()[:2]) for line in _postconf(copy, "-M").split("\n") if line}
    submits = host.submits(had, services)
    entries = host.services(settings, layout, services, submits=submits)
    default = _postconf(copy, "-dh", "mydestination").strip()
    hides = f"{host.CLEANUP}/unix" in entries
    wanted = host.parameters(settings, layout, had, default, submits=submits, hides=hides)
    if taken := sorted(services & entries.keys()):
        raise Refused(
            f"{layout.postfix}/master.cf has a service {taken[0]} already; that is a name "
            "of ours, so rename it"
        )
    if stale := host.stale(had, wanted):
        _postconf(copy, "-X", *stale)
    if changed := [f"{name} = {value}" for name, value in wanted.items() if had.get(name) != value]:
        _postconf(copy, "-e", *changed)
    Disk().replace(f"{copy}/master.cf", _bytes(_with_block(theirs, entries)))
    now = _parameters(_postconf(copy, "-n"))
    _postconf(copy, "-M")
    new = {name: _text(f"{copy}/{name}") for name in old}
    file = f"{layout.postfix}/main.cf"
    said = [
        SettingChange(file, name, had.get(name, ""), now.get(name, "")) for name in (*now, *stale)
    ]
    said += [
        SettingChange(f"{layout.postfix}/master.cf", service, "", text)
        for service, text in entries.items()
        if text not in old["master.cf"]
    ]
    return Planned(
        [
            Change(f"{layout.postfix}/{name}", _bytes(old[name]), _bytes(new[name]))
            for name in old
            if new[name] != old[name]
        ],
        [one for one in said if one.old != one.new],
        [*_postfix_warnings(had, copy)],
    )


def _postfix_warnings(had: Mapping[str, str], copy: str) -> Iterator[str]:
    if had.get("virtual_transport", "").startswith("lmtp:unix:private/mailroster-"):
        pass
    elif "virtual_transport" in had and host.without_ours(had.get("virtual_mailbox_domains", "")):
        yield (
            "the mail of your own virtual_mailbox_domains would be delivered by Dovecot, too: "
            "virtual_transport is one for all of them"
        )
    if had.get("relayhost"):
        yield (
            f"relayhost is {had['relayhost']}: mail of domains that 'setup relay exclude-domain' "
            "excludes leaves by it all the same"
        )
    for name, values in UNSAFE.items():
        if had.get(name) in values:
            yield (
                f"{name} is {had[name]!r}, so that a client can hide a second message in one; "
                f"remove it from main.cf"
            )
    trusted = " ".join(_postconf(copy, "-xh", "mynetworks").split())
    allowed = _postconf(copy, "-xh", *_ALLOWED)
    if trusted and "permit_mynetworks" in allowed:
        yield (
            f"clients of mynetworks ({trusted}) send to anybody without a login; remove "
            f"permit_mynetworks from {' and '.join(_ALLOWED)} if no program needs it"
        )
    for line in _postconf(copy, "-P").split("\n"):
        place, _, value = line.partition(" = ")
        service, _, name = place.rpartition("/")
        asked = name in ("smtpd_sender_restrictions", "smtpd_recipient_restrictions")
        if asked and "$mailroster_" not in value:
            ours = f"$mailroster_{name.removeprefix('smtpd_')}"
            yield f"{service} of master.cf has {name} of its own; put {ours} in front of them"


def _postconf(folder: str, *words: str) -> str:
    """What postconf says of the files in a folder. Raises ServerError with its own words."""
    code, out, err = run(["postconf", "-c", folder, *words])
    if code or ": fatal: " in err:
        raise ServerError(f"Postfix can't read its configuration: {err.strip()}")
    return out


def _parameters(text: str) -> dict[str, str]:
    pairs = (line.partition(" =") for line in text.split("\n"))
    return {
        name: value.strip()
        for name, equals, value in pairs
        if equals and name != "config_directory"  # as Postfix 3.10 was told, that of the copy
    }


def _without_block(text: str) -> str:
    before, begin, rest = text.partition(f"{_BEGIN}\n")
    _, end, after = rest.partition(f"{_END}\n")
    return before + after if begin and end else text


def _with_block(text: str, entries: Mapping[str, str]) -> str:
    if not entries:
        return text
    between = "" if text.endswith("\n") else "\n"
    return "\n".join((f"{text}{between}{_BEGIN}", *entries.values(), f"{_END}\n"))


# -- Dovecot


def _dovecot(settings: Settings, layout: Layout, folder: str, keep_system_users: bool) -> Planned:
    place, copy = os.path.dirname(layout.dovecot_conf), os.path.join(folder, "dovecot")
    conf = os.path.join(copy, os.path.basename(layout.dovecot_conf))
    # Keys of certificates and the like are not for a copy.
    shutil.copytree(
        place, copy, ignore=_unless(lambda name: ".conf" in name), ignore_dangling_symlinks=True
    )
    before = _doveconf(conf, "-n")
    if os.path.exists(drop_in := os.path.join(copy, DROP_IN)):
        os.unlink(drop_in)
    its = dialect(version.version())
    files = {DROP_IN: its.drop_in(settings, layout, _had(conf))}
    for name, text in its.files(settings, layout).items():
        if name != "dovecot.conf":
            files[f"{os.path.basename(layout.dovecot)}/{name}"] = text
    for path in _confs(copy):
        text = _text(os.path.join(copy, path))
        if (switched := _system_users(text, keep_system_users)) != text:
            files[path] = switched
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(copy, path)), exist_ok=True)
        Disk().replace(os.path.join(copy, path), _bytes(text))
    after = _doveconf(conf, "-n")
    if layout.exceptions not in after:
        raise Refused(
            f"{layout.dovecot_conf} does not read {place}/{DROP_IN}; "
            "put a line '!include conf.d/*.conf' at its end"
        )
    changes = [
        Change(f"{place}/{path}", _bytes(_text(f"{place}/{path}")) if there else None, _bytes(text))
        for path, text in files.items()
        if not (there := os.path.exists(f"{place}/{path}")) or _text(f"{place}/{path}") != text
    ]
    had, has = _settings(before), _settings(after)
    said = [
        SettingChange(f"{place}/{DROP_IN}", name, had[name], has.get(name, ""))
        for name in had
        if had[name] != has.get(name, "")
    ]
    return Planned(changes, said if changes else [], [*_dovecot_warnings(after)])


def _dovecot_warnings(after: str) -> Iterator[str]:
    if re.search(r"driver = pam$|^passdb pam\b", after, re.M):
        yield "users of the machine are asked for first (PAM), so that every login by mistake waits"


def _unless(wanted: Callable[[str], bool]) -> Callable[[str, list[str]], list[str]]:
    """For copytree: leaves out all files but those wanted."""

    def ignored(folder: str, names: list[str]) -> list[str]:
        return [
            name
            for name in names
            if name == "private" or not (os.path.isdir(os.path.join(folder, name)) or wanted(name))
        ]  # fmt: skip

    return ignored


def _confs(folder: str) -> Iterator[str]:
    for path in ("", "conf.d"):
        if os.path.isdir(here := os.path.join(folder, path)):
            for name in sorted(os.listdir(here)):
                if name.endswith(".conf"):
                    yield os.path.join(path, name)


def _system_users(text: str, keep: bool) -> str:
    """A file of Dovecot's with the users of the machine switched on again, or off."""
    text = text.replace(OFF, "")
    return text if keep else _SYSTEM_USERS.sub(lambda found: f"{OFF}{found[0]}", text)


def _had(conf: str) -> dict[str, str]:
    found = {name: _doveconf(conf, "-h", name) for name in ("auth_mechanisms", "mail_plugins")}
    for protocol in ("imap", "lmtp"):
        said = _doveconf(conf, "-f", f"protocol={protocol}", "-h", "mail_plugins")
        found[f"{protocol}/mail_plugins"] = said
    return {name: said.strip() for name, said in found.items()}


def _doveconf(conf: str, *words: str) -> str:
    """What doveconf says. Raises ServerError with its own words."""
    code, out, err = run(["doveconf", "-c", conf, *words])
    if code:
        raise ServerError(f"Dovecot can't read its configuration: {err.strip()}")
    return out


def _settings(text: str) -> dict[str, str]:
    """What `doveconf -n` prints, as values by name, those of a plugin or a protocol with that in
    front; what has no name of its own is left out."""
    return {"/".join(path): value for path, value in printed(text) if value and _is_named(path)}


def _is_named(path: tuple[str, ...]) -> bool:
    return len(path) == 1 or (len(path) == 2 and path[0].split()[0] in ("plugin", "protocol"))


# -- files


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}") from None


def _text(path: str) -> str:
    with _refusing():
        return read(path).decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
