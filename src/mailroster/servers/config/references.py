"""The lookup tables and services that a value of main.cf or master.cf names (DATABASE_README,
MILTER_README, postconf(5)). Pure text.

    hash:/etc/postfix/access, pcre:/x  check_sender_access proxy:hash:/y  unionmap:{hash:/a}
    inet:localhost:11332               check_policy_service { unix:private/policy, timeout=3s }
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

#: The types of tables of Postfix, without `unix` (which names sockets as well) and `fail`.
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
#: Parameters whose values are always tables.
_ONLY_TABLES = re.compile(r"(?:_maps|_checks)$")
_ACCESS = re.compile(r"\bcheck_\w+_access\s+\{?\s*$")
_WORD = re.compile(r"(?<![\w./:\[\]@-])([A-Za-z][A-Za-z0-9_]*):(?=[^\s,}])")
_MILTERS = frozenset(("smtpd_milters", "non_smtpd_milters"))
_SERVICE = re.compile(r"(?<![\w./:-])(inet6?|unix|local):([^\s,}]+)")
_POLICY = re.compile(r"\bcheck_policy_service\s+(?:\{\s*)?((?:inet|unix):[^\s,}]+)")
_LENIENT = re.compile(r"default_action\s*=\s*(accept|dunno)", re.I)


class Table(NamedTuple):
    """A table: its type, and its name in the form of that type."""

    type: str
    name: str

    def __str__(self) -> str:
        return f"{self.type}:{self.name}"


def tables(parameter: str, value: str) -> list[Table]:
    """The tables that a value names, in their order. `proxy:` is skipped: it only says that
    proxymap(8) opens the table. A table inside of another, as in a union, is part of that."""
    result, position = [], 0
    while match := _WORD.search(value, position):
        position = match.end()
        kind = match[1].lower()
        is_table = _ONLY_TABLES.search(parameter) or _ACCESS.search(value, 0, match.start())
        if kind == "proxy":
            kind, _, _ = value[position:].partition(":")
            position += len(kind) + 1
        if kind not in TYPES and (not is_table or kind in ("unix", "fail")):
            continue
        name = _name(value, position)
        position += len(name)
        result.append(Table(kind, name))
    return result


def _name(value: str, begin: int) -> str:
    """The name of a table: up to a blank or a comma, or to the brace that closes its first one."""
    depth = 0
    for position, char in enumerate(value[begin:], begin):
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
        if depth == 0 and char == "}" and value[begin] == "{":
            return value[begin : position + 1]
        if depth < 0 or (depth == 0 and char in " \t\n,"):
            return value[begin:position]
    return value[begin:]


def services(parameter: str, value: str) -> Iterator[str]:
    """The services that a value names, as `inet:localhost:11332` or `unix:/run/x`, without those
    whose default action accepts mail if they don't answer."""
    milters = [*_SERVICE.finditer(value)] if parameter in _MILTERS else []
    for match in (*milters, *_POLICY.finditer(value)):
        if not _is_lenient(value, match.end()):
            yield match[1] if match.re is _POLICY else match[0]


def _is_lenient(value: str, position: int) -> bool:
    """Whether the braces around a position contain a default action that accepts mail."""
    before = value[:position]
    if before.count("{") <= before.count("}"):
        return False
    return bool(_LENIENT.search(value[position:].partition("}")[0]))
