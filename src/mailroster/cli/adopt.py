"""`mailroster adopt`: reports how a folder of docker-mailserver would be served."""

import os

from mailroster.app.adopt.assessment import assess
from mailroster.app.adopt.remark import DIFFERS, FIX, MISSING, OTHER_WAY
from mailroster.base.findings import ERROR, WARNING
from mailroster.cli import adopt_report
from mailroster.cli.call import Call
from mailroster.cli.finding_limit import limit_findings


def adopt(call: Call) -> int:
    """Prints the report; changes nothing. Exits with 1 if an error has to be fixed first, and with
    --strict also if anything else differs, is missing or is a likely mistake."""
    assessed = assess(call.home, call.arguments[0], os.environ)
    findings = limit_findings(sorted(assessed.findings)).findings
    kinds = {remark.kind for remark in assessed.outlook.remarks}
    kinds |= {finding.severity for finding in findings}
    has_errors = not kinds.isdisjoint({FIX, ERROR})
    steps = [] if has_errors else adopt_report.steps(assessed)
    adopt_report.show(call, assessed, findings, steps)
    if "--strict" in call.options:
        return 1 if kinds & {FIX, ERROR, DIFFERS, OTHER_WAY, MISSING, WARNING} else 0
    return 1 if has_errors else 0
