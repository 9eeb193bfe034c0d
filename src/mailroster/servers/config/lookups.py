"""The lookup tables and restrictions of main.cf (postconf(5)), the same for a private Postfix and a
host's own. Pure text."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.routing.lookups import DISCARD_DOMAIN

_TABLES = (
    "generation", "domains", "mailboxes", "aliases", "senders", "catch_all_senders", "send_access",
    "receive_access", "roles", "local_aliases", "relays", "relay_passwords",
)  # fmt: skip

#: The questions to our policy service, as its policy_context: whether a recipient exists; whether
#: its mailboxes have room; whether a user may send as an address; the same for the addresses of a
#: catch-all; whether the account of a session may still log in.
RECIPIENT, QUOTA, SENDER, CATCH_ALL = "recipient", "quota", "sender", "catch-all"
LOGIN = "login"

#: Lists in which an administrator can name tables with more recipients.
RECIPIENT_MAPS = frozenset(
    (
        "virtual_alias_maps", "virtual_mailbox_maps", "transport_maps", "canonical_maps",
        "recipient_canonical_maps",
    )
)  # fmt: skip
#: Parameters of main.cf with which an administrator can route mail past our tables.
_OTHER_ROUTES = RECIPIENT_MAPS | {"virtual_transport", "recipient_delimiter"}


class Lookups(NamedTuple):
    """Values of main.cf: lists of tables and of restrictions."""

    domains: list[str]
    mailboxes: list[str]
    aliases: list[str]
    sender_logins: list[str]
    #: Restrictions of who may send at all; also for users who log in.
    senders: list[str]
    recipients: list[str]
    relays: list[str]
    #: The transport of mail that is neither for a mailbox nor for another server.
    transports: list[str]
    #: Changes to the commands of clients.
    commands: list[str]
    #: The settings with which Postfix logs in to a relay, by name.
    relay_logins: dict[str, str]


def lookups(settings: Settings, layout: Layout) -> Lookups:
    """The values of main.cf; tables and restrictions are in the order that they need."""
    table = {name: f"lmdb:{layout.table(name)}" for name in _TABLES}
    regexp = f"pcre:{layout.table('regexp')}"
    spellings = f"pcre:{layout.table('spellings')}"
    # The generation is first: when it is renamed, new sessions open all tables again. Each mailbox
    # is mapped to itself, so that a catch-all never gets its mail.
    aliases = [table["generation"], spellings, table["aliases"], regexp, table["mailboxes"]]
    aliases += [table["roles"], table["local_aliases"]]
    # Postfix stops at the first table of a list that has an answer; a union queries all of its.
    senders = [table["senders"], table["catch_all_senders"]]
    logins = f"unionmap:{{{', '.join(senders)}}}" if settings.spoof_catch_all else senders[0]
    return Lookups(
        [table["domains"]],
        [table["mailboxes"]],
        aliases,
        [logins, table["mailboxes"], regexp],
        # By the login as well, so that an alias does not bypass it.
        [
            f"check_sender_access {table['send_access']}",
            f"check_sasl_access {table['send_access']}",
        ],
        [f"check_recipient_access {table['receive_access']}"],
        [table["relays"]],
        [f"inline:{{ {{{DISCARD_DOMAIN}=discard:}} }}"],
        # So all restrictions, and Dovecot, get an address in the spelling of the tables.
        [spellings],
        {
            "smtp_sasl_password_maps": table["relay_passwords"],
            "smtp_sender_dependent_authentication": "yes",
            "smtp_sasl_security_options": "noanonymous, noplaintext",
            "smtp_sasl_tls_security_options": "noanonymous",
        },
    )


def recipient_questions(settings: Settings, *, exists: bool = True) -> str:
    """The questions to our policy service about recipients, "" for none. `exists`: whether it knows
    every table that may contain the recipient."""
    questions = {RECIPIENT: exists, QUOTA: settings.enable_quotas}
    return "+".join(name for name, is_on in questions.items() if is_on)


def without_recipient_check(main_cf: str, names: Iterable[str]) -> str:
    """A main.cf in which an override sets parameters of some names. If they can add recipients that
    our policy service does not know, it is not asked whether a recipient exists."""
    if _OTHER_ROUTES.isdisjoint(names):
        return main_cf
    return re.sub(rf"(policy_context=){RECIPIENT}\+?", r"\1", main_cf)


def sender_questions(settings: Settings) -> str:
    """The questions to our policy service about senders."""
    return f"{SENDER}+{CATCH_ALL}" if settings.spoof_catch_all else SENDER


def policy(layout: Layout, context: str, default_action: str = "DUNNO") -> str:
    """A query of our policy service, which answers within half of the time limit."""
    more = f", policy_context={context}"
    return _query(layout.from_postfix(layout.policy), 3, default_action, more)


def login_check(layout: Layout) -> str:
    """The query whether the account of a session may still log in. Postfix tries it twice: with one
    try, an smtpd uses a connection that the service has closed until its session ends."""
    more = f", policy_context={LOGIN}"
    return _query(layout.from_postfix(layout.policy), 2, more=more, tries=2)


def quota_status(layout: Layout) -> str:
    """A query of Dovecot, which knows a mailbox only by its own name."""
    return _query(layout.from_postfix(layout.quota_status), 5)


def _query(
    socket: str, timeout_s: int, default_action: str = "DUNNO", more: str = "", tries: int = 1
) -> str:
    """A policy service that can't stop mail: one that is down or slow counts as no answer."""
    limits = f"timeout={timeout_s}s, default_action={default_action}"
    limits += f", try_limit={tries}, retry_delay=1s"
    return f"check_policy_service {{ unix:{socket}, {limits}{more} }}"
