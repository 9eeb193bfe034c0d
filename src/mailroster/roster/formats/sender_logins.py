"""`postfix-sender-logins.cf`: the accounts that may also send as an address.

    grant = sender account *( separator account )

    press@example.com   john.doe@example.com, jane.doe@example.com

As in `postfix-virtual.cf`: accounts are separated by commas and blanks, a line that starts with a
blank continues the one before. The sender is `user@domain`, or `@domain` for all addresses of a
domain without an entry, alias or mailbox of their own (postconf(5), smtpd_sender_login_maps).
"""

from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base import address
from mailroster.base.address import Address
from mailroster.base.findings import ParseError
from mailroster.roster.formats.lookup_table import LookupTable


class Grant(NamedTuple):
    sender: str
    accounts: tuple[Address, ...]  # each once, in lower case


class SenderLogins(LookupTable[Grant]):
    file = "postfix-sender-logins.cf"

    def parse(self, line: str) -> Grant:
        written, text = self.words(line)
        granted = sender(written)
        # Postfix has stricter rules for a word than IDNA.
        words = map(address.recipient, text.replace(",", " ").split())
        accounts = dict.fromkeys(map(address.account, words))
        if not accounts:
            message = f"no account may send as {granted!r}"
            raise ParseError("no-account", message, "add the address of an account behind it")
        return Grant(granted, tuple(accounts))

    def mentions(self, entry: Grant) -> Iterable[tuple[str, str]]:
        return (address.split(account) for account in entry.accounts)

    def needles(self, user: str, domain: str) -> list[str]:
        return [f"{user}@" if address.is_idna(domain) else f"{user}@{domain}"]


SENDER_LOGINS = SenderLogins()


def sender(text: str) -> Address:
    """The sender of a grant: `user@domain` or `@domain`. Raises ParseError."""
    key = address.alias(text)
    if "@" not in key:
        message = f"{text!r} has no domain"
        raise ParseError(
            "malformed-address", message, "write user@example.com, or @example.com for all"
        )
    return key
