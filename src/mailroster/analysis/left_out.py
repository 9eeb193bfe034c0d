"""The lines that an export of accounts, their quotas and app passwords, and aliases leaves out.
Pure."""

from typing import Any

from mailroster.analysis.checks import app_passwords, quotas
from mailroster.analysis.checks.subject import Subject
from mailroster.base.findings import Finding
from mailroster.roster.documents.document import Document
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router


def left_out(roster: Roster) -> list[Finding]:
    """Findings about the lines of these files that can't be read or don't count, and about quotas
    and app passwords without an account."""
    documents: list[Document[Any]] = [roster.accounts, roster.quotas, roster.virtual]
    documents.append(roster.app_passwords)
    findings = [finding for document in documents for finding in document.findings()]
    subject = Subject(Router(roster, "", lambda address: None)).in_memory()
    return [
        *findings,
        *quotas.without_account(subject),
        *app_passwords.without_account(subject),
    ]
