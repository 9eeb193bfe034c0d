"""The patterns of `postfix-regexp.cf`: adds, checks and tries them."""

from collections.abc import Sequence

from mailroster.app.home import Edit, Home
from mailroster.base.address import split
from mailroster.base.findings import Finding
from mailroster.edits import patterns
from mailroster.edits.notes import NoteChange, annotate_at
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.regexp import Rule
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.servers import pattern_trace
from mailroster.servers.pattern_trace import Trial
from mailroster.servers.patterns import NoPcre, regexp_findings


def rule_edit(home: Home, pattern: str, recipients: Sequence[str], note: NoteChange) -> Edit:
    """The edit that adds recipients to a rule, or a rule, with an annotation."""

    def edit(roster: Roster) -> Roster:
        after = roster
        if not note or patterns.rule_with(roster.regexp, pattern, recipients) is None:
            after = patterns.add_rule(
                roster, pattern, recipients, lambda document: judge(home, document)
            )
            routers = _router(home, roster), _router(home, after)
            patterns.refuse_endless(*routers, recipients)
        position = patterns.rule_with(after.regexp, pattern, recipients)
        return annotate_at(after, "regexp", position, note)

    return edit


def judge(home: Home, document: Document[Rule]) -> list[Finding]:
    """The errors that Postfix reports for the file; a warning instead if there is no Postfix."""
    try:
        return regexp_findings(document)
    except NoPcre as error:
        home.warn(f"the patterns are not checked: {error}")
        return []


def faults(home: Home) -> list[Finding]:
    """The findings that keep the current file from going live."""
    document = home.roster().regexp
    return sorted((*document.findings(), *judge(home, document)))


def accepts(home: Home, roster: Roster, address: str) -> bool:
    """Whether the server accepts mail for the domain of an address."""
    return _router(home, roster).serves(split(address)[1].lower())


def trials(roster: Roster, address: str) -> list[Trial]:
    """The rules up to the first that matches an address. Raises as pattern_trace.trials does."""
    return pattern_trace.trials(roster.regexp, address)


def _router(home: Home, roster: Roster) -> Router:
    return home.router(roster, roster.virtual.index)
