"""The extra fields of an account as a version of Dovecot has them. Pure.

In the folder the forms of all versions may stand; each version is served its own, and what it has
no form for is told (`Lost`). Where both forms of one thing stand, a version is served its own.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

#: Whose mail is on disk: there is one owner for all, so these are left out of the tables.
OWNER = frozenset(("userdb_uid", "userdb_gid", "userdb_mail_uid", "userdb_mail_gid"))

#: A limit that no mailbox reaches. Without any limit Dovecot has no quota root to show, and answers
#: GETQUOTAROOT with none at all, where clients expect one (RFC 9208).
MESSAGES_MAX = (1 << 31) - 1
#: A variable that no Dovecot has: with it in a field, the lookup of that one account fails for now,
#: so that its mail waits, where without the field it would be somewhere else.
WAITS = "%{not_carried_over}"


class Lost(NamedTuple):
    """What a version can't be told: the name of a field; why; and whether the account waits."""

    name: str
    why: str
    waits: bool = False


class Fields(NamedTuple):
    """Extra fields by name, each as it is written, and what is lost of them."""

    written: dict[str, str]
    lost: tuple[Lost, ...]

    def value(self, name: str) -> str | None:
        """A field's value; "" if it is set to nothing, None if it isn't set."""
        written = self.written.get(name)
        return None if written is None else written.partition("=")[2]


class Limit(NamedTuple):
    """How much a mailbox may hold. `size` in bytes: 0 = unlimited, None = only Dovecot can tell.
    `messages`: how many, 0 = any number. `field`: the name of the extra field that sets it, "" if
    none does; then it is that of `dovecot-quotas.cf`, or `is_default`."""

    size: int | None
    messages: int = 0
    is_default: bool = False
    field: str = ""


class Form(Protocol):
    """The form of one version: a module."""

    #: Fields of userdb that are columns -> the column.
    COLUMNS: dict[str, str]
    #: The field for the quota of `dovecot-quotas.cf`, and those that take its place.
    QUOTA: str
    QUOTAS: tuple[str, ...]

    def quota(self, size: str) -> str:
        """The value of a quota of so much, in the units of `dovecot-quotas.cf`."""

    def fields(self, extra: str) -> Fields:
        """The extra fields of an account in this form."""

    def default(self, size_bytes: int) -> dict[str, str]:
        """The settings of a server whose mailboxes may hold so much by default (0 = unlimited)."""

    def is_limit(self, name: str) -> bool:
        """Whether a setting says how much a mailbox may hold."""

    def limit(self, settings: Mapping[str, str]) -> Limit:
        """What settings mean together, of which is_limit is true for each."""
