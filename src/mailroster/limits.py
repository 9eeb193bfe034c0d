"""How much a mailbox may hold, by the files alone."""

from mailroster.address import Address
from mailroster.quota import UNITS, size_bytes
from mailroster.roster import Roster
from mailroster.values import NamedTuple


class Limit(NamedTuple):
    """`size` in bytes, 0 = unlimited, None = only Dovecot can tell; or the server's default."""

    size: int | None
    is_default: bool = False


def limit_of(roster: Roster, address: Address, default_bytes: int) -> Limit:
    """The limit of an account: of its extra fields, else of its quota, else the default."""
    account = roster.accounts.get(address)
    fields = dict(account.fields()) if account is not None else {}
    rule = fields.get("userdb_quota_rule")
    if rule is not None:
        return Limit(_limit_of_rule(rule))
    quota = roster.quotas.get(address)
    if quota is not None:
        return Limit(size_bytes(quota.size))
    return Limit(default_bytes, is_default=True)


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
