"""The extra fields of an account in the form of one version of Dovecot. Pure.

The config files may have the forms of all versions. Each version gets its own form; a field that
has no form in a version is reported (`LostField`). If both forms are present, each version gets its
own.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

#: The owner of the mail on disk: all accounts have the same, so the tables leave these out.
OWNER = frozenset(("userdb_uid", "userdb_gid", "userdb_mail_uid", "userdb_mail_gid"))

#: The protocols that the password of the account opens: for us, not for Dovecot.
SERVICES = "services"
#: The fields that Dovecot does not get.
NOT_SERVED = OWNER | {SERVICES}

#: A limit that no mailbox reaches. Without any limit Dovecot has no quota root, and replies to
#: GETQUOTAROOT with none, but clients expect one (RFC 9208).
MESSAGES_MAX = (1 << 31) - 1
#: A variable that no Dovecot has. With it in a field, the lookup of this account fails temporarily:
#: its mail is deferred. Without the field, its mail would be delivered to another place.
WAITS = "%{not_carried_over}"


class LostField(NamedTuple):
    """A field without a form in a version: its name, the reason, and whether the mail of the
    account waits."""

    name: str
    why: str
    waits: bool = False


class Fields(NamedTuple):
    """Extra fields by name, each as `name=value` or `name`, and the fields that are lost."""

    written: dict[str, str]
    lost: tuple[LostField, ...]

    def value(self, name: str) -> str | None:
        """The value of a field; "" if it has no value, None if it isn't set."""
        written = self.written.get(name)
        return None if written is None else written.partition("=")[2]


class Limit(NamedTuple):
    """The quota of a mailbox. `size` in bytes: 0 = unlimited, None = only Dovecot knows.
    `messages`: their number, 0 = unlimited. `field`: the name of the extra field that sets it, or
    "" if it is from `dovecot-quotas.cf` or `is_default`."""

    size: int | None
    messages: int = 0
    is_default: bool = False
    field: str = ""


class Form(Protocol):
    """The form of extra fields in one version; a module has this interface."""

    #: Fields of userdb that are columns -> the column.
    COLUMNS: dict[str, str]
    #: The field for the quota of `dovecot-quotas.cf`, and the fields that override it.
    QUOTA: str
    QUOTAS: tuple[str, ...]

    def quota(self, size: str) -> str:
        """The value of QUOTA for a size of `dovecot-quotas.cf`."""

    def fields(self, extra: str) -> Fields:
        """The extra fields of an account in this form."""

    def default(self, size_bytes: int) -> dict[str, str]:
        """The settings of a server with this default quota (0 = unlimited)."""

    def is_limit(self, name: str) -> bool:
        """Whether a setting limits a mailbox."""

    def limit(self, settings: Mapping[str, str]) -> Limit:
        """The limit that several settings mean together; is_limit is true for each."""
