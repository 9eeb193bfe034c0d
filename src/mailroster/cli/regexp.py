"""`setup regexp`."""

from mailroster.base.findings import Busy, Finding
from mailroster.cli.call import Call, print_json, print_list, recipients, warn
from mailroster.cli.notes import lines_of, said
from mailroster.edits import patterns
from mailroster.edits.notes import annotate_at
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import Notes, noted
from mailroster.roster.documents.text import content
from mailroster.roster.formats import regexp
from mailroster.roster.formats.regexp import Rule
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.system.programs import NoPcre, prime, regexp_findings


def add(call: Call) -> int:
    pattern = _pattern(call.arguments[0])
    targets = recipients(call.arguments[1], regexp.recipient)
    about = said(call)

    def verb(roster: Roster) -> Roster:
        after = roster
        if not about or patterns.rule_with(roster.regexp, pattern, targets) is None:
            after = patterns.add_rule(roster, pattern, targets, _judge)
            patterns.refuse_endless(_router(call, roster), _router(call, after), targets)
        position = patterns.rule_with(after.regexp, pattern, targets)
        return annotate_at(after, "regexp", position, about)

    return _edited(call, call.edit(verb, judged=True))


def delete(call: Call) -> int:
    pattern = _pattern(call.arguments[0])
    targets = recipients(call.arguments[1], regexp.recipient) if call.arguments[1:] else []

    def verb(roster: Roster) -> Roster:
        after = patterns.delete_rule(roster, pattern, targets)
        if after.regexp.same_as(roster.regexp):
            warn(f"there is no such rule {pattern}; 'setup regexp list' shows those that are")
        return after

    return _edited(call, call.edit(verb))


def show(call: Call) -> int:
    """Each rule as it stands in the file, the lines of one joined; those in an `if` further in."""
    document = call.roster("regexp").regexp
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
    from mailroster.base.address import split
    from mailroster.cli.call import any_address
    from mailroster.routing.trace import is_served
    from mailroster.servers.pattern_trace import trials

    roster = call.roster("regexp", "virtual", "accounts")
    address = any_address(call.arguments[0], call.settings.hostname)
    domain = split(address)[1].lower()
    accepted = is_served(_router(call, roster), domain)
    if not accepted:
        warn(
            f"warning: no mail for {domain} comes in: no account and no alias is in that domain; a "
            "pattern counts for mail from here only"
        )
    found = trials(roster.regexp, address)
    result = next((trial.result for trial in found if trial.result is not None), None)
    for finding in _judge(roster.regexp):
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


def _router(call: Call, roster: Roster) -> Router:
    router = call.router(roster)
    prime(router, roster.virtual.index)
    return router


def _pattern(text: str) -> str:
    found = regexp.pattern(text)
    if found != text.strip():
        warn(f"{text!r} is taken as {found}")
    return found


def _is_anchored(pattern: str) -> bool:
    bare = pattern.lstrip("! \t")
    body = bare[1 : bare.rindex(bare[0])]
    return pattern[0] == "!" or (body.startswith("^") and body.endswith("$"))


def _pattern_at(document: Document[Rule], position: int) -> str:
    rule = document.readable(document.line(position))
    assert rule is not None
    return rule.pattern


def _judge(document: Document[Rule]) -> list[Finding]:
    """What is wrong with the file, by Postfix's own word where there is a Postfix."""
    try:
        return regexp_findings(document)
    except NoPcre as error:
        warn(f"the patterns are not checked: {error}")
        return []


def _edited(call: Call, status: int) -> int:
    """The exit status of an edit: faults that were there before keep the whole file out."""
    if "--dry-run" in call.options:
        return status
    document = call.roster().regexp
    faults = sorted((*document.findings(), *_judge(document)))
    for finding in faults:
        warn(str(finding))
    if faults and call.is_served() and "--no-wait" not in call.options:
        raise Busy(
            "the file is changed, but the change is not live: as long as it has an error, "
            f"{document.format.file} stays out as a whole"
        )
    return status
