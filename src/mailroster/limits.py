"""How much a mailbox may hold, by the files alone."""

from mailroster.address import Address
from mailroster.quota import UNITS, size_bytes
from mailroster.roster import Roster
from mailroster.values import NamedTuple

#: Dovecot 2.3 has a rule, 2.4 a size, of which the one for the quota by its name counts first.
_RULE = "userdb_quota_rule"
_SIZES = ("userdb_quota/user/storage_size", "userdb_quota_storage_size")


class Limit(NamedTuple):
    """`size` in bytes, 0 = unlimited, None = only Dovecot can tell; or the server's default."""

    size: int | None
    is_default: bool = False


def limit_of(roster: Roster, address: Address, default_bytes: int) -> Limit:
    """The limit of an account: of its extra fields, else of its quota, else the default."""
    account = roster.accounts.get(address)
    fields = dict(account.fields()) if account is not None else {}
    said = [_limit_of_rule(fields[name]) for name in (_RULE,) if name in fields]
    said += [_size(fields[name]) for name in _SIZES if name in fields]
    if said:
        # Of the forms of two versions Dovecot follows its own.
        return Limit(said[0] if len(set(said)) == 1 else None)
    quota = roster.quotas.get(address)
    if quota is not None:
        return Limit(size_bytes(quota.size))
    return Limit(default_bytes, is_default=True)


def _size(value: str) -> int | None:
    """Bytes of a size of Dovecot 2.4."""
    digits, unit = value.rstrip("BkKMGT"), value[-1:]
    units = {name.upper(): size for name, size in UNITS.items()}
    return int(digits) * units.get(unit.upper(), 1) if digits.isdecimal() else None


def _limit_of_rule(rule: str) -> int | None:
    """Bytes of a `quota_rule` for all mailboxes (doc.dovecot.org/2.3, quota); of two the last."""
    place, *limits = rule.split(":")
    found = None
    for name, _, value in (limit.lower().partition("=") for limit in limits):
        unit = value[-1:]
        digits = value.rstrip("bkmgt")
        if place != "*" or name not in ("storage", "bytes") or not digits.isdecimal():
            continue
        units = {name.lower(): size for name, size in UNITS.items()}
        found = int(digits) * units.get(unit, 1024 if name == "storage" else 1)
    return found
