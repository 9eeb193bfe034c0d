"""All findings about the DNS records of a domain."""

from collections.abc import Iterator

from mailroster.analysis.dns import extra_checks, route_checks, sender_checks
from mailroster.analysis.dns.advice import advised
from mailroster.analysis.dns.facts import Facts
from mailroster.analysis.dns.subject import Subject
from mailroster.base.dns import Delegation, Dns
from mailroster.base.findings import Finding

#: In the order of the report. With an error of the zone itself the others are still checked.
_CHECKS = (
    route_checks.zone_findings,
    route_checks.mx_findings,
    route_checks.host_findings,
    sender_checks.spf_findings,
    sender_checks.helo_findings,
    sender_checks.dkim_findings,
    sender_checks.dmarc_findings,
    extra_checks.sts_findings,
    extra_checks.tls_report_findings,
    extra_checks.caa_findings,
    extra_checks.tlsa_findings,
    extra_checks.client_findings,
)


def findings(facts: Facts, dns: Dns, delegation: Delegation) -> Iterator[Finding]:
    """The findings, each once; of a domain that does not exist only that one, and those about its
    name servers."""
    subject = Subject(facts, tuple(advised(facts)), dns, delegation)
    missing = list(route_checks.domain_exists(subject))
    if missing:
        yield from missing
        return
    seen: set[Finding] = set()
    for check in _CHECKS:
        for finding in check(subject):
            if finding not in seen:
                seen.add(finding)
                yield finding
