"""`postfix-relaymap.cf`: the relay for the mail of each sender.

    relay = sender [ destination *( separator destination ) ]

    @example.com   [smtp.provider.test]:587
    @intern.test

The sender is `@domain` or `user@domain`, the more specific one wins; a destination is
`[host]:port`, or without brackets a domain whose MX is used (transport(5), "nexthop"). Several are
separated by commas and blanks and tried in order. The mail of a sender without a destination is
never relayed: it goes directly to the servers of its recipients. A line that starts with a blank
continues the one before.
"""

import re
from typing import NamedTuple

from mailroster.base import address
from mailroster.base.findings import COMMENT_BEHIND, ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.lookup_table import LookupTable

#: A host or its address in brackets, or a domain; then a port, by number or by name.
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?"
_DESTINATION = (
    rf"(?:\[(?:{_HOST}|(?:ipv6:)?[0-9A-Fa-f:.]+)\]|{_HOST})(?::([a-z][a-z0-9-]*|[0-9]+))?"
)
_PORT_MAX = 65535


class Relay(NamedTuple):
    sender: str  # `@domain` or `user@domain`
    destinations: tuple[str, ...]  # none: never relayed


class Relaymap(LookupTable[Relay]):
    file = "postfix-relaymap.cf"

    def parse(self, line: str) -> Relay:
        written, text = self.words(line)
        key = sender(written)
        return Relay(key, tuple(destination(word) for word in text.replace(",", " ").split()))


RELAYMAP = Relaymap()


def sender(text: str) -> str:
    """The sender in both files of relays: `@domain` or `user@domain`. Raises ParseError."""
    key = address.alias(text)
    if "@" not in key:
        raise ParseError("malformed-sender", f"{text!r} is not a sender", "write @example.com")
    return key


def destination(text: str) -> str:
    """A destination in the form of transport(5). Raises ParseError."""
    match = re.fullmatch(_DESTINATION, text)
    if match is None:
        hint = COMMENT_BEHIND if text[:1] == "#" else "write [host]:port"
        raise ParseError("malformed-relay", f"{text!r} is not a mail server", hint)
    port = match[1] or ""
    if port.isdigit() and not 0 < int(port[:6]) <= _PORT_MAX:
        raise ParseError("malformed-relay", f"{text!r} has an invalid port", "write [host]:587")
    return text


def line(relay: Relay) -> str:
    """A relay as a line of the file."""
    return " ".join(filter(None, (relay.sender, ", ".join(relay.destinations))))


def put(document: Document[Relay], relay: Relay) -> Document[Relay]:
    """Sets the relay of a sender; its line is changed in place, or appended."""
    position = document.position(relay.sender)
    if position is None:
        return document.append(line(relay))
    if document.get(relay.sender) == relay:
        return document
    return document.replace(position, line(relay))
