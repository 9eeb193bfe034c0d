"""The values by which a Postfix reads the tables (postconf(5)): those of a private one, and of one
that somebody else configures. Pure text."""

from mailroster.instance.layout import Layout
from mailroster.settings import Settings
from mailroster.values import NamedTuple

_TABLES = (
    "generation", "domains", "mailboxes", "aliases", "senders", "catch_all_senders", "send_access",
    "receive_access", "local_aliases", "relays", "relay_passwords",
)  # fmt: skip


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
    if settings.postmaster_address:
        aliases.append(f"inline:{{ {{root={settings.postmaster_address}}} }}")
    aliases.append(table["local_aliases"])
    if settings.postmaster_address:
        aliases.append(f"inline:{{ {{postmaster={settings.postmaster_address}}} }}")
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
        # So that all restrictions, and Dovecot, see an address as the tables have it.
        [spellings],
        {
            "smtp_sasl_password_maps": table["relay_passwords"],
            "smtp_sender_dependent_authentication": "yes",
            "smtp_sasl_security_options": "noanonymous, noplaintext",
            "smtp_sasl_tls_security_options": "noanonymous",
        },
    )


def policy(layout: Layout, context: str, default_action: str = "DUNNO") -> str:
    """A question to our policy service, which takes half as long at the most."""
    more = f", policy_context={context}"
    return _asked(layout.from_postfix(layout.policy), 3, default_action, more)


def quota_status(layout: Layout) -> str:
    """A question to Dovecot itself, which knows the mailboxes under their very names."""
    return _asked(layout.from_postfix(layout.quota_status), 5)


def _asked(socket: str, timeout_s: int, default_action: str = "DUNNO", more: str = "") -> str:
    """A policy service that can stop no mail: one that is down, slow or mad says nothing."""
    limits = f"timeout={timeout_s}s, default_action={default_action}, try_limit=1, retry_delay=1s"
    return f"check_policy_service {{ unix:{socket}, {limits}{more} }}"
