"""`setup dns`: the DNS records of a domain, as text, as a zone file and as JSON; and what is wrong
with those that it has."""

from collections import Counter
from itertools import groupby
from operator import attrgetter

from mailroster.analysis.dns.advice import advised
from mailroster.analysis.dns.facts import Facts
from mailroster.analysis.dns.record import (
    ADVISED,
    NEEDED,
    OPTIONAL,
    TTL_S,
    Record,
    groups,
    zone_text,
)
from mailroster.app.dns import check_records, domain_facts
from mailroster.base.address import fold_domain, is_idna
from mailroster.base.findings import ERROR, INFO, WARNING, ParseError, UsageError
from mailroster.base.setting_rules import name_server, words
from mailroster.cli import check_reports
from mailroster.cli.call import Call, finding_fields, print_json
from mailroster.cli.finding_limit import LimitedFindings

_HEADINGS = {NEEDED: "Needed", ADVISED: "Recommended", OPTIONAL: "Useful"}
#: The command that shows the notes.
_INFO = "setup dns DOMAIN --check --info"


def show(call: Call) -> int:
    """Prints the records; with --check what is wrong in the DNS, and exits with 1 if anything
    is."""
    options = call.options
    for one, other in (("--zone", "--json"), ("--zone", "--check")):
        if one in options and other in options:
            raise UsageError(f"{one} and {other} exclude each other")
    for option in ("--server", "--info", "--ignore"):
        if option in options and "--check" not in options:
            raise UsageError(f"{option} needs --check")
    domain = _domain(call.arguments[0])
    named = options.get("--server", call.home.settings.dns_server)
    server = _server(named) if named else None
    addresses = words(options.get("--address", ""))
    facts = domain_facts(call.home, domain, addresses, options.get("--hostname", ""))
    if "--check" in options:
        return _check(call, facts, server)
    records = advised(facts)
    if "--zone" in options:
        print(zone_text(domain, records), end="")
    elif "--json" in options:
        print_json([_fields(record) for record in records])
    else:
        print("\n".join(_lines(facts, records)))
    return 0


def _domain(text: str) -> str:
    """A domain in A-labels. Raises ParseError."""
    domain = fold_domain(text.removeprefix("@").removesuffix("."))
    if "." not in domain or domain.replace(".", "").isdigit():
        raise ParseError("malformed-address", f"{text!r} is not a domain", "write example.com")
    return domain


def _server(text: str) -> tuple[str, int]:
    """The name server that an option names. Raises UsageError."""
    if server := name_server(text):
        return server
    raise UsageError(f"--server: {text!r} is not an IP address; write 192.0.2.1 or 192.0.2.1:53")


def _check(call: Call, facts: Facts, server: tuple[str, int] | None) -> int:
    ignored = _ignored(call.options.get("--ignore", ""))
    findings = [f for f in check_records(facts, server) if f.code not in ignored]
    shown = [f for f in findings if f.severity != INFO or "--info" in call.options]
    result = LimitedFindings(shown, Counter(finding.severity for finding in shown))
    if "--json" in call.options:
        print_json([finding_fields(finding) for finding in shown])
    else:
        check_reports.plain(result, len(findings) - len(shown), _INFO)
    if result.severities[ERROR] or result.severities[WARNING]:
        return 1
    if "--json" not in call.options:
        print(f"the records of {facts.domain} are right")
    return 0


def _ignored(text: str) -> list[str]:
    """The codes of `--ignore`. Raises UsageError for an unknown one."""
    from mailroster.cli import check_pages
    from mailroster.cli.hints import did_you_mean

    known = check_pages.codes(check_pages.DNS)
    for code in words(text):
        if code not in known:
            raise UsageError(f"there is no code {code!r}{did_you_mean(code, known)}")
    return words(text)


def _lines(facts: Facts, records: list[Record]) -> list[str]:
    """The records for people, in groups."""
    lines = [f"Mail for {_readable(facts.domain)} on {facts.host}"]
    ordered = sorted(records, key=lambda record: list(_HEADINGS).index(record.level))
    for level, of_level in groupby(ordered, attrgetter("level")):
        lines += ["", _HEADINGS[level]]
        for group in groups(of_level):
            for record in group:
                lines += [f"  {record.name} {record.kind}"]
                lines += [f"    {record.value()}"] if record.fields else []
            lines += [f"    Why: {group[0].reason}"]
            lines += [f"    Only if {group[0].condition}."] if group[0].condition else []
    return lines


def _readable(domain: str) -> str:
    """A domain, with its letters if it has others than ASCII."""
    if not is_idna(domain):
        return domain
    import idna

    try:
        return f"{idna.decode(domain)} ({domain})"
    except (idna.IDNAError, UnicodeError):
        return domain


def _fields(record: Record) -> dict[str, object]:
    """The JSON fields of a record."""
    return {
        "name": record.name,
        "type": record.kind,
        "ttl": TTL_S,
        "value": record.value() if record.fields else None,
        "zone": record.line() if record.fields else None,
        "level": record.level,
        "reason": record.reason,
        "condition": record.condition or None,
    }
