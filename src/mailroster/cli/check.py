"""`setup check`: what is wrong with the folder, and what a code means."""

from collections import Counter

from mailroster.app.check import check_home
from mailroster.base.findings import ERROR, INFO, WARNING, Refused, UsageError
from mailroster.cli import check_pages, check_reports
from mailroster.cli.call import Call
from mailroster.cli.shown import Shown, shown


def check(call: Call) -> int:
    """Every finding that is asked for; exit 1 if there is an error, or with --strict a warning."""
    options = call.options
    if "--explain" in options:
        return _explain(options["--explain"])
    report = _report(call)
    findings = check_home(call.home)
    only, ignored = _codes(options, "--rule"), _codes(options, "--ignore")
    found = shown(
        finding
        for finding in findings
        if (not only or finding.code in only) and finding.code not in ignored
    )
    hides_notes = not ("--info" in options or only)
    report(_without_notes(found) if hides_notes else found, found.severities[INFO] * hides_notes)
    failing = (ERROR, WARNING) if "--strict" in options else (ERROR,)
    return 1 if any(found.severities[severity] for severity in failing) else 0


def _without_notes(found: Shown) -> Shown:
    severities = Counter({s: number for s, number in found.severities.items() if s != INFO})
    return Shown([finding for finding in found.findings if finding.severity != INFO], severities)


def _report(call: Call) -> check_reports.Report:
    name = call.options.get("--format", "json" if "--json" in call.options else "text")
    if name not in check_reports.REPORTS:
        raise UsageError(f"{name!r} is none of {', '.join(check_reports.REPORTS)}")
    if name != "json" and "--json" in call.options:
        raise UsageError(f"--json and --format {name} exclude each other")
    return check_reports.REPORTS[name](call.settings.config)


def _codes(options: dict[str, str], name: str) -> frozenset[str]:
    """The codes that an option names. Raises UsageError for one that there isn't."""
    codes = options.get(name, "").replace(",", " ").split()
    for code in codes:
        if not check_pages.page(code):
            raise UsageError(_unknown(code))
    if name in options and not codes:
        raise UsageError(f"{name} names no code")
    return frozenset(codes)


def _explain(code: str) -> int:
    text = check_pages.page(code)
    if not text:
        raise Refused(_unknown(code))
    print(text, end="")
    return 0


def _unknown(code: str) -> str:
    import difflib

    near = difflib.get_close_matches(code, check_pages.codes(), 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"there is no code {code!r}{hint}"
