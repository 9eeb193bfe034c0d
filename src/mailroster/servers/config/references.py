"""What a value of main.cf or master.cf refers to: lookup tables, and services that Postfix asks
(DATABASE_README, MILTER_README, postconf(5)). Pure text.

    hash:/etc/postfix/access, pcre:/x  check_sender_access proxy:hash:/y  unionmap:{hash:/a}
    inet:localhost:11332               check_policy_service { unix:private/policy, timeout=3s }
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

#: Types of tables that Postfix may be built with, but `unix` (which names sockets, too) and `fail`.
TYPES = frozenset(
    (
        "btree", "cdb", "cidr", "dbm", "environ", "hash", "inline", "internal", "ldap", "lmdb",
        "memcache", "mongodb", "mysql", "netinfo", "nis", "nisplus", "pcre", "pgsql", "pipemap",
        "proxy", "randmap", "regexp", "sdbm", "socketmap", "sqlite", "static", "tcp", "texthash",
        "unionmap",
    )
)  # fmt: skip
#: Types whose name is the path of a file.
FILES = frozenset(
    ("btree", "cdb", "cidr", "dbm", "hash", "lmdb", "pcre", "regexp", "sdbm", "texthash")
)
#: Parameters whose every value is a table, whatever its type.
_ONLY_TABLES = re.compile(r"(?:_maps|_checks)$")
_ACCESS = re.compile(r"\bcheck_\w+_access\s+\{?\s*$")
_WORD = re.compile(r"(?<![\w./:\[\]@-])([A-Za-z][A-Za-z0-9_]*):(?=[^\s,}])")
_MILTERS = frozenset(("smtpd_milters", "non_smtpd_milters"))
_SERVICE = re.compile(r"(?<![\w./:-])(inet6?|unix|local):([^\s,}]+)")
_POLICY = re.compile(r"\bcheck_policy_service\s+(?:\{\s*)?((?:inet|unix):[^\s,}]+)")
_LENIENT = re.compile(r"default_action\s*=\s*(accept|dunno)", re.I)


class Table(NamedTuple):
    """A table: its type, and its name as the type wants it."""

    type: str
    name: str

    def __str__(self) -> str:
        return f"{self.type}:{self.name}"


def tables(parameter: str, value: str) -> list[Table]:
    """The tables that a value names, in its order. `proxy:` is left out: it names another table,
    which proxymap(8) opens. A table in another one, as in a union, is part of that."""
    found, at = [], 0
    while match := _WORD.search(value, at):
        at = match.end()
        kind = match[1].lower()
        is_table = _ONLY_TABLES.search(parameter) or _ACCESS.search(value, 0, match.start())
        if kind == "proxy":
            kind, _, _ = value[at:].partition(":")
            at += len(kind) + 1
        if kind not in TYPES and (not is_table or kind in ("unix", "fail")):
            continue
        name = _name(value, at)
        at += len(name)
        found.append(Table(kind, name))
    return found


def _name(value: str, begin: int) -> str:
    """The name of a table: up to a blank or a comma, or to the brace that closes its first one."""
    depth = 0
    for at, char in enumerate(value[begin:], begin):
        depth += (char == "{") - (char == "}")
        if depth == 0 and char == "}" and value[begin] == "{":
            return value[begin : at + 1]
        if depth < 0 or (depth == 0 and char in " \t\n,"):
            return value[begin:at]
    return value[begin:]


def services(parameter: str, value: str) -> Iterator[str]:
    """The services that a value asks, as `inet:localhost:11332` or `unix:/run/x`, without those for
    which it says that mail goes on when they don't answer."""
    found = [*_SERVICE.finditer(value)] if parameter in _MILTERS else []
    for match in (*found, *_POLICY.finditer(value)):
        if not _is_lenient(value, match.end()):
            yield match[1] if match.re is _POLICY else match[0]


def _is_lenient(value: str, at: int) -> bool:
    """Whether the braces around a place have a default action with which mail goes on."""
    before = value[:at]
    if before.count("{") <= before.count("}"):
        return False
    return bool(_LENIENT.search(value[at:].partition("}")[0]))
