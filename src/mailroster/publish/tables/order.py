"""All tables, in the order in which their additions become visible.

Removals go in the opposite order, so that no row names an address without a row of its own: Postfix
would send mail for a domain that it does not know yet to another server.
"""

from mailroster.publish.tables import dovecot, postfix, relays
from mailroster.publish.tables.table import Table

POSTFIX: tuple[Table, ...] = (
    postfix.LOCKED, postfix.SENDERS, postfix.CATCH_ALL_SENDERS, postfix.SEND_ACCESS,
    postfix.RECEIVE_ACCESS, relays.PASSWORDS, relays.RELAYS, postfix.MAILBOXES, postfix.DOMAINS,
    postfix.ROLES, postfix.ALIASES, postfix.LOCAL_ALIASES, postfix.REGEXP, postfix.SPELLINGS,
)  # fmt: skip
#: Tables by which Postfix routes mail, where a row of one may name a row of another.
ROUTING = (postfix.ROLES, postfix.ALIASES, postfix.LOCAL_ALIASES, postfix.REGEXP)


def dovecot_tables(version: str) -> tuple[Table, ...]:
    """Dovecot's tables, for a version of Dovecot."""
    return (
        dovecot.Exceptions(version),
        dovecot.SpeltExceptions(version),
        dovecot.ExceptionsByService(version),
        dovecot.Accounts(version),
        dovecot.APP_PASSWORDS,
        dovecot.MASTERS,
        dovecot.SPELLINGS,
    )


def tables_for(version: str) -> tuple[Table, ...]:
    """All tables, for a version of Dovecot."""
    return (*dovecot_tables(version), *POSTFIX)
