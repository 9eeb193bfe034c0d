"""What a hash says of the work that it takes, and what the setting `password_cost` asks for.

    cost = rounds                   SHA512-CRYPT: 1000 to 10000000, 5000 by default (crypt(5))
         | log2-of-rounds           BLF-CRYPT: 4 to 16, 5 by default (crypt(5))
         | "t=" passes ",m=" KiB    ARGON2ID: t=1 to 100, m=64 to 196608; t=3,m=65536 by default

The upper bounds are ours: a login costs as much as the hash did, and Dovecot's auth process, which
may have 256 MiB (default_vsz_limit), failed logins from m=262144 on.
"""

import re
from typing import NamedTuple

from mailroster.base.findings import UsageError
from mailroster.roster.formats.credentials import is_locked


class Cost(NamedTuple):
    """How much work a hash is. `rounds`: those of SHA512-CRYPT, the binary logarithm of those of
    BLF-CRYPT, the passes of ARGON2ID over its memory, which `memory_kib` is."""

    rounds: int
    memory_kib: int = 0

    def __str__(self) -> str:
        return f"t={self.rounds},m={self.memory_kib}" if self.memory_kib else str(self.rounds)


class _Bounds(NamedTuple):
    least: Cost
    default: Cost
    most: Cost


_BOUNDS = {
    "SHA512-CRYPT": _Bounds(Cost(1000), Cost(5000), Cost(10_000_000)),
    "BLF-CRYPT": _Bounds(Cost(4), Cost(5), Cost(16)),
    "ARGON2ID": _Bounds(Cost(1, 64), Cost(3, 65536), Cost(100, 196608)),
}
SCHEMES = tuple(_BOUNDS)

_SCHEME = re.compile(r"\{([^}]*)\}")
#: Of hashes that crypt(3) and argon2 make: which scheme it is.
_MADE_BY = {"$6$": "SHA512-CRYPT", "$2": "BLF-CRYPT", "$argon2id$": "ARGON2ID"}


def default_cost(scheme: str) -> Cost:
    """What a hash of a scheme costs where nobody says."""
    return _BOUNDS[scheme].default


def parse_cost(scheme: str, text: str) -> Cost:
    """The cost that a text asks for; the default of the scheme for none. Raises UsageError."""
    least, default, most = _BOUNDS[scheme]
    if not text.strip():
        return default
    form = r"t=(\d{1,9}),m=(\d{1,9})" if least.memory_kib else r"(\d{1,9})"
    found = re.fullmatch(form, re.sub(r"[\s_]", "", text), re.ASCII)
    cost = Cost(*map(int, found.groups())) if found else None
    if cost is None or not all(
        low <= given <= high for low, given, high in zip(least, cost, most, strict=True)
    ):
        forms = (
            f"from {least} to {most}" if least.memory_kib else f"a number from {least} to {most}"
        )
        raise UsageError(f"password_cost: {text!r} is no cost of {scheme}; it takes {forms}")
    return cost


def scheme_of(hash: str) -> str:
    """The scheme of a hash, in capitals, as its name in braces or crypt(3)'s own mark tells; "" if
    neither does."""
    found = _SCHEME.match(hash)
    named = found[1].upper() if found else ""
    rest = hash_behind(hash)
    if named in ("", "CRYPT"):
        marked = (scheme for mark, scheme in _MADE_BY.items() if rest.startswith(mark))
        return next(marked, named)
    return named


def hash_behind(hash: str) -> str:
    """The hash itself, behind its scheme and the mark of a lock."""
    found = _SCHEME.match(hash)
    rest = hash[found.end() :] if found else hash
    return rest.lstrip("!") if is_locked(hash) else rest


def cost_of(hash: str) -> Cost | None:
    """The cost of a hash of one of our schemes; None of any other, and of what can't be read."""
    rest = hash_behind(hash)
    scheme = scheme_of(hash)
    if scheme == "SHA512-CRYPT":
        found = re.match(r"\$6\$(?:rounds=(\d+)\$)?", rest)
        return Cost(int(found[1] or 5000)) if found else None
    if scheme == "BLF-CRYPT":
        found = re.match(r"\$2[abxy]\$(\d\d)\$", rest)
        return Cost(int(found[1])) if found else None
    if scheme == "ARGON2ID":
        found = re.match(r"\$argon2id\$v=\d+\$m=(\d+),t=(\d+),p=\d+\$", rest)
        return Cost(int(found[2]), int(found[1])) if found else None
    return None


def is_below(hash: str, scheme: str, cost: Cost) -> bool:
    """Whether a hash is of another scheme, or costs less in any part than a setting asks for."""
    found = cost_of(hash)
    return (
        scheme_of(hash) != scheme
        or found is None
        or any(have < wanted for have, wanted in zip(found, cost, strict=True))
    )
