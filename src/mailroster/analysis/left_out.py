"""What an export of accounts, quotas and aliases leaves out. Pure."""

from mailroster.analysis.checks import quotas
from mailroster.analysis.checks.subject import Subject
from mailroster.base.findings import Finding
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router


def left_out(roster: Roster) -> list[Finding]:
    """The lines of these files that are no entry: those that can't be read or don't count, and
    quotas without an account."""
    found = [*roster.accounts.findings(), *roster.quotas.findings(), *roster.virtual.findings()]
    subject = Subject(Router(roster, "", lambda address: None)).in_memory()
    return [*found, *quotas.without_account(subject)]
