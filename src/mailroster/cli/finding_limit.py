"""Limits the number of findings that a command prints.

A foreign folder may have a million faults of one kind. They are counted, but only the first of each
code in each file are stored and printed.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base.findings import Finding, Location

#: The limit for one code in one file.
LIMIT = 1000


class LimitedFindings(NamedTuple):
    """The findings to print, sorted, with a finding for each group that was cut; and the number of
    all findings by severity."""

    findings: list[Finding]
    severities: Counter[str]


def limit_findings(findings: Iterable[Finding], limit: int = LIMIT) -> LimitedFindings:
    """The first `limit` findings of each code in each file."""
    kept: list[Finding] = []
    severities: Counter[str] = Counter()
    counts: Counter[tuple[str, str, str]] = Counter()
    first_hidden: dict[tuple[str, str, str], Location] = {}
    for finding in findings:
        severities[finding.severity] += 1
        kind = finding.where.file, finding.severity, finding.code
        counts[kind] += 1
        if counts[kind] <= limit:
            kept.append(finding)
        else:
            first_hidden.setdefault(kind, finding.where)
    for kind, where in first_hidden.items():
        _, severity, code = kind
        message = f"{counts[kind] - limit:,} more findings of this kind are not shown"
        kept.append(
            Finding(where, severity, code, message, "fix the findings above, then check again")
        )
    return LimitedFindings(sorted(kept), severities)
