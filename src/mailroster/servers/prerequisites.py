"""Checks what an administrator has to fix before the servers can start. Changes nothing."""

import os
import socket

from mailroster.base.address import split
from mailroster.base.findings import Refused, and_more, printable
from mailroster.base.layout import Layout
from mailroster.base.setting_rules import PORTS, fault, path_fault
from mailroster.base.settings import NOWHERE, Settings
from mailroster.roster.documents.text import only_comments
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.servers import (
    certificates,
    running,
    signer,
    spam_filter,
    srs,
    system_links,
    version,
)
from mailroster.servers.config.dovecot.versions import dialect
from mailroster.servers.packages import PACKAGES, TABLE_PACKAGES, check_packages
from mailroster.store.links import ConfigFolder
from mailroster.system.files import read
from mailroster.system.programs import run

#: At most so many accounts are named in a message.
_NAMED_MAX = 3


def check(settings: Settings, layout: Layout, *, adopt: bool = False) -> None:
    """Raises Refused if Postfix and Dovecot can't be started with these settings.

    `adopt`: files of others at the servers' usual paths may be moved aside.
    """
    if layout.kind == "host":
        hint = "run 'mailroster watch', or use another --home"
        raise Refused(
            f"{layout.state} has the tables of this host's own Postfix and Dovecot; {hint}"
        )
    if os.geteuid() != 0:
        raise Refused("only root can start Postfix; run it as root (sudo)")
    check_packages(*PACKAGES)
    package, file = dialect(version.version()).SEARCH_PACKAGE
    if settings.full_text_search and not os.path.exists(file):
        remedy = f"install it (apt-get install {package}), or switch the setting off"
        raise Refused(f"full_text_search needs the Debian package {package}; {remedy}")
    signer.check_installed(settings)
    spam_filter.check_installed(settings)
    srs.check_installed(settings)
    check_paths(settings, layout)
    _check_delimiters(settings, layout)
    if settings.names_certificate():
        certificates.check(settings, layout)
    _check_addresses(settings)
    if settings.proxied() - set(PORTS[:3]) and not settings.trusted_proxies:
        hint = "set trusted_proxies to the addresses of the load balancers"
        raise Refused(f"Dovecot would close every connection behind proxy_protocol; {hint}")
    system_links.check(layout.links, adopt)
    if layout.links and (others := running.other_servers()):
        names = ", ".join(f"{name} (process {pid})" for name, pid in others.items())
        hint = "stop it permanently first: systemctl disable --now postfix dovecot"
        raise Refused(f"another mail server is running: {names}; {hint}")


def check_host(settings: Settings, layout: Layout) -> None:
    """Raises Refused if tables can't be made for the Postfix and Dovecot of this host."""
    if os.geteuid() != 0:
        raise Refused("only root can write the tables; run it as root (sudo)")
    check_packages(*TABLE_PACKAGES)
    spam_filter.check_installed(settings)
    srs.check_installed(settings)
    check_paths(settings, layout)
    _check_delimiters(settings, layout)
    if layout.kind != "host" or os.path.exists(f"{layout.state}/postfix/main.cf"):
        hint = "use another home, or another state folder"
        raise Refused(f"{layout.state} is used by 'mailroster up' for its own servers; {hint}")


def check_paths(settings: Settings, layout: Layout) -> None:
    """Raises Refused for folders that the servers can't use or can't reach."""
    for name in ("mail", "state", "logs"):
        path = getattr(settings, name)
        if path.startswith(NOWHERE):
            raise Refused(
                f"the folder for {name} can't be in {os.getcwd()}, where other users could create "
                f"it; set it with --{name} PATH or --home PATH"
            )
        if fault := path_fault(path):
            raise Refused(f"{path!r} is {fault}")
    if excess := layout.socket_room():
        raise Refused(
            f"the path {layout.state} is {excess} octets too long for sockets; use a shorter one"
        )
    for path in (settings.mail, layout.state):
        if os.path.isdir(path):
            check_passable(path)


def check_passable(path: str) -> None:
    """Raises Refused if the servers' users can't reach a folder."""
    while (path := os.path.dirname(path)) != "/":
        if not os.stat(path).st_mode & 0o001:
            raise Refused(
                f"{path} is closed to other users, and so to Postfix and Dovecot; "
                f"use a --home elsewhere, or: chmod o+x {path}"
            )


def _check_addresses(settings: Settings) -> None:
    """Raises Refused if an address of `listen` is not one of this machine."""
    for address in () if settings.is_everywhere() else settings.near():
        try:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
                probe.bind((address, 0))
        except OSError:
            hint = "correct it, or give the machine that address first"
            raise Refused(f"listen: {address} is no address of this machine; {hint}") from None


def _check_delimiters(settings: Settings, layout: Layout) -> None:
    """Raises Refused if `recipient_delimiter` differs from that of the tables, and accounts have
    the new characters in their names: their mail would go to other accounts.

    An account that is added later does not prevent a start: it is skipped like any faulty line.
    """
    chars = settings.recipient_delimiter
    chars_of_tables = read(layout.delimiters).decode("ascii", "replace").strip()
    if chars in ("", "+") or chars_of_tables == chars:
        return
    file = ConfigFolder(settings.config, settings.linked()).read(ACCOUNTS.file)
    lines = file.decode("utf-8", "replace").split("\n")
    keys = [ACCOUNTS.key(line) for line in lines if not only_comments(line)]
    clashing = [key for key in keys if not {*chars}.isdisjoint(split(key)[0])]
    if clashing:
        names = printable(and_more(clashing, _NAMED_MAX))
        raise Refused(
            f"recipient_delimiter: {chars!r} is in the names of accounts ({names}), so their mail "
            "would go to other accounts; rename these accounts, or set other characters"
        )


def origin(layout: Layout) -> str:
    """The domain that Postfix appends to a name without one. Raises Refused if it is unknown."""
    code, out, err = run(["postconf", "-c", layout.postfix, "-xh", "myorigin"])
    name = out.strip()
    if code:
        raise Refused(f"Postfix does not print its $myorigin: {err.strip()}")
    if name.startswith("/"):  # Debian's /etc/mailname
        name = read(name).decode("utf-8", "replace").split("\n")[0].strip()
    if not name:
        raise Refused(f"Postfix has no $myorigin; set it in {layout.postfix}/main.cf")
    if wrong := fault("hostname", name):
        raise Refused(f"Postfix's $myorigin: {wrong}; set it in {layout.postfix}/main.cf")
    return name.lower()
