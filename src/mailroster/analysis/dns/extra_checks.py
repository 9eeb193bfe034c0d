"""Checks of the records that make mail safer or easier: MTA-STS, TLS-RPT, CAA, TLSA, SRV and the
names of autoconfig."""

from collections.abc import Iterator

from mailroster.analysis.dns.advice import autoconfig_names, tlsa_name
from mailroster.analysis.dns.sts import STS_MODES, STS_PATH, policy_fields
from mailroster.analysis.dns.subject import Subject, failures, place, shown
from mailroster.analysis.dns.tags import tags_of, versioned
from mailroster.base.dns import FAILED, NO_NAME, WebFile
from mailroster.base.findings import ERROR, INFO, WARNING, Finding, and_more

_ID_MAX = 32
_SHOWN = 3
#: The properties of CAA that name authorities for a host (RFC 8659).
_ISSUE = "issue"


def sts_findings(subject: Subject) -> Iterator[Finding]:
    """Findings about the records of MTA-STS (RFC 8461)."""
    domain = subject.facts.domain
    name, web = f"_mta-sts.{domain}", f"mta-sts.{domain}"
    where = place(name, "TXT")
    answer = subject.dns.ask(name, "TXT")
    yield from failures(name, "TXT", answer)
    if answer.status == FAILED:
        return
    texts = versioned(answer.first_fields(), "STSv1")
    if not texts:
        message = "there is no MTA-STS, so an attacker between two servers can switch off TLS"
        hint = f"see the record and the policy in 'setup dns {domain}'"
        yield Finding(where, INFO, "no-mta-sts", message, hint)
        return
    tags = tags_of(texts[0]) or {}
    if len(texts) > 1 or not (tags.get("id", "").isalnum() and len(tags["id"]) <= _ID_MAX):
        message = f"the record of MTA-STS is not valid, so it does not count: {shown(texts[0])!r}"
        hint = f"write one record, with an id of 1 to {_ID_MAX} letters and digits"
        yield Finding(where, WARNING, "malformed-mta-sts", message, hint)
    if not _has_address(subject, web):
        message = "the name has no address, so no server can read the policy of MTA-STS"
        hint = subject.advice(web, "CNAME")
        yield Finding(place(web, "A"), WARNING, "no-mta-sts-policy", message, hint)
        return
    policy = subject.dns.sts_policy(domain)
    if policy is not None:
        yield from _policy_findings(subject, policy)


def _policy_findings(subject: Subject, policy: WebFile) -> Iterator[Finding]:
    """Findings about the policy of MTA-STS (RFC 8461, 3.2)."""
    domain = subject.facts.domain
    where = place(f"mta-sts.{domain}", "policy")
    if policy.fault:
        message = f"other servers can't read the policy of MTA-STS: {shown(policy.fault)}"
        hint = f"serve it under https://mta-sts.{domain}{STS_PATH}, with a valid certificate"
        yield Finding(where, WARNING, "no-mta-sts-policy", message, hint)
        return
    fields = policy_fields(policy.text)
    mode, age = fields.get("mode", [""])[0], fields.get("max_age", [""])[0]
    is_policy = fields.get("version") == ["STSv1"] and mode in STS_MODES
    patterns = [pattern.lower() for pattern in fields.get("mx", [])]
    if not is_policy or not (age.isascii() and age.isdigit()) or (mode != "none" and not patterns):
        message = f"the policy of MTA-STS is not valid, so none counts: {shown(policy.text)!r}"
        hint = f"see the lines of the policy in 'setup dns {domain}'"
        yield Finding(where, WARNING, "malformed-mta-sts-policy", message, hint)
        return
    names = [record[1] for record in subject.dns.ask(domain, "MX").records]
    others = [name for name in names if not any(_fits(name, pattern) for pattern in patterns)]
    if others and mode != "none":
        listed = and_more([shown(name) for name in others], _SHOWN)
        message = f"the policy of MTA-STS (mode {mode}) does not name {listed}, which the MX names"
        hint = f"add a line 'mx: {shown(others[0])}' to the policy, and change the id of the record"
        yield Finding(where, ERROR, "mta-sts-forbids-mx", message, hint)


def _fits(name: str, pattern: str) -> bool:
    """Whether the name of a server is that of a pattern; `*.` stands for one label."""
    if pattern[:2] == "*.":
        return name.partition(".")[2] == pattern[2:]
    return name == pattern.rstrip(".")


def _has_address(subject: Subject, name: str) -> bool:
    """Whether a name has an address, or could have one that no server answered for."""
    answers = [subject.dns.ask(name, kind) for kind in ("A", "AAAA")]
    return any(answer.records or answer.status == FAILED for answer in answers)


