"""A name server for the TXT records of DKIM keys."""

import re
from collections.abc import Iterator

import dns.resolver
import pytest

from tests.support.name_server import SERVFAIL, NameServer, parsed


class Dns(NameServer):
    """`texts`: the strings of each TXT record by its name, without the final dot; None for a name
    that the server fails to answer (SERVFAIL)."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, list[str] | None] = {}

    def _reply(self, wire: bytes, size: int) -> bytes:
        strings = {name: parts for name, parts in self.texts.items() if parts is not None}
        lines = (f"{name}. TXT {_quoted(parts)}" for name, parts in strings.items())
        self.records = parsed("\n".join(lines))
        self.faults = dict.fromkeys(self.texts.keys() - strings.keys(), SERVFAIL)
        return super()._reply(wire, size)

    def publish(self, shown: str) -> None:
        """Adds the TXT records that `setup config dkim` prints: `NAME. IN TXT ( "…" "…" )`."""
        for name, strings in re.findall(r'^(\S+)\. IN TXT \( "(.*)" \)$', shown, re.MULTILINE):
            self.texts[name.lower()] = strings.split('" "')

    def txt(self, name: bytes, timeout: int = 5) -> bytes:
        """The TXT record of a name, as dkimpy asks for it; by a real query."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = [self.address], self.port
        try:
            answer = resolver.resolve(name.decode(), "TXT", lifetime=timeout)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.resolver.NoNameservers):
            return b""
        return b"".join(next(iter(answer)).strings)


@pytest.fixture(scope="module", name="dns")
def dns_fixture() -> Iterator[Dns]:
    with Dns().running() as server:
        yield server


def _quoted(strings: list[str]) -> str:
    return " ".join(f'"{part}"' for part in strings)
