"""Checks the tables and services that overrides name: postmap has to open each table, and each
service has to accept a connection."""

import os
import socket
from collections.abc import Iterator

from mailroster.base.findings import ERROR, WARNING, Finding, Location, ServerError, printable
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers.config import postfix
from mailroster.servers.config.overrides import MAIN, MASTER, OverrideEntry, Overrides, entries
from mailroster.servers.config.references import FILES, Table, services, tables
from mailroster.system.programs import run

_TIMEOUT_S = 10.0
_CONNECT_S = 1.0
#: Words of postmap for a table whose server does not answer.
_NO_ANSWER = ("connect to", "lookup error", "query error", "Connection refused", "timed out")
_NEAR = ("localhost", "ip6-localhost")


def findings(
    folder: str, overrides: Overrides, settings: Settings, layout: Layout
) -> Iterator[Finding]:
    """The findings in the overrides, each once. `folder` has the main.cf and master.cf with the
    overrides merged. Our own tables are not checked: a start rebuilds them."""
    values = _values(folder, overrides, settings, layout)
    types = frozenset(run(["postconf", "-c", folder, "-m"])[1].split())
    lenient = _lenient(folder)
    seen = set[str]()
    for where, name, value in values:
        for table in tables(name, value):
            if str(table) not in seen and not table.name.startswith(f"{layout.tables}/"):
                seen.add(str(table))
                yield from _check_table(folder, where, table, types, layout)
        for service in services(name, value):
            is_own = layout.run in service or layout.spool in service
            is_optional = lenient and "milters" in name
            if service not in seen and not is_own and not is_optional:
                seen.add(service)
                yield from _check_service(where, service, layout)


def _values(
    folder: str, overrides: Overrides, settings: Settings, layout: Layout
) -> list[tuple[Location, str, str]]:
    """The settings of the files that are in effect: line, name, and value with all references to
    other settings expanded."""
    last = {}
    for file in (MAIN, MASTER):
        for entry in entries(file, overrides.of(file)):
            last[(file, entry.service, entry.name)] = entry
    if not last:
        return []
    names = sorted({entry.name for (file, _, _), entry in last.items() if file == MAIN})
    printed = [run(["postconf", "-c", folder, "-x", *names])[1]] if names else []
    printed.append(run(["postconf", "-c", folder, "-x", "-P"])[1] if overrides.master else "")
    effective = dict(_settings("\n".join(printed)))
    listeners = {name: at for at, name in postfix.listeners(settings).items()}
    values = []
    for (file, _, _), entry in last.items():
        value = effective.get(_key(file, entry, listeners), entry.value)
        value = value.replace(f"{folder}/queue", layout.spool).replace(folder, layout.postfix)
        values.append((Location(file, entry.line), entry.name, value))
    return values


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.split("\n"):
        name, equals, value = line.partition(" = ")
        if equals:
            yield name, value


def _key(file: str, entry: OverrideEntry, listeners: dict[str, str]) -> str:
    """The name of a setting in the output of postconf(1)."""
    if file == MAIN:
        return entry.name
    service, kind = entry.service
    return f"{listeners.get(service, service)}/{kind}/{entry.name}"


def _lenient(folder: str) -> bool:
    """Whether mail is accepted while a milter does not answer."""
    return run(["postconf", "-c", folder, "-xh", "milter_default_action"])[1].strip() == "accept"


def _check_table(
    folder: str, where: Location, table: Table, types: frozenset[str], layout: Layout
) -> Iterator[Finding]:
    if table.type not in types:
        message = f"this Postfix has no tables of the type {printable(table.type)!r}"
        hint = f"install the Debian package postfix-{printable(table.type)}, or use another type"
        yield Finding(where, ERROR, "bad-override", message, hint)
        return
    if table.type in FILES and table.name[0] not in "/{":  # Postfix runs in that folder
        table = table._replace(name=os.path.join(layout.spool, table.name))
    try:
        words = run(["postmap", "-c", folder, "-q", "x", str(table)], timeout_s=_TIMEOUT_S)[2]
    except ServerError as error:
        words = f"postmap: warning: connect to {table.type}: {error}"
    for line in dict.fromkeys(words.split("\n")):
        _, fatal, fault = line.partition(": fatal: ")
        fault = fault or line.partition(": warning: ")[2]
        if not fault:
            continue
        message = f"Postfix says of {printable(str(table))}: {printable(fault.strip())}"
        if any(word in fault for word in _NO_ANSWER):
            hint = "start its server; until then Postfix defers mail"
            yield Finding(where, WARNING, "silent-service", message, hint)
            return
        if fatal:
            hint = "correct the table or its name; create hash, btree and lmdb with postmap(1)"
            yield Finding(where, ERROR, "bad-override", message, hint)
            return
        hint = "correct the table (postmap -q KEY TABLE)"
        yield Finding(where, WARNING, "doubtful-table", message, hint)


def _check_service(where: Location, service: str, layout: Layout) -> Iterator[Finding]:
    """Checks a service on this machine. One on another machine is not checked, as the lookup of its
    name may take long."""
    kind, _, place = service.partition(":")
    if kind in ("unix", "local"):
        path = os.path.join(layout.spool, place)
        answers = _listens(socket.AF_UNIX, path)
    else:
        host, port = _host_and_port(place)
        addresses = _loopback(host)
        if not addresses:
            return
        answers = any(
            _listens(socket.AF_INET6 if ":" in address else socket.AF_INET, (address, port))
            for address in addresses
        )
    if not answers:
        message = f"nothing listens at {printable(service)}, and Postfix defers mail until it does"
        hint = "start that service, or set milter_default_action or default_action"
        yield Finding(where, WARNING, "silent-service", message, hint)


def _loopback(host: str) -> list[str]:
    """The addresses of a host name that means this machine; empty for any other."""
    if host in _NEAR:
        return ["127.0.0.1", "::1"]
    is_near = host == "::1" or (host.startswith("127.") and host.replace(".", "").isdecimal())
    return [host] if is_near else []


def _host_and_port(place: str) -> tuple[str, int]:
    """Parses `host:port`, `[host]:port`, or Sendmail's `port@host`; 0 for a port by name."""
    if "@" in place:
        port, _, host = place.partition("@")
    else:
        host, _, port = place.rpartition(":")
    return host.strip("[]"), int(port) if port.isdecimal() and len(port) < 6 else 0


def _listens(family: int, address: str | tuple[str, int]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(_CONNECT_S)
            client.connect(address)
    except (OSError, OverflowError):
        return False
    return True
