"""The DNS records that a domain needs, and whether it has them."""

import os
from collections.abc import Callable, Sequence

from mailroster.analysis.dns.dkim_record import DkimKey
from mailroster.analysis.dns.facts import Facts, Machine, facts_of, is_address, is_public
from mailroster.analysis.dns.sts import STS_PATH
from mailroster.app.home import Home
from mailroster.base.dns import Ask, WebFile
from mailroster.base.findings import Finding, Refused, ServerError
from mailroster.base.setting_rules import words
from mailroster.base.settings import NO_DOMAIN, Settings

#: The most keys of a domain that count.
_KEYS_MAX = 20


def domain_facts(
    home: Home, domain: str, addresses: Sequence[str] = (), hostname: str = ""
) -> Facts:
    """The facts about a domain (in A-labels) and this server, read from the folders without any
    network. `addresses` are the public addresses of the server, by default those of the machine;
    `hostname` is its name, by default that with which it greets.

    Raises Refused if the server has no name that could be in the DNS, or for an address that the
    internet can't reach.
    """
    name, certificates = _name_and_certificates(home)
    host = hostname or name
    if "." not in host or host.endswith(f".{NO_DOMAIN}"):
        raise Refused(
            f"the name of the server, {host!r}, has no domain; set hostname (OVERRIDE_HOSTNAME) to "
            f"its name in the DNS, as mail.{domain}, or give it by --hostname"
        )
    for address in addresses:
        if not is_public(address):
            raise Refused(
                f"--address: {address!r} is not a public IP address; give the address by which the "
                "internet reaches this server"
            )
    roster = home.roster("accounts", "virtual", "local_aliases", "relaymap")
    if not roster.names_domain(domain):
        home.warn(f"warning: no account and no alias is in {domain}")
    keys = domain_keys(home.settings, domain, home.warn)
    machine = _machine(home, addresses, keys, certificates)
    return facts_of(domain, roster, home.settings._replace(hostname=host), machine)


def _name_and_certificates(home: Home) -> tuple[str, list[str]]:
    """The name with which the server greets, and the files of its certificates. On a host both are
    those of its Postfix."""
    settings, layout = home.settings, home.layout
    if layout.kind == "host":
        from mailroster.servers.host_postfix import host_postfix

        postfix = host_postfix(layout)
        return postfix.myhostname or settings.hostname, postfix.certificates()
    copies = zip(layout.active_certificates(settings), layout.certificates(settings), strict=True)
    readable = [copy if os.access(copy, os.R_OK) else pair[0] for copy, pair in copies]
    return settings.hostname, readable


def _machine(
    home: Home, addresses: Sequence[str], keys: Sequence[DkimKey], certificates: Sequence[str]
) -> Machine:
    """What the machine knows about itself. `certificates` are files."""
    from mailroster.servers.certificate_facts import certificate_facts

    known = [facts for facts in map(certificate_facts, certificates) if facts.key_sha256]
    return Machine(
        tuple(dict.fromkeys(addresses or _own_addresses(home))),
        tuple(keys),
        known[0].issuer if known else "",
        tuple(dict.fromkeys(facts.key_sha256 for facts in known)),
    )


def _own_addresses(home: Home) -> list[str]:
    """The public addresses on which the server listens, or those of the machine."""
    from mailroster.system.routes import public_addresses

    listening = [word for word in words(home.settings.listen) if is_address(word)]
    return [word for word in listening if is_public(word)] or public_addresses()


def domain_keys(settings: Settings, domain: str, warn: Callable[[str], None]) -> list[DkimKey]:
    """The DKIM keys of a domain, in the config folder and in the source of an overlay. Warns of a
    key that can't be read."""
    from mailroster.servers import dkim_keys

    keys: dict[str, DkimKey] = {}
    for folder in dkim_keys.folders(settings):
        for file in dkim_keys.key_files(folder, domain):
            if file.domain != domain or file.selector in keys or len(keys) == _KEYS_MAX:
                continue
            try:
                keys[file.selector] = dkim_keys.load_public_part(folder, file)
            except (dkim_keys.KeyFault, ServerError) as fault:
                warn(f"warning: the DKIM key {file.file} is not used: {fault}")
    return list(keys.values())


def check_records(facts: Facts, server: tuple[str, int] | None = None) -> list[Finding]:
    """What is missing or wrong in the DNS. `server` (an address and a port) is asked instead of the
    domain's own name servers. Raises Refused if dnspython is missing, and TryAgain if no server
    answers at all."""
    from mailroster.analysis.dns.findings import findings
    from mailroster.base.dns import Dns
    from mailroster.system.name_servers import NameServers

    servers = NameServers(facts.domain, only=server)
    servers.require_answer()
    dns = Dns(servers.ask, servers.is_secure, StsPolicies(servers.ask).read)
    # The faults of the name servers are known when everything was asked. Answers are remembered.
    list(findings(facts, dns, servers.delegation()))
    servers.ask_each_own_server()
    return list(findings(facts, dns, servers.delegation()))


class StsPolicies:
    """Reads the policies of MTA-STS, each once. `ask` looks up the addresses of the web server."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: dict[str, WebFile | None] = {}

    def read(self, domain: str) -> WebFile | None:
        """The policy of a domain; None if its web server has no address that this machine may ask:
        an answer of the DNS must not lead a check into the local network."""
        if domain not in self._known:
            self._known[domain] = self._read(domain)
        return self._known[domain]

    def _read(self, domain: str) -> WebFile | None:
        from mailroster.system.https import fetch
        from mailroster.system.routes import has_route

        host = f"mta-sts.{domain}"
        answers = [self._ask(host, kind).first_fields() for kind in ("A", "AAAA")]
        addresses = [a for answer in answers for a in answer[:2] if _is_on_internet(a)]
        reachable = [address for address in addresses if has_route(address)]
        if not reachable:
            return None
        try:
            return WebFile(fetch(host, reachable, STS_PATH))
        except OSError as error:
            return WebFile("", str(error.strerror or error))


def _is_on_internet(text: str) -> bool:
    """Whether an address leads to the internet. Not one that leads elsewhere by an IPv4 address in
    it (6to4, ::/96, NAT64 of a site: RFC 8215), by a group or within a site (fec0::/10)."""
    import ipaddress

    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address in ipaddress.ip_network("64:ff9b::/96"):  # NAT64 (RFC 6052)
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        elif address not in ipaddress.ip_network("2000::/3") or address.sixtofour is not None:
            return False
    return address.is_global and not address.is_multicast
