"""`setup regexp`: aliases by pattern."""

from mailroster.app import patterns as app_patterns
from mailroster.base.address import split
from mailroster.base.findings import TryAgain
from mailroster.cli.call import Call, any_address, print_json, print_list, recipients
from mailroster.cli.edit import run_edit
from mailroster.cli.notes import note_change, note_lines
from mailroster.cli.streams import warn
from mailroster.edits import patterns
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import Notes, noted
from mailroster.roster.documents.text import content
from mailroster.roster.formats import regexp
from mailroster.roster.formats.regexp import Rule
from mailroster.roster.roster import Roster


def add(call: Call) -> int:
    pattern = _pattern(call.arguments[0])
    targets = recipients(call.arguments[1], regexp.recipient)
    edit = app_patterns.rule_edit(call.home, pattern, targets, note_change(call))
    return _check_file(call, run_edit(call, edit, report_findings=True))


def delete(call: Call) -> int:
    pattern = _pattern(call.arguments[0])
    targets = recipients(call.arguments[1], regexp.recipient) if call.arguments[1:] else []

    def edit(roster: Roster) -> Roster:
        after = patterns.delete_rule(roster, pattern, targets)
        if after.regexp.same_as(roster.regexp):
            warn(f"there is no rule {pattern}; see 'setup regexp list'")
        return after

    return _check_file(call, run_edit(call, edit))


def show(call: Call) -> int:
    """Prints each rule as it is in the file, with continuation lines joined. Rules in an `if` are
    indented."""
    document = call.home.roster("regexp").regexp
    rules = regexp.placed(document)
    notes = noted(document)
    if "--json" in call.options:
        print_json(
            [
                {
                    "line": document.number(position),
                    "pattern": rule.pattern,
                    "recipients": regexp.recipients(rule.result),
                    "within": [_pattern_at(document, outer) for outer in within],
                    "comment": notes.get(position, Notes()).comment or None,
                }
                for position, rule, within in rules
                if rule.kind == "match"
            ]
        )
        return 0
    print_list(
        [
            f"* {'    ' * len(within)}{content(document.line(position))}"
            + note_lines(notes.get(position))
            for position, _, within in rules
        ]
    )
    return 0


def test(call: Call) -> int:
    """Prints how each rule treats an address; exits with 1 if none matches, or if Postfix accepts
    no mail for its domain."""
    home, roster = call.home, call.home.roster("regexp", "virtual", "accounts")
    address = any_address(call.arguments[0], call.settings.hostname)
    domain = split(address)[1].lower()
    accepted = app_patterns.accepts(home, roster, address)
    if not accepted:
        warn(
            f"warning: Postfix accepts no mail for {domain}: no account and no alias is in that "
            "domain; the rules apply only to mail from this server"
        )
    trials = app_patterns.trials(roster, address)
    result = next((trial.result for trial in trials if trial.result is not None), None)
    for finding in app_patterns.judge(home, roster.regexp):
        warn(f"warning: {finding}")
    position = roster.virtual.position(address.lower())
    if position is not None:
        where = roster.virtual.location(position)
        warn(f"note: {where} is an alias of this address; Postfix uses it before the rules")
    if "--json" in call.options:
        tried = [{"line": t.line, "pattern": t.pattern, "outcome": t.outcome} for t in trials]
        answer = None if result is None else regexp.recipients(result)
        print_json({"address": address, "accepted": accepted, "recipients": answer, "tried": tried})
    else:
        for trial in trials:
            print(f"{roster.regexp.format.file}:{trial.line}: {trial.describe()}")
        if result is None:
            print(f"no rule matches {address}")
    return 0 if result is not None and accepted else 1


def _pattern(text: str) -> str:
    """A pattern in the form of the file; warns if that differs from the argument."""
    pattern = regexp.pattern(text)
    if pattern != text.strip():
        warn(f"{text!r} is changed to {pattern}")
    return pattern


def _pattern_at(document: Document[Rule], position: int) -> str:
    rule = document.readable(document.line(position))
    assert rule is not None
    return rule.pattern


def _check_file(call: Call, status: int) -> int:
    """The exit status of an edit. Raises TryAgain if an older error keeps the file out."""
    if call.is_dry_run():
        return status
    faults = app_patterns.faults(call.home)
    for finding in faults:
        warn(str(finding))
    if faults and call.home.is_served() and "--no-wait" not in call.options:
        raise TryAgain(
            "the file is changed, but the change is not live: no rule of "
            f"{regexp.REGEXP.file} goes live while the file has an error"
        )
    return status
