"""A domain whose records are all right, and what the checks say about another state of them."""

from mailroster.analysis.dns.advice import advised
from mailroster.analysis.dns.dkim_record import DkimKey
from mailroster.analysis.dns.facts import Facts, Machine
from mailroster.analysis.dns.findings import findings
from mailroster.base.dns import Dns, WebFile
from mailroster.base.findings import Finding
from mailroster.system.name_servers import NameServers
from tests.support.name_server import NameServer, parsed

DOMAIN, HOST = "example.com", "mail.example.com"
ADDRESS, ADDRESS_6 = "203.0.113.25", "2001:db8::25"
REVERSE = "25.113.0.203.in-addr.arpa"
KEY = DkimKey("mail", "rsa", "MIIBIjANBgkq", 2048, "opendkim/keys/example.com/mail.private")
FACTS = Facts(
    DOMAIN, HOST, Machine((ADDRESS, ADDRESS_6), (KEY,), "Let's Encrypt", ("ab" * 32,)),
    {"_imaps._tcp": 993, "_submissions._tcp": 465}, (), f"postmaster@{DOMAIN}", "letsencrypt.org",
)  # fmt: skip
#: The records that make it a zone, with its name server on this machine.
ZONE = f"""\
{DOMAIN}. SOA ns.{DOMAIN}. hostmaster.{DOMAIN}. 1 2 3 4 5
{DOMAIN}. NS ns.{DOMAIN}.
ns.{DOMAIN}. A 127.0.0.1
"""


def zone_of(facts: Facts = FACTS) -> str:
    """The zone with all the records that are advised."""
    return ZONE + "\n".join(record.line() for record in advised(facts))


def asking(server: NameServer, domain: str = DOMAIN, answer_s: float = 0.5) -> NameServers:
    """Questions to a test server, which is the resolver and the domain's own server."""
    resolvers = [(server.address, server.port)]
    return NameServers(domain, resolvers, port=server.port, answer_s=answer_s)


def found(
    server: NameServer,
    facts: Facts = FACTS,
    answer_s: float = 0.5,
    policy: WebFile | None = None,
) -> list[Finding]:
    """All findings about the records of a test server, and about a policy of MTA-STS."""
    servers = asking(server, facts.domain, answer_s)
    dns = Dns(servers.ask, servers.is_secure, lambda domain: policy)
    list(findings(facts, dns, servers.delegation()))
    servers.ask_each_own_server()
    return list(findings(facts, dns, servers.delegation()))


def changed(server: NameServer, text: str) -> None:
    """Replaces records of a server by those of a text. `; no NAME TYPE` removes one; a CNAME
    replaces all records of its name."""
    for line in text.splitlines():
        words = line.split()
        if words[:2] == [";", "no"]:
            server.remove(words[2], words[3])
    for (name, kind), rrset in parsed(text).items():
        if kind.name == "CNAME":
            for other in [key for key in server.records if key[0] == name]:
                del server.records[other]
        server.records[name, kind] = rrset
