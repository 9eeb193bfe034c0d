"""`setup check`: prints the findings of the config folder, or the page of a code."""

from collections import Counter

from mailroster.app.check import check_home
from mailroster.base.findings import ERROR, INFO, WARNING, Refused, UsageError
from mailroster.cli import check_pages, check_reports
from mailroster.cli.call import Call
from mailroster.cli.finding_limit import LimitedFindings, limit_findings


def check(call: Call) -> int:
    """Reports the selected findings; exits with 1 on an error, with --strict also on a warning."""
    options = call.options
    if "--explain" in options:
        return _explain(options["--explain"])
    report = _report(call)
    findings = check_home(call.home)
    only, ignored = _codes(options, "--rule"), _codes(options, "--ignore")
    result = limit_findings(
        finding
        for finding in findings
        if (not only or finding.code in only) and finding.code not in ignored
    )
    if "--info" in options or only:
        report(result, 0)
    else:
        report(_without_notes(result), result.severities[INFO])
    failing = (ERROR, WARNING) if "--strict" in options else (ERROR,)
    return 1 if any(result.severities[severity] for severity in failing) else 0


def _without_notes(result: LimitedFindings) -> LimitedFindings:
    severities = Counter({s: number for s, number in result.severities.items() if s != INFO})
    return LimitedFindings(
        [finding for finding in result.findings if finding.severity != INFO], severities
    )


def _report(call: Call) -> check_reports.Report:
    name = call.options.get("--format", "json" if "--json" in call.options else "text")
    if name not in check_reports.REPORTS:
        raise UsageError(f"unknown format {name!r}; use one of: {', '.join(check_reports.REPORTS)}")
    if name != "json" and "--json" in call.options:
        raise UsageError(f"--json and --format {name} exclude each other")
    return check_reports.REPORTS[name](call.settings.config)


def _codes(options: dict[str, str], name: str) -> frozenset[str]:
    """The codes in the value of an option. Raises UsageError for an unknown one."""
    codes = options.get(name, "").replace(",", " ").split()
    for code in codes:
        if not check_pages.page(code):
            raise UsageError(_unknown(code))
    if name in options and not codes:
        raise UsageError(f"{name} names no code")
    return frozenset(codes)


def _explain(code: str) -> int:
    text = check_pages.page(code) or check_pages.page(code, check_pages.DNS)
    if not text:
        raise Refused(_unknown(code))
    print(text, end="")
    return 0


def _unknown(code: str) -> str:
    from mailroster.cli.hints import did_you_mean

    return f"there is no code {code!r}{did_you_mean(code, check_pages.codes())}"
