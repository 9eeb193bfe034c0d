"""Checks of SPF, DKIM and DMARC."""

from collections.abc import Iterator

from mailroster.analysis.dns import dkim_record, spf
from mailroster.analysis.dns.dkim_record import DkimKey
from mailroster.analysis.dns.facts import is_public
from mailroster.analysis.dns.subject import Subject, failures, place, shown
from mailroster.analysis.dns.tags import is_version, mail_uris, tags_of, versioned
from mailroster.base.address import split
from mailroster.base.dns import FAILED, is_within
from mailroster.base.findings import ERROR, INFO, WARNING, Finding, and_more

#: The bits that a signer should use (RFC 8301).
_RSA_BITS = 2048
_SHOWN = 4
_POLICIES = ("none", "quarantine", "reject")
_SPF_HINTS = {
    spf.SYNTAX: "correct the record",
    spf.LOOKUPS: "remove an include:, or write addresses (ip4:, ip6:) instead of names",
    spf.VOID: "remove the names that no longer exist",
}


def spf_findings(subject: Subject) -> Iterator[Finding]:
    """Findings about the SPF record."""
    domain = subject.facts.domain
    where = place(domain, "TXT")
    answer = subject.dns.ask(domain, "TXT")
    yield from failures(domain, "TXT", answer)
    if answer.status == FAILED:
        return
    records = spf.records_of(answer.first_fields())
    if not records:
        message = "there is no SPF record, so large providers refuse or distrust the mail"
        yield Finding(where, ERROR, "no-spf", message, subject.advice(domain, "TXT"))
        return
    if len(records) > 1:
        message = f"there are {len(records)} SPF records, so none counts (RFC 7208, 4.5)"
        hint = "join them into one record"
        yield Finding(where, ERROR, "two-spf", message, hint)
        return
    worst = spf.evaluate(domain, None, subject.dns.ask)
    if worst.error:
        yield _spf_error(domain, worst)
        return
    if {"all", "+all"} & set(records[0].lower().split()):
        message = "'+all' lets every machine of the world send mail of the domain"
        hint = "write -all or ~all"
        yield Finding(where, WARNING, "spf-allows-all", message, hint)
    if not subject.facts.relays:
        yield from _excluded_addresses(subject, domain)


def helo_findings(subject: Subject) -> Iterator[Finding]:
    """Findings about the SPF record of the server's own name, which counts for bounces (RFC 7208,
    2.4)."""
    host = subject.facts.host
    if host == subject.facts.domain or subject.facts.relays:
        return
    answer = subject.dns.ask(host, "TXT")
    yield from failures(host, "TXT", answer)
    if answer.status == FAILED:
        return
    if not spf.records_of(answer.first_fields()):
        message = "the name of the server has no SPF record, which other servers ask for bounces"
        hint = subject.advice(host, "TXT")
        yield Finding(place(host, "TXT"), INFO, "no-helo-spf", message, hint)
        return
    yield from _excluded_addresses(subject, host)


def _spf_error(name: str, evaluation: spf.Evaluation) -> Finding:
    """The finding about a record that can't be evaluated."""
    where = place(name, "TXT")
    message = f"the SPF record is not valid: {shown(evaluation.message)}"
    if evaluation.error == spf.UNANSWERED:
        message, hint = shown(evaluation.message), "correct that name, or ask again"
        return Finding(where, ERROR, "dns-lookup-failed", message, hint)
    if evaluation.error == spf.TWO:
        message, hint = shown(evaluation.message), "one record is allowed; correct the include:"
        return Finding(where, ERROR, "two-spf", message, hint)
    hint = _SPF_HINTS[evaluation.error]
    if evaluation.error == spf.SYNTAX:
        return Finding(where, ERROR, "malformed-spf", message, hint)
    return Finding(where, ERROR, "spf-lookups", message, hint)


def _excluded_addresses(subject: Subject, name: str) -> Iterator[Finding]:
    """A finding for each result of the record of a name that addresses of the server get, if they
    may not send."""
    host = subject.facts.host
    addresses = list(subject.facts.machine.addresses)
    if not addresses:
        for kind in ("A", "AAAA"):
            addresses += subject.dns.ask(host, kind).first_fields()
    by_result: dict[str, list[str]] = {}
    for address in dict.fromkeys(filter(is_public, addresses)):
        evaluation = spf.evaluate(name, address, subject.dns.ask)
        if evaluation.error:
            yield _spf_error(name, evaluation)
        elif evaluation.result != spf.PASS:
            by_result.setdefault(evaluation.result, []).append(address)
    for result, excluded in by_result.items():
        listed = and_more(excluded, _SHOWN)
        message = f"mail from this server ({listed}) gets the result {result}"
        hint = f"add {'a' if name == host else f'mx or a:{host}'} to the SPF record, before its all"
        yield Finding(place(name, "TXT"), ERROR, "spf-excludes-server", message, hint)


def dkim_findings(subject: Subject) -> Iterator[Finding]:
    """Findings about the keys of DKIM."""
    domain, keys = subject.facts.domain, subject.facts.machine.keys
    if not keys:
        message = "there is no DKIM key for the domain, so its mail has no signature"
        hint = f"make one: setup config dkim domain {domain}"
        yield Finding(place(domain, "DKIM"), WARNING, "unsigned-domain", message, hint)
    for key in keys:
        yield from _key_findings(subject, key)


