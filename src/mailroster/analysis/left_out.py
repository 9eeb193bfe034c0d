"""The lines that an export of accounts, quotas and aliases leaves out. Pure."""

from mailroster.analysis.checks import quotas
from mailroster.analysis.checks.subject import Subject
from mailroster.base.findings import Finding
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router


def left_out(roster: Roster) -> list[Finding]:
    """Findings about the lines of these files that can't be read or don't count, and about quotas
    without an account."""
    findings = [*roster.accounts.findings(), *roster.quotas.findings(), *roster.virtual.findings()]
    subject = Subject(Router(roster, "", lambda address: None)).in_memory()
    return [*findings, *quotas.without_account(subject)]
