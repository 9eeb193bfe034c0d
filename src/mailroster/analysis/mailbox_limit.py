"""The quota in force of a mailbox, for every part that shows it. Pure.

An extra field takes precedence over the entry of `dovecot-quotas.cf`, and this one over the default
of the server. The meaning of a field depends on the version of Dovecot
(roster/dovecot/fields_2_*.py).
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
    """The limit of accounts without a limit of their own: for each version of Dovecot that may be
    meant, its quota settings by name."""

    settings: Mapping[str, Mapping[str, str]]


def default(size: int, version: str = "") -> Default:
    """The default for a size in bytes (0 = unlimited) and a version of Dovecot ("" = any)."""
    return Default(
        {name: form(name).default(size) for name in ([version] if version else VERSIONS)}
    )


def limit_of(roster: Roster, address: str, by_default: Default, mail: str = "") -> Limit:
    """The limit of an account. `mail` is the mail folder (Router.mail).

    Its size is None if only Dovecot can tell, or if the versions that may be meant differ.
    """
    limits = {_limit(roster, address, *each, mail) for each in by_default.settings.items()}
    sizes = {(limit.size, limit.messages) for limit in limits}
    first = min(limits, key=lambda limit: limit.field or "~")
    return first if len(sizes) == 1 else first._replace(size=None, messages=0)


def _limit(
    roster: Roster, address: str, version: str, settings: Mapping[str, str], mail: str
) -> Limit:
    dialect = form(version)
    account, quota = roster.accounts.get(address), roster.quotas.get(address)
    if account is None or not account.extra:
        if quota is not None:
            return Limit(size_bytes(quota.size))
        return dialect.limit(settings)._replace(is_default=True)
    own = _settings(dialect, dialect.fields(account.extra).written)
    served = _settings(dialect, served_fields(roster, account, version, mail).written)
    without = {name: value for name, value in served.items() if name not in own}
    limit = dialect.limit({**settings, **served})
    plain = dialect.limit({**settings, **without})
    differs = (limit.size, limit.messages) != (plain.size, plain.messages)
    replaces = any(f"{_PREFIX}{name}" in dialect.QUOTAS for name in own)
    field = _field(account) if replaces or differs else ""
    return limit._replace(is_default=quota is None and not field, field=field)


def _settings(dialect: Form, written: Mapping[str, str]) -> dict[str, str]:
    """The fields that limit a mailbox, by the names of the settings."""
    named = ((name.removeprefix(_PREFIX), field) for name, field in written.items())
    return {name: field.partition("=")[2] for name, field in named if dialect.is_limit(name)}


def _field(account: Account) -> str:
    """The first extra field that limits a mailbox in any version."""
    names = (name.replace("plugin/", "") for name, _ in account.fields())
    plain = (name for name in names if name.startswith(_PREFIX))
    forms = tuple(map(form, VERSIONS))
    return next(n for n in plain if any(f.is_limit(n.removeprefix(_PREFIX)) for f in forms))
