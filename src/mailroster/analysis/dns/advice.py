"""Which records the mail of a domain needs, each with its reason."""

import zlib
from collections.abc import Iterator

from mailroster.analysis.dns.dkim_record import record_name
from mailroster.analysis.dns.facts import Facts, family, is_address, is_public, reverse_name
from mailroster.analysis.dns.record import ADVISED, NEEDED, OPTIONAL, Record
from mailroster.analysis.dns.sts import STS_PATH, policy_lines

MX_PREFERENCE = "10"


def advised(facts: Facts) -> list[Record]:
    """The records, the most important first."""
    return [
        *_routes(facts),
        *_senders(facts),
        *_reports(facts),
        *_certificates(facts),
        *_clients(facts),
    ]


def _routes(facts: Facts) -> Iterator[Record]:
    domain, host = facts.domain, facts.host
    yield Record(
        domain, "MX", (MX_PREFERENCE, host), NEEDED,
        "Other servers look here for the server that receives the mail of the domain.",
    )  # fmt: skip
    reason = "The address of the server, which MX, SPF and PTR lead to."
    for address in facts.machine.addresses:
        yield Record(host, family(address), (address,), NEEDED, reason)
    if not facts.machine.addresses:
        condition = "you know its public address (--address)"
        yield Record(host, "A", (), NEEDED, reason, condition)
    for address in facts.machine.addresses:
        yield Record(
            reverse_name(address), "PTR", (host,), NEEDED,
            "Many servers refuse mail from an address whose name does not lead back to it. "
            "The provider of the address sets it.",
        )  # fmt: skip


def _senders(facts: Facts) -> Iterator[Record]:
    domain, host = facts.domain, facts.host
    yield Record(domain, "TXT", (spf_text(facts),), NEEDED, _spf_reason(facts))
    if host != domain:
        yield Record(
            host, "TXT", ("v=spf1 a -all",), ADVISED,
            "SPF for bounces: they have no sender, so other servers check the name of the server.",
        )  # fmt: skip
    for key in facts.machine.keys:
        yield Record(
            record_name(domain, key.selector), "TXT", (key.text(),), NEEDED,
            f"The public key of the DKIM signatures of this server ({key.file}).",
        )  # fmt: skip
    yield Record(f"_dmarc.{domain}", "TXT", (dmarc_text(facts),), NEEDED, _dmarc_reason(facts))


def spf_text(facts: Facts) -> str:
    """The SPF record: the servers of the MX may send, and the relays."""
    if not facts.relays:
        return "v=spf1 mx -all"
    return " ".join(("v=spf1", "mx", *filter(None, map(_mechanism, facts.relays)), "~all"))


def _mechanism(relay: str) -> str:
    """The mechanism for a relay; "" for one in the local network, whose own address is unknown."""
    if is_address(relay):
        if not is_public(relay):
            return ""
        return f"ip{'6' if ':' in relay else '4'}:{relay}"
    return f"a:{relay}"


def _spf_reason(facts: Facts) -> str:
    text = "SPF: which servers may send mail of the domain."
    if not facts.relays:
        return text
    return (
        f"{text} Mail leaves through {', '.join(facts.relays)}: if the provider names an "
        "include: for SPF, write it instead of the relay."
    )


def dmarc_text(facts: Facts) -> str:
    """The DMARC record. Without a DKIM key nothing is demanded: SPF alone breaks forwards."""
    policy = "quarantine" if facts.machine.keys else "none"
    reports = f"; rua=mailto:{facts.reports}" if facts.reports else ""
    return f"v=DMARC1; p={policy}{reports}"


def _dmarc_reason(facts: Facts) -> str:
    text = (
        "DMARC: what other servers do with mail of the domain that neither SPF nor DKIM confirms."
    )
    if not facts.machine.keys:
        text += " Make a DKIM key first, then demand quarantine instead of none."
    if not facts.reports:
        text += f" postmaster@{facts.domain} gets no mail, so no reports are requested."
    return text


def _reports(facts: Facts) -> Iterator[Record]:
    domain = facts.domain
    policy = policy_lines(facts.host)
    web = f"a web server has the policy under https://mta-sts.{domain}{STS_PATH}"
    yield Record(
        f"_mta-sts.{domain}", "TXT", (f"v=STSv1; id={sts_id(facts)}",), OPTIONAL,
        "MTA-STS: other servers send only with TLS and a valid certificate. The policy is: "
        f"{' / '.join(policy)}. Write enforce instead of testing once the reports are good, and "
        "change the id with each change of the policy.",
        web,
    )  # fmt: skip
    yield Record(
        f"mta-sts.{domain}", "CNAME", (facts.host,), OPTIONAL,
        "The web server with the policy of MTA-STS; it may be another server.", web,
    )  # fmt: skip
    if facts.reports:
        yield Record(
            f"_smtp._tls.{domain}", "TXT", (f"v=TLSRPTv1; rua=mailto:{facts.reports}",), OPTIONAL,
            "TLS-RPT: other servers report when TLS to this server fails.",
        )  # fmt: skip


def sts_id(facts: Facts) -> str:
    """The id of that policy, another one for another policy."""
    text = "\n".join(policy_lines(facts.host))
    return f"{zlib.crc32(text.encode()):08x}"


def _certificates(facts: Facts) -> Iterator[Record]:
    if facts.ca:
        yield Record(
            facts.host, "CAA", ("0", "issue", facts.ca), OPTIONAL,
            "Only this authority may issue certificates for the server.",
        )  # fmt: skip
    for key in facts.machine.tls_keys:
        yield Record(
            tlsa_name(facts.host), "TLSA", ("3", "1", "1", key), OPTIONAL,
            "DANE: other servers know the key of the server's certificate. The renewal must keep "
            "the key, or this record must change first.",
            f"the zone of {facts.host} is signed with DNSSEC",
        )  # fmt: skip


def tlsa_name(host: str) -> str:
    return f"_25._tcp.{host}"


def _clients(facts: Facts) -> Iterator[Record]:
    for service, port in facts.ports.items():
        yield Record(
            f"{service}.{facts.domain}", "SRV", ("0", "1", str(port), facts.host), OPTIONAL,
            "Mail programs find the server and the port by themselves.",
        )  # fmt: skip
    for name, path in autoconfig_names(facts.domain):
        yield Record(
            name, "CNAME", (facts.host,), OPTIONAL,
            "Mail programs read their settings from this web server.",
            f"a web server has them under https://{name}{path}",
        )  # fmt: skip


def autoconfig_names(domain: str) -> tuple[tuple[str, str], ...]:
    """The names at which Thunderbird and Outlook look for settings, and the paths there."""
    return (
        (f"autoconfig.{domain}", "/mail/config-v1.1.xml"),
        (f"autodiscover.{domain}", "/autodiscover/autodiscover.xml"),
    )
