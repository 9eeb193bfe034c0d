"""How much a mailbox may hold: the one answer for all that show it. Pure.

An extra field beats the entry of `dovecot-quotas.cf`, and that beats the default of the server.
What a field means depends on the version of Dovecot (compile/fields_2_*.py).
"""

from collections.abc import Mapping
from typing import NamedTuple

from mailroster.base.sizes import size_bytes
from mailroster.roster.dovecot.fields import Form, Limit
from mailroster.roster.dovecot.served import served_fields
from mailroster.roster.dovecot.versions import VERSIONS, form
from mailroster.roster.formats.accounts import Account
from mailroster.roster.roster import Roster

__all__ = ["Default", "Limit", "default", "limit_of"]

_PREFIX = "userdb_"


class Default(NamedTuple):
    """What a server limits where an account has no limit of its own: for each version of Dovecot
    that may be meant, its settings of the quota by name."""

    settings: Mapping[str, Mapping[str, str]]


def default(size: int, version: str = "") -> Default:
    """The default of so many bytes (0 = unlimited), of a version of Dovecot; "" = of any."""
    return Default(
        {name: form(name).default(size) for name in ([version] if version else VERSIONS)}
    )


def limit_of(roster: Roster, address: str, by_default: Default, mail: str = "") -> Limit:
    """The limit of an account. `mail` is the mail folder (Router.mail).

    Its size is None where only Dovecot can tell, or two versions of it, of which nobody knows which
    one is meant, would tell different things.
    """
    found = {_limit(roster, address, *each, mail) for each in by_default.settings.items()}
    sizes = {limit[:2] for limit in found}
    first = min(found, key=lambda limit: limit.field or "~")
    return first if len(sizes) == 1 else first._replace(size=None, messages=0)


def _limit(
    roster: Roster, address: str, version: str, settings: Mapping[str, str], mail: str
) -> Limit:
    its = form(version)
    account, quota = roster.accounts.get(address), roster.quotas.get(address)
    if account is None or not account.extra:
        if quota is not None:
            return Limit(size_bytes(quota.size))
        return its.limit(settings)._replace(is_default=True)
    own = _settings(its, its.fields(account.extra).written)
    served = _settings(its, served_fields(roster, account, version, mail).written)
    without = {name: value for name, value in served.items() if name not in own}
    limit, plain = its.limit({**settings, **served}), its.limit({**settings, **without})
    replaces = any(f"{_PREFIX}{name}" in its.QUOTAS for name in own)
    field = _field(account) if replaces or limit[:2] != plain[:2] else ""
    return limit._replace(is_default=quota is None and not field, field=field)


def _settings(its: Form, written: Mapping[str, str]) -> dict[str, str]:
    """Those of some fields that limit a mailbox, by the names of the settings."""
    named = ((name.removeprefix(_PREFIX), field) for name, field in written.items())
    return {name: field.partition("=")[2] for name, field in named if its.is_limit(name)}


def _field(account: Account) -> str:
    """The first extra field that says something of a limit, in the form of any version."""
    names = (name.replace("plugin/", "") for name, _ in account.fields())
    plain = (name for name in names if name.startswith(_PREFIX))
    its = tuple(map(form, VERSIONS))
    return next(n for n in plain if any(i.is_limit(n.removeprefix(_PREFIX)) for i in its))
