"""`postfix-relaymap.cf`: through which server the mail of a sender leaves.

    relay = sender [ destination *( separator destination ) ]

    @example.com   [smtp.provider.test]:587
    @intern.test

The sender is `@domain` or `user@domain`, the more exact one wins; a destination is `[host]:port`,
or without brackets a domain whose MX is asked (transport(5), "nexthop"). Several are separated by
commas and blanks and tried in their order. A sender alone is never relayed: its mail goes straight
to where it is for. A line that starts with a blank continues the one before.
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
    """A sender as both files of a relay name it: `@domain` or `user@domain`. Raises ParseError."""
    key = address.alias(text)
    if "@" not in key:
        raise ParseError("malformed-sender", f"{text!r} is no sender", "write @example.com")
    return key


def destination(text: str) -> str:
    """A server, as transport(5) names one. Raises ParseError."""
    found = re.fullmatch(_DESTINATION, text)
    if found is None:
        hint = COMMENT_BEHIND if text[:1] == "#" else "write [host]:port"
        raise ParseError("malformed-relay", f"{text!r} is no server that takes mail", hint)
    port = found[1] or ""
    if port.isdigit() and not 0 < int(port[:6]) <= _PORT_MAX:
        raise ParseError(
            "malformed-relay", f"{text!r} has a port that none can have", "write [host]:587"
        )
    return text


def line(relay: Relay) -> str:
    """A relay as a line of the file."""
    return " ".join(filter(None, (relay.sender, ", ".join(relay.destinations))))


def put(document: Document[Relay], relay: Relay) -> Document[Relay]:
    """With what is said of one sender; a line that says it already is rewritten in its place."""
    position = document.position(relay.sender)
    if position is None:
        return document.append(line(relay))
    if document.get(relay.sender) == relay:
        return document
    return document.replace(position, line(relay))