def _key_findings(subject: Subject, key: DkimKey) -> Iterator[Finding]:
    """Findings about one key, and its record."""
    name = dkim_record.record_name(subject.facts.domain, key.selector)
    where = place(name, "TXT")
    if key.kind == "rsa" and 0 < key.bits < _RSA_BITS:
        message = f"the key {key.file} has {key.bits} bits only"
        hint = f"make one with {_RSA_BITS} bits: setup config dkim keysize {_RSA_BITS}"
        yield Finding(where, WARNING, "weak-dkim-key", message, hint)
    answer = subject.dns.ask(name, "TXT")
    yield from failures(name, "TXT", answer)
    if answer.status == FAILED:
        return
    texts = answer.first_fields()
    if not texts:
        message = f"there is no record for the key {key.file}, so no signature is valid"
        yield Finding(where, ERROR, "no-dkim", message, subject.advice(name, "TXT"))
    elif len(texts) > 1:
        message = f"there are {len(texts)} records, where one key may be (RFC 6376, 3.6.2.2)"
        hint = f"keep only the record of the key {key.file}"
        yield Finding(where, ERROR, "malformed-dkim", message, hint)
    else:
        yield from _key_record_findings(subject, key, name, texts[0])


def _key_record_findings(subject: Subject, key: DkimKey, name: str, text: str) -> Iterator[Finding]:
    where = place(name, "TXT")
    tags, hint = tags_of(text), subject.replacement(name, "TXT")
    if tags is None or "p" not in tags or ("v" in tags and not is_version(text, "DKIM1")):
        message = f"the record is no DKIM key: {shown(text)!r}"
        yield Finding(where, ERROR, "malformed-dkim", message, hint)
        return
    public = dkim_record.public_key(text)
    if not public:
        message = f"the record says that the key {key.file} is revoked (an empty p=)"
        yield Finding(where, ERROR, "wrong-dkim", message, hint)
    elif dkim_record.key_type(text) != key.kind or not dkim_record.is_same_key(public, key.public):
        message = f"the record has another key than {key.file}, so no signature is valid"
        yield Finding(where, ERROR, "wrong-dkim", message, hint)
    elif "y" in tags.get("t", "").replace(" ", "").split(":"):
        message = "the record says that the key is only a test (t=y), so signatures don't count"
        yield Finding(where, WARNING, "dkim-test-mode", message, "remove t=y from the record")


def dmarc_findings(subject: Subject) -> Iterator[Finding]:
    """Findings about the DMARC record."""
    name = f"_dmarc.{subject.facts.domain}"
    where = place(name, "TXT")
    answer = subject.dns.ask(name, "TXT")
    yield from failures(name, "TXT", answer)
    if answer.status == FAILED:
        return
    texts = versioned(answer.first_fields(), "DMARC1")
    if not texts:
        if answer.records:
            message = f"the record does not begin with v=DMARC1: {shown(answer.records[0][0])!r}"
            hint = subject.replacement(name, "TXT")
            yield Finding(where, ERROR, "malformed-dmarc", message, hint)
            return
        if not _has_dmarc_above(subject):
            message = "there is no DMARC record, so large providers distrust the mail"
            yield Finding(where, WARNING, "no-dmarc", message, subject.advice(name, "TXT"))
        return
    if len(texts) > 1:
        message = f"there are {len(texts)} DMARC records, so none counts (RFC 7489, 6.6.3)"
        yield Finding(where, ERROR, "malformed-dmarc", message, "keep one of them")
        return
    tags = tags_of(texts[0])
    policy = "" if tags is None else tags.get("p", "").lower()
    if tags is None or policy not in _POLICIES:
        message = f"the DMARC record has no policy that others understand: {shown(texts[0])!r}"
        hint = f"write p= with one of {', '.join(_POLICIES)}"
        yield Finding(where, ERROR, "malformed-dmarc", message, hint)
        return
    if policy == "none":
        message = "the policy is none: forged mail of the domain is delivered"
        hint = "write p=quarantine, once the reports show that your own mail passes"
        yield Finding(where, INFO, "dmarc-policy-none", message, hint)
    for address in mail_uris(",".join(tags.get(tag, "") for tag in ("rua", "ruf"))):
        yield from _report_findings(subject, split(address)[1].lower().rstrip("."))


def _has_dmarc_above(subject: Subject) -> bool:
    """Whether a domain above has a DMARC record, which counts for this one, too (RFC 7489,
    6.6.3)."""
    parent = subject.facts.domain.partition(".")[2]
    while "." in parent:
        if versioned(subject.dns.ask(f"_dmarc.{parent}", "TXT").first_fields(), "DMARC1"):
            return True
        parent = parent.partition(".")[2]
    return False


def _report_findings(subject: Subject, receiver: str) -> Iterator[Finding]:
    """The finding about reports to another domain, which has to allow them (RFC 7489, 7.1)."""
    domain = subject.facts.domain
    if not receiver or is_within(receiver, domain) or is_within(domain, receiver):
        return
    name = f"{domain}._report._dmarc.{receiver}"
    answer = subject.dns.ask(name, "TXT")
    if answer.status == FAILED or versioned(answer.first_fields(), "DMARC1"):
        return
    message = f"reports go to {shown(receiver)}, which does not allow that, so none are sent"
    hint = f"add there: {shown(name)} TXT v=DMARC1; or name an address in {domain}"
    yield Finding(place(f"_dmarc.{domain}", "TXT"), WARNING, "dmarc-report-refused", message, hint)
