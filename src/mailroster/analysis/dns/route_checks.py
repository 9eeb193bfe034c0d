"""Checks of the way to the server: the zone, MX, A, AAAA and PTR."""

from collections.abc import Iterator

from mailroster.analysis.dns.facts import family, is_address, is_public, reverse_name
from mailroster.analysis.dns.subject import Subject, failures, place, shown
from mailroster.base.dns import ANSWERED, FAILED, NO_NAME, ROOT
from mailroster.base.findings import ERROR, INFO, WARNING, Finding, and_more

#: The most servers of an MX that are looked up.
_SERVERS_MAX = 20
_SHOWN = 3


def zone_findings(subject: Subject) -> Iterator[Finding]:
    """Findings about the zone itself and its name servers."""
    delegation, domain = subject.delegation, subject.facts.domain
    where = place(delegation.zone, "NS")
    if delegation.is_bogus:
        message = "the signatures of DNSSEC are wrong: resolvers that check them get no answer"
        hint = "correct the DS record at the registrar, or the signing of the zone"
        yield Finding(where, ERROR, "dnssec-broken", message, hint)
    for server, reason in delegation.faults:
        message = f"the name server {shown(server)} does not answer for the zone: {shown(reason)}"
        hint = "correct the server, or remove it from the NS records here and at the registrar"
        yield Finding(where, WARNING, "silent-name-server", message, hint)
    answer = subject.dns.ask(domain, "CNAME")
    if answer.status == ANSWERED and answer.records:
        message = (
            f"the domain is a CNAME to {shown(answer.records[0][0])}, so it has no MX of its own"
        )
        hint = "replace the CNAME by A and AAAA records (RFC 1034, 3.6.2)"
        yield Finding(place(domain, "CNAME"), ERROR, "cname-at-domain", message, hint)


def domain_exists(subject: Subject) -> Iterator[Finding]:
    """The finding about a domain that does not exist."""
    domain = subject.facts.domain
    answer = subject.dns.ask(domain, "MX")
    if answer.status == NO_NAME and not answer.aliases:
        message = "the domain does not exist in the DNS"
        hint = "register it, and name its name servers at the registrar"
        yield Finding(place(domain, "NS"), ERROR, "no-domain", message, hint)


def mx_findings(subject: Subject) -> Iterator[Finding]:
    """Findings about the MX records and their servers."""
    domain, host = subject.facts.domain, subject.facts.host
    where = place(domain, "MX")
    answer = subject.dns.ask(domain, "MX")
    yield from failures(domain, "MX", answer)
    if answer.status == FAILED:
        return
    if not answer.records:
        message = "there is no MX record, so mail goes to the A record of the domain, or nowhere"
        yield Finding(where, ERROR, "no-mx", message, subject.advice(domain, "MX"))
        return
    names = [record[1] for record in answer.records]
    if ROOT in names:
        message = "the MX is empty (RFC 7505): it says that the domain receives no mail"
        yield Finding(where, ERROR, "null-mx", message, subject.replacement(domain, "MX"))
        return
    own = set(_addresses(subject, host))
    here: list[str] = []
    elsewhere: list[str] = []
    for name in names[:_SERVERS_MAX]:
        addresses = list(_addresses(subject, name))
        yield from _server_findings(subject, name, addresses)
        (here if name == host or own & set(addresses) else elsewhere).append(name)
    others = and_more([shown(name) for name in elsewhere], _SHOWN)
    if not here:
        message = f"no MX leads to {host}; the mail goes to {others}"
        yield Finding(where, ERROR, "mx-elsewhere", message, subject.advice(domain, "MX"))
    elif elsewhere:
        message = f"other servers receive mail of the domain, too: {others}"
        hint = "keep them if they pass the mail on to this server; else remove them"
        yield Finding(where, INFO, "other-mx", message, hint)


