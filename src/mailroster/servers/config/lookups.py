"""The values by which a Postfix reads the tables (postconf(5)): those of a private one, and of one
that somebody else configures. Pure text."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.routing.router import DISCARD_DOMAIN

_TABLES = (
    "generation", "domains", "mailboxes", "aliases", "senders", "catch_all_senders", "send_access",
    "receive_access", "roles", "local_aliases", "relays", "relay_passwords",
)  # fmt: skip


#: What our policy service is asked, as its policy_context: whether a recipient exists, whether its
#: mailboxes have room; whether a user may send as an address, and as what a catch-all takes; and
#: whether the account of a session may still log in.
RECIPIENT, QUOTA, SENDER, CATCH_ALL = "recipient", "quota", "sender", "catch-all"
LOGIN = "login"


#: Lists in which an administrator can name tables of other recipients.
RECIPIENT_MAPS = frozenset(
    (
        "virtual_alias_maps", "virtual_mailbox_maps", "transport_maps", "canonical_maps",
        "recipient_canonical_maps",
    )
)  # fmt: skip
#: Parameters of main.cf by which an administrator can route mail past our tables.
_OTHER_ROUTES = RECIPIENT_MAPS | {"virtual_transport", "recipient_delimiter"}


class Lookups(NamedTuple):
    """Lists of tables and restrictions."""

    domains: list[str]
    mailboxes: list[str]
    aliases: list[str]
    sender_logins: list[str]
    #: Who may send anything at all; it holds for those who log in, too.
    senders: list[str]
    recipients: list[str]
    relays: list[str]
    #: How mail leaves that is neither for a mailbox nor for another server.
    transports: list[str]
    #: What changes the commands of clients.
    commands: list[str]
    #: What makes a client of a relay log in, as settings by name.
    relay_logins: dict[str, str]


def lookups(settings: Settings, layout: Layout) -> Lookups:
    """All of them, in the order in which they must be asked."""
    table = {name: f"lmdb:{layout.table(name)}" for name in _TABLES}
    regexp = f"pcre:{layout.table('regexp')}"
    spellings = f"pcre:{layout.table('spellings')}"
    # The generation comes first: renaming it makes new sessions look at everything anew. Each of
    # the mailboxes is mapped to itself, so that a catch-all never gets to see their mail.
    aliases = [table["generation"], spellings, table["aliases"], regexp, table["mailboxes"]]
    aliases += [table["roles"], table["local_aliases"]]
    # A list ends with the first table that has an answer; a union asks all of its own.
    senders = [table["senders"], table["catch_all_senders"]]
    logins = f"unionmap:{{{', '.join(senders)}}}" if settings.spoof_catch_all else senders[0]
    return Lookups(
        [table["domains"]],
        [table["mailboxes"]],
        aliases,
        [logins, table["mailboxes"], regexp],
        # An alias is no way around it.
        [
            f"check_sender_access {table['send_access']}",
            f"check_sasl_access {table['send_access']}",
        ],
        [f"check_recipient_access {table['receive_access']}"],
        [table["relays"]],
        [f"inline:{{ {{{DISCARD_DOMAIN}=discard:}} }}"],
        # So that all restrictions, and Dovecot, see an address as the tables have it.
        [spellings],
        {
            "smtp_sasl_password_maps": table["relay_passwords"],
            "smtp_sender_dependent_authentication": "yes",
            "smtp_sasl_security_options": "noanonymous, noplaintext",
            "smtp_sasl_tls_security_options": "noanonymous",
        },
    )


def recipient_questions(settings: Settings, *, exists: bool = True) -> str:
    """What our policy service is asked about recipients, "" for nothing. `exists`: whether it knows
    every table that may have the recipient."""
    return "+".join([RECIPIENT] * exists + [QUOTA] * settings.enable_quotas)


def without_recipient_check(main_cf: str, names: Iterable[str]) -> str:
    """A main.cf whose settings of some names are somebody else's: if our policy service can't know
    every recipient then, it is not asked whether one exists."""
    if _OTHER_ROUTES.isdisjoint(names):
        return main_cf
    return re.sub(rf"(policy_context=){RECIPIENT}\+?", r"\1", main_cf)


def sender_questions(settings: Settings) -> str:
    """What our policy service is asked about senders."""
    return f"{SENDER}+{CATCH_ALL}" if settings.spoof_catch_all else SENDER


def policy(layout: Layout, context: str, default_action: str = "DUNNO") -> str:
    """A question to our policy service, which takes half as long at the most."""
    more = f", policy_context={context}"
    return _asked(layout.from_postfix(layout.policy), 3, default_action, more)


def login_check(layout: Layout) -> str:
    """The question whether the account of a session may still log in. Postfix tries it twice: with
    one try, an smtpd keeps a connection that the service has closed until its session ends."""
    more = f", policy_context={LOGIN}"
    return _asked(layout.from_postfix(layout.policy), 2, more=more, tries=2)


def quota_status(layout: Layout) -> str:
    """A question to Dovecot itself, which knows the mailboxes under their very names."""
    return _asked(layout.from_postfix(layout.quota_status), 5)


def _asked(
    socket: str, timeout_s: int, default_action: str = "DUNNO", more: str = "", tries: int = 1
) -> str:
    """A policy service that can stop no mail: one that is down, slow or mad says nothing."""
    limits = f"timeout={timeout_s}s, default_action={default_action}"
    limits += f", try_limit={tries}, retry_delay=1s"
    return f"check_policy_service {{ unix:{socket}, {limits}{more} }}"
