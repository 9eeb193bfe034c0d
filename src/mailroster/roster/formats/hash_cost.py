"""The cost of a password hash: that of a given hash, and that of the setting `password_cost`.

    cost = rounds                   SHA512-CRYPT: 1000 to 10000000, 5000 by default (crypt(5))
         | log2-of-rounds           BLF-CRYPT: 4 to 16, 5 by default (crypt(5))
         | "t=" passes ",m=" KiB    ARGON2ID: t=1 to 100, m=64 to 196608; t=3,m=65536 by default

The upper bounds are ours: a login costs as much as the hash did. Dovecot's auth process, limited to
256 MiB (default_vsz_limit), failed logins from m=262144 on.
"""

import re
from typing import NamedTuple

from mailroster.base.findings import UsageError
from mailroster.roster.formats.credentials import is_locked


class Cost(NamedTuple):
    """The cost of a hash. `rounds`: the rounds of SHA512-CRYPT, the binary logarithm of the rounds
    of BLF-CRYPT, or the passes of ARGON2ID over its memory of `memory_kib`."""

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
#: The marks of crypt(3) and argon2 at the start of a hash -> scheme.
_MARKS = {"$6$": "SHA512-CRYPT", "$2": "BLF-CRYPT", "$argon2id$": "ARGON2ID"}


def default_cost(scheme: str) -> Cost:
    """The cost of new hashes of a scheme without the setting."""
    return _BOUNDS[scheme].default


def parse_cost(scheme: str, text: str) -> Cost:
    """The cost in a text; the default of the scheme if it is empty. Raises UsageError."""
    least, default, most = _BOUNDS[scheme]
    if not text.strip():
        return default
    form = r"t=(\d{1,9}),m=(\d{1,9})" if least.memory_kib else r"(\d{1,9})"
    match = re.fullmatch(form, re.sub(r"[\s_]", "", text), re.ASCII)
    cost = Cost(*map(int, match.groups())) if match else None
    if cost is None or not all(
        low <= given <= high for low, given, high in zip(least, cost, most, strict=True)
    ):
        forms = (
            f"from {least} to {most}" if least.memory_kib else f"a number from {least} to {most}"
        )
        raise UsageError(f"password_cost: {text!r} is not a cost of {scheme}; write {forms}")
    return cost


def scheme_of(hash: str) -> str:
    """The scheme of a hash in capitals: from its name in braces or the mark of crypt(3); "" if it
    has neither."""
    match = _SCHEME.match(hash)
    named = match[1].upper() if match else ""
    rest = hash_behind(hash)
    if named in ("", "CRYPT"):
        marked = (scheme for mark, scheme in _MARKS.items() if rest.startswith(mark))
        return next(marked, named)
    return named


def hash_behind(hash: str) -> str:
    """The hash itself, behind its scheme and the mark of a lock."""
    match = _SCHEME.match(hash)
    rest = hash[match.end() :] if match else hash
    return rest.lstrip("!") if is_locked(hash) else rest


def cost_of(hash: str) -> Cost | None:
    """The cost of a hash; None for a scheme not in SCHEMES, or a hash that can't be read."""
    rest = hash_behind(hash)
    scheme = scheme_of(hash)
    if scheme == "SHA512-CRYPT":
        match = re.match(r"\$6\$(?:rounds=(\d+)\$)?", rest)
        return Cost(int(match[1] or 5000)) if match else None
    if scheme == "BLF-CRYPT":
        match = re.match(r"\$2[abxy]\$(\d\d)\$", rest)
        return Cost(int(match[1])) if match else None
    if scheme == "ARGON2ID":
        match = re.match(r"\$argon2id\$v=\d+\$m=(\d+),t=(\d+),p=\d+\$", rest)
        return Cost(int(match[2]), int(match[1])) if match else None
    return None


def is_below(hash: str, scheme: str, cost: Cost) -> bool:
    """Whether a hash has another scheme than the settings, or a lower cost in any part."""
    its_cost = cost_of(hash)
    return (
        scheme_of(hash) != scheme
        or its_cost is None
        or any(part < wanted for part, wanted in zip(its_cost, cost, strict=True))
    )
