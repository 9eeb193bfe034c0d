"""`mailroster adopt`: what would be served from the folder of a docker-mailserver."""

import os

from mailroster.app.adopt.assessment import assess
from mailroster.app.adopt.remark import DIFFERS, FIX, MISSING, OTHER_WAY
from mailroster.base.findings import ERROR, WARNING
from mailroster.cli import adopt_report
from mailroster.cli.call import Call
from mailroster.cli.shown import shown


def adopt(call: Call) -> int:
    """Reports it, and changes nothing; exit 1 if something has to be fixed first, or with --strict
    if anything else is to be done or known."""
    assessed = assess(call.home, call.arguments[0], os.environ)
    findings = shown(sorted(assessed.findings)).findings
    kinds = {remark.kind for remark in assessed.outlook.remarks}
    kinds |= {finding.severity for finding in findings}
    is_bad = not kinds.isdisjoint({FIX, ERROR})
    steps = [] if is_bad else adopt_report.steps(assessed)
    adopt_report.show(call, assessed, findings, steps)
    if "--strict" in call.options:
        return 1 if kinds & {FIX, ERROR, DIFFERS, OTHER_WAY, MISSING, WARNING} else 0
    return 1 if is_bad else 0