def tls_report_findings(subject: Subject) -> Iterator[Finding]:
    """Findings about TLS-RPT (RFC 8460)."""
    name = f"_smtp._tls.{subject.facts.domain}"
    where = place(name, "TXT")
    answer = subject.dns.ask(name, "TXT")
    yield from failures(name, "TXT", answer)
    if answer.status == FAILED:
        return
    texts = versioned(answer.first_fields(), "TLSRPTv1")
    if not texts:
        message = "there is no TLS-RPT record, so you do not learn when TLS to this server fails"
        hint = f"let postmaster@{subject.facts.domain} receive mail, then add a record"
        hint = subject.advice(name, "TXT") if subject.facts.reports else hint
        yield Finding(where, INFO, "no-tls-rpt", message, hint)
        return
    tags = tags_of(texts[0]) or {}
    if len(texts) > 1 or not tags.get("rua", "").lower().startswith(("mailto:", "https:")):
        message = f"the TLS-RPT record is not valid, so no reports come: {shown(texts[0])!r}"
        hint = "write one record, with rua=mailto:ADDRESS"
        yield Finding(where, WARNING, "malformed-tls-rpt", message, hint)


def caa_findings(subject: Subject) -> Iterator[Finding]:
    """Findings about CAA: the nearest set of records above the server counts (RFC 8659, 3)."""
    host, ca = subject.facts.host, subject.facts.ca
    name = host
    while "." in name:
        answer = subject.dns.ask(name, "CAA")
        if answer.status == FAILED:
            yield from failures(name, "CAA", answer)
            return
        if answer.records:
            break
        name = name.partition(".")[2]
    else:
        message = "there is no CAA record: every authority may issue certificates for the server"
        hint = f"add a record with your authority, as {host} CAA 0 issue letsencrypt.org"
        hint = subject.advice(host, "CAA") if ca else hint
        yield Finding(place(host, "CAA"), INFO, "no-caa", message, hint)
        return
    issuers = [value for _, tag, value in answer.records if tag.lower() == _ISSUE]
    names = [value.partition(";")[0].strip().lower() for value in issuers]
    if ca and issuers and ca not in names:
        allowed = and_more([shown(other) for other in filter(None, names)], _SHOWN)
        message = (
            f"CAA allows {allowed or 'no authority'}, but the server's certificate is from {ca}"
        )
        hint = f'add the record {name} CAA 0 issue "{ca}", or the next renewal fails'
        yield Finding(place(name, "CAA"), ERROR, "caa-forbids-certificate", message, hint)


def tlsa_findings(subject: Subject) -> Iterator[Finding]:
    """Findings about DANE (RFC 7672), which counts only where DNSSEC is valid."""
    host, keys = subject.facts.host, subject.facts.machine.tls_keys
    name = tlsa_name(host)
    where = place(name, "TLSA")
    is_secure = subject.dns.is_secure(host)
    answer = subject.dns.ask(name, "TLSA")
    if answer.status == FAILED:
        yield from failures(name, "TLSA", answer)
        return
    if not answer.records:
        if is_secure and keys:
            message = "the zone is signed, but there is no TLSA record, so DANE protects no mail"
            yield Finding(where, INFO, "no-tlsa", message, subject.advice(name, "TLSA"))
        return
    if not is_secure:
        message = "the TLSA record has no effect: the answer is not authenticated by DNSSEC"
        hint = "sign the zone, or remove the record; or ask a resolver that checks DNSSEC"
        yield Finding(where, INFO, "tlsa-without-dnssec", message, hint)
        return
    if any(record[:3] != ("3", "1", "1") for record in answer.records):
        return  # of another kind, which may fit
    published = {record[3].lower() for record in answer.records}
    if missing := [key for key in keys if key not in published]:
        message = "no TLSA record fits the certificate's key, so servers with DANE send no mail"
        record = next(r for r in subject.records if r.kind == "TLSA" and r.fields[3] == missing[0])
        hint = f"add the record {record.brief()}"
        yield Finding(where, ERROR, "wrong-tlsa", message, hint)


def client_findings(subject: Subject) -> Iterator[Finding]:
    """Findings about the records that mail programs read."""
    domain = subject.facts.domain
    missing = []
    for service, port in subject.facts.ports.items():
        name = f"{service}.{domain}"
        answer = subject.dns.ask(name, "SRV")
        if answer.status == FAILED:
            yield from failures(name, "SRV", answer)
        elif not answer.records:
            missing.append(service)
        elif not any(_leads_here(subject, record, port) for record in answer.records):
            message = f"the record leads to {shown(' '.join(answer.records[0][2:]))}"
            hint = subject.replacement(name, "SRV")
            yield Finding(place(name, "SRV"), WARNING, "wrong-srv", message, hint)
    if missing:
        message = f"there is no record for {', '.join(missing)}"
        hint = f"see 'setup dns {domain}', so that mail programs find the server"
        yield Finding(place(domain, "SRV"), INFO, "no-srv", message, hint)
    names = [name for name, _ in autoconfig_names(domain)]
    unknown = [name for name in names if subject.dns.ask(name, "A").status == NO_NAME]
    if len(unknown) == len(names):
        message = f"{' and '.join(names)} do not exist, so mail programs guess their settings"
        hint = "add them if a web server has the settings"
        yield Finding(place(domain, "CNAME"), INFO, "no-autoconfig", message, hint)


def _leads_here(subject: Subject, record: tuple[str, ...], port: int) -> bool:
    return record[2:] == (str(port), subject.facts.host)