def _server_findings(subject: Subject, name: str, addresses: list[str]) -> Iterator[Finding]:
    """Findings about one server of the MX. `addresses` are its addresses."""
    domain = subject.facts.domain
    where = place(domain, "MX")
    if is_address(name):
        message = f"the MX has the address {shown(name)}, where only the name of a server may be"
        hint = "write the name of the server"
        yield Finding(where, ERROR, "mx-without-address", message, hint)
        return
    answer = subject.dns.ask(name, "A")
    if answer.aliases:
        message = f"{shown(name)} is a CNAME, which an MX may not name (RFC 2181, 10.3)"
        hint = f"write its target {shown(answer.aliases[-1])} in the MX"
        yield Finding(where, ERROR, "mx-is-cname", message, hint)
    if not addresses and answer.status != FAILED and name != subject.facts.host:
        message = f"the server {shown(name)} has no address"
        hint = "add its A record, or remove it from the MX"
        yield Finding(where, ERROR, "mx-without-address", message, hint)


def _addresses(subject: Subject, name: str) -> Iterator[str]:
    """The addresses of a name, of both families."""
    if not is_address(name):
        for kind in ("A", "AAAA"):
            yield from subject.dns.ask(name, kind).first_fields()


def host_findings(subject: Subject) -> Iterator[Finding]:
    """Findings about the addresses of the server, and the names of these addresses."""
    host, expected = subject.facts.host, subject.facts.machine.addresses
    published: list[str] = []
    has_failed = False
    for kind in ("A", "AAAA"):
        answer = subject.dns.ask(host, kind)
        yield from failures(host, kind, answer)
        has_failed |= answer.status == FAILED
        published += answer.first_fields()
    if not published and not has_failed:
        message = "the name of the server has no address"
        kinds = [family(address) for address in expected] or ["A"]
        hint = subject.advice(host, kinds[0])
        yield Finding(place(host, "A"), ERROR, "no-address", message, hint)
    for address in published:
        kind = family(address)
        if not is_public(address):
            message = f"the internet can't reach the address {address}"
            hint = "write the public address of the server"
            yield Finding(place(host, kind), ERROR, "private-address", message, hint)
            continue
        if expected and address not in expected and kind in map(family, expected):
            message = f"{address} is not an address of this server ({', '.join(expected)})"
            hint = "correct the record; if the server is behind NAT, give its address by --address"
            yield Finding(place(host, kind), ERROR, "wrong-address", message, hint)
        yield from _ptr_findings(subject, address)
    yield from _unpublished_findings(subject, published)


def _unpublished_findings(subject: Subject, published: list[str]) -> Iterator[Finding]:
    """Findings about addresses of the server that its name does not have. Postfix sends from them,
    too."""
    host = subject.facts.host
    for address in subject.facts.machine.addresses:
        if address in published or not published:
            continue
        if family(address) in map(family, published):
            continue  # wrong-address is about it
        message = f"the server has the address {address}, but its name does not lead to it"
        hint = f"{subject.advice(host, family(address))}, and a PTR; or do not send from it"
        where = place(host, family(address))
        yield Finding(where, WARNING, "unpublished-address", message, hint)
        yield from _ptr_findings(subject, address)


def _ptr_findings(subject: Subject, address: str) -> Iterator[Finding]:
    """Findings about the name of a public address."""
    host, name = subject.facts.host, reverse_name(address)
    where = place(name, "PTR")
    hint = f"let the provider of the address {address} set its PTR to {host}"
    answer = subject.dns.ask(name, "PTR")
    yield from failures(name, "PTR", answer)
    if answer.status == FAILED:
        return
    if not answer.records:
        message = f"the address {address} has no name, so many servers refuse its mail"
        yield Finding(where, ERROR, "no-ptr", message, hint)
        return
    names = answer.first_fields()
    if host in names:
        return
    others = and_more([shown(other) for other in names], _SHOWN)
    confirmed = any(address in _addresses(subject, other) for other in names[:_SERVERS_MAX])
    message = f"the address {address} has the name {others}, and the server the name {host}"
    if not confirmed:
        message += f"; {others} does not lead back to the address"
    yield Finding(where, ERROR, "ptr-disagrees", message, hint)
