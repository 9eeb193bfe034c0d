"""`setup regexp`."""

from mailroster.app import patterns as app_patterns
from mailroster.base.address import split
from mailroster.base.findings import TryAgain
from mailroster.cli.call import Call, any_address, print_json, print_list, recipients, warn
from mailroster.cli.edit import run_edit
from mailroster.cli.notes import lines_of, said
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
    edit = app_patterns.adding(call.home, pattern, targets, said(call))
    return _edited(call, run_edit(call, edit, judged=True))


def delete(call: Call) -> int:
    pattern = _pattern(call.arguments[0])
    targets = recipients(call.arguments[1], regexp.recipient) if call.arguments[1:] else []

    def edit(roster: Roster) -> Roster:
        after = patterns.delete_rule(roster, pattern, targets)
        if after.regexp.same_as(roster.regexp):
            warn(f"there is no such rule {pattern}; 'setup regexp list' shows those that are")
        return after

    return _edited(call, run_edit(call, edit))


def show(call: Call) -> int:
    """Each rule as it stands in the file, the lines of one joined; those in an `if` further in."""
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
                    "within": [_pattern_at(document, place) for place in within],
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
            + lines_of(notes.get(position))
            for position, _, within in rules
        ]
    )
    return 0


def test(call: Call) -> int:
    """What the rules make of an address; exit 1 if none matches, or if no mail for it comes in."""
    home, roster = call.home, call.home.roster("regexp", "virtual", "accounts")
    address = any_address(call.arguments[0], call.settings.hostname)
    domain = split(address)[1].lower()
    accepted = app_patterns.accepts(home, roster, address)
    if not accepted:
        warn(
            f"warning: no mail for {domain} comes in: no account and no alias is in that domain; a "
            "pattern counts for mail from here only"
        )
    found = app_patterns.trials(roster, address)
    result = next((trial.result for trial in found if trial.result is not None), None)
    for finding in app_patterns.judge(home, roster.regexp):
        warn(f"warning: {finding}")
    position = roster.virtual.position(address.lower())
    if position is not None:
        where = roster.virtual.location(position)
        warn(f"note: {where} has an alias of just this address, which comes before the rules")
    if "--json" in call.options:
        tried = [{"line": t.line, "pattern": t.pattern, "outcome": t.outcome} for t in found]
        answer = None if result is None else regexp.recipients(result)
        print_json({"address": address, "accepted": accepted, "recipients": answer, "tried": tried})
    else:
        for trial in found:
            print(f"{roster.regexp.format.file}:{trial.line}: {trial.told()}")
        if result is None:
            print(f"no rule matches {address}")
    return 0 if result is not None and accepted else 1


def _pattern(text: str) -> str:
    found = regexp.pattern(text)
    if found != text.strip():
        warn(f"{text!r} is taken as {found}")
    return found


def _pattern_at(document: Document[Rule], position: int) -> str:
    rule = document.readable(document.line(position))
    assert rule is not None
    return rule.pattern


def _edited(call: Call, status: int) -> int:
    """The exit status of an edit: faults that were there before keep the whole file out."""
    if call.is_dry_run():
        return status
    faults = app_patterns.faults(call.home)
    for finding in faults:
        warn(str(finding))
    if faults and call.home.is_served() and "--no-wait" not in call.options:
        raise TryAgain(
            "the file is changed, but the change is not live: as long as it has an error, "
            f"{regexp.REGEXP.file} stays out as a whole"
        )
    return status
