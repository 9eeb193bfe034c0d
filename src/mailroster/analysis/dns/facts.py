"""The facts from which the records of a domain follow."""

import ipaddress
import re
from collections.abc import Mapping
from typing import NamedTuple

from mailroster.analysis.dns.dkim_record import DkimKey
from mailroster.base.settings import Settings
from mailroster.roster.roster import Roster

#: The ports of clients: the setting, and the service in the name of the SRV record (RFC 6186, RFC
#: 8314, RFC 5804).
SERVICES = (
    ("submissions", "_submissions._tcp"),
    ("submission", "_submission._tcp"),
    ("imaps", "_imaps._tcp"),
    ("imap", "_imap._tcp"),
    ("pop3s", "_pop3s._tcp"),
    ("pop3", "_pop3._tcp"),
    ("sieve", "_sieve._tcp"),
)
#: The names in CAA records (RFC 8659), by the organisation in the issuer of a certificate.
CAS = {
    "Let's Encrypt": "letsencrypt.org",
    "ZeroSSL": "sectigo.com",
    "Sectigo Limited": "sectigo.com",
    "Google Trust Services": "pki.goog",
    "DigiCert Inc": "digicert.com",
    "GlobalSign nv-sa": "globalsign.com",
    "SSL Corporation": "ssl.com",
    "Actalis S.p.A.": "actalis.it",
}
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3"),
            *("::/127", "::ffff:0:0/96", "fc00::/7", "fe80::/10", "ff00::/8"),
        ),
    )
)
_PREFERRED_CA = "letsencrypt.org"


class Machine(NamedTuple):
    """What only the machine knows. Empty values are not known."""

    addresses: tuple[str, ...] = ()  # by which the internet reaches it
    keys: tuple[DkimKey, ...] = ()
    issuer: str = ""  # the organisation in the issuer of the TLS certificate
    tls_keys: tuple[str, ...] = ()  # SHA-256 of the certificates' public keys, in hexadecimal


class Facts(NamedTuple):
    """The facts about one domain and the server that has its mail."""

    domain: str
    host: str
    machine: Machine
    ports: Mapping[str, int]  # service of SERVICES -> port
    relays: tuple[str, ...]  # hosts through which its mail leaves; none: directly
    reports: str  # the address for reports of other servers, or ""
    ca: str  # the name of the certificate authority in CAA records, or ""


def facts_of(domain: str, roster: Roster, settings: Settings, machine: Machine) -> Facts:
    """The facts about a domain in A-labels."""
    host = settings.hostname.lower()
    ports = {service: getattr(settings, f"{name}_port") for name, service in SERVICES}
    ca = CAS.get(machine.issuer, "")
    if settings.tls_type == "letsencrypt" and not machine.issuer:
        ca = _PREFERRED_CA
    return Facts(
        domain, host, machine, {name: port for name, port in ports.items() if port},
        _relays(domain, roster, settings), _reports(domain, roster, settings), ca,
    )  # fmt: skip


def _relays(domain: str, roster: Roster, settings: Settings) -> tuple[str, ...]:
    """The hosts of the relays of a domain; of an excluded domain none."""
    relay = roster.relaymap.get(f"@{domain}")
    words = settings.relayhost.replace(",", " ").split() if relay is None else relay.destinations
    return tuple(dict.fromkeys(map(_host, words)))


def _host(destination: str) -> str:
    """The host of `[host]:port` or `host:port`, without the mark of an IPv6 address."""
    match = re.fullmatch(r"\[(?:ipv6:)?([^]]*)\].*", destination, re.IGNORECASE)
    return match[1] if match else destination.partition(":")[0]


def _reports(domain: str, roster: Roster, settings: Settings) -> str:
    """`postmaster@` of the domain if it receives mail; else ""."""
    address = f"postmaster@{domain}"
    receives = (
        settings.postmaster_address
        or address in roster.accounts
        or any(roster.alias(key) for key in (address, f"@{domain}"))
    )
    return address if receives else ""


def is_public(address: str) -> bool:
    """Whether the internet can reach an IP address (RFC 6890). Addresses for documentation count as
    public."""
    if not is_address(address):
        return False
    ip = ipaddress.ip_address(address)
    return not any(ip in network for network in _NOT_PUBLIC if network.version == ip.version)


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def family(address: str) -> str:
    """The type of the record of an address: A or AAAA."""
    return "AAAA" if ":" in address else "A"


def reverse_name(address: str) -> str:
    """The name of the PTR record of an address: `1.2.0.192.in-addr.arpa`."""
    return ipaddress.ip_address(address).reverse_pointer
