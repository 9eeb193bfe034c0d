"""Answers of the DNS as values (RFC 1035).

Names are in lower case and in A-labels, without the dot at the end; the root is `.`. A record is a
tuple of its fields, as text: `("10", "mail.example.com")` for MX. A TXT record has one field, its
strings joined.
"""

from collections.abc import Callable
from typing import NamedTuple

#: The status of an answer: the name exists (with or without records of the type), it does not
#: exist (NXDOMAIN), or there is no usable answer.
ANSWERED, NO_NAME, FAILED = "answered", "no name", "failed"
ROOT = "."
#: The longest shown part of an answer, in characters: other people write it.
SHOWN_MAX = 100


class Answer(NamedTuple):
    """The answer to one question."""

    status: str
    records: tuple[tuple[str, ...], ...] = ()
    aliases: tuple[str, ...] = ()  # the targets of the CNAME records that were followed
    reason: str = ""  # of FAILED: SERVFAIL, no answer, …

    def first_fields(self) -> list[str]:
        """The first field of each record: the addresses, the texts or the names."""
        return [record[0] for record in self.records]


#: Asks for the records of a name and a type: `ask("example.com", "MX")`. It never raises for a
#: failed lookup.
Ask = Callable[[str, str], Answer]


class WebFile(NamedTuple):
    """A file of a web server: its content, or why it can't be read."""

    text: str
    fault: str = ""


class Dns(NamedTuple):
    """The DNS as checks use it, and the one file of the web that belongs to it."""

    ask: Ask
    #: Whether a validating resolver has authenticated the answers for a name (RFC 4035, the AD
    #: bit).
    is_secure: Callable[[str], bool] = lambda name: False
    #: The policy of MTA-STS on the web server `mta-sts.DOMAIN`; None if it was not read.
    sts_policy: Callable[[str], WebFile | None] = lambda domain: None


class Delegation(NamedTuple):
    """The zone of a domain and its name servers. `faults` has the reason for each server that gives
    no answer for the zone."""

    zone: str
    servers: tuple[str, ...]
    faults: tuple[tuple[str, str], ...] = ()
    is_bogus: bool = False  # the resolver refuses the answers, for their DNSSEC signatures


def is_within(name: str, zone: str) -> bool:
    """Whether a name is a zone, or below it."""
    return zone == ROOT or name == zone or name.endswith(f".{zone}")


def dotted(name: str) -> str:
    """A name with the dot at its end, as zone files have it."""
    return name if name == ROOT else f"{name}."
