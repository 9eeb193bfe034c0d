"""How many findings are shown: of each code in each file so many, and one line for the rest.

A folder from elsewhere may have a million faults of one kind. Nobody reads them all, and to keep
them takes memory and time; all of them are counted.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base.findings import Finding, Location

#: Findings of one code in one file that are shown.
SHOWN_MAX = 1000


class Shown(NamedTuple):
    """Some findings, in the order of files and lines, with a line for each code of which a file has
    more; and how many there are of each severity, shown or not."""

    findings: list[Finding]
    severities: Counter[str]


def shown(found: Iterable[Finding], most: int = SHOWN_MAX) -> Shown:
    """The first `most` of each code in each file, as they come."""
    kept: list[Finding] = []
    severities: Counter[str] = Counter()
    kinds: Counter[tuple[str, str, str]] = Counter()
    first_left_out: dict[tuple[str, str, str], Location] = {}
    for finding in found:
        severities[finding.severity] += 1
        kind = finding.where.file, finding.severity, finding.code
        kinds[kind] += 1
        if kinds[kind] <= most:
            kept.append(finding)
        else:
            first_left_out.setdefault(kind, finding.where)
    for kind, where in first_left_out.items():
        _, severity, code = kind
        message = f"{kinds[kind] - most:,} more findings like those above are not shown"
        kept.append(Finding(where, severity, code, message, "fix those first, then check again"))
    return Shown(sorted(kept), severities)
