"""Rules about aliases by pattern."""

from collections.abc import Iterator
from typing import NamedTuple

from mailroster.analysis.checks import ambiguity
from mailroster.analysis.checks.aliases import not_existing, unknown_addresses
from mailroster.analysis.checks.pattern_shape import Pattern
from mailroster.analysis.checks.subject import Subject, excerpt, first_few
from mailroster.base.address import split
from mailroster.base.findings import INFO, WARNING, Finding, Location, ParseError
from mailroster.roster.formats import regexp

#: The most steps to judge all patterns of a file; some seconds.
_STEPS_MAX = 1_000_000
_SIMPLER = "write it so that each text can match in only one way"
_WORK = {
    ambiguity.EXPONENTIAL: "can match one text in very many ways",
    ambiguity.POWER: "has many repetitions that can match the same text",
    ambiguity.UNKNOWN: "is too complex to judge",
}


class PatternLine(NamedTuple):
    """An `if` or a rule of the file: its place, its pattern and result, the `if`s around it."""

    where: Location
    kind: str
    text: str
    pattern: Pattern
    result: str
    within: tuple[int, ...]


def pattern_lines(subject: Subject) -> Iterator[PatternLine]:
    """Every `if` and every rule, in the order of the file."""
    document = subject.roster.regexp
    for position, rule, within in regexp.placed(document):
        if rule.kind != "endif":
            where, pattern = document.location(position), Pattern.of(rule.pattern)
            yield PatternLine(where, rule.kind, rule.pattern, pattern, rule.result, within)


def rules(subject: Subject) -> Iterator[PatternLine]:
    return (line for line in pattern_lines(subject) if line.kind == "match")


def dangling(subject: Subject) -> Iterator[Finding]:
    """A rule that leads to an address that should exist here and does not."""
    for rule in rules(subject):
        plain = (w for w in regexp.recipients(rule.result) if "$" not in w and '"' not in w)
        if unknown := unknown_addresses(subject, plain):
            message = f"the rule leads to {not_existing(unknown)}"
            hint = "correct the address, or add the account"
            yield Finding(rule.where, WARNING, "dangling-alias", message, hint)


def capturing(subject: Subject) -> Iterator[Finding]:
    """A rule that redirects the mail of mailboxes, as pcre itself matches them."""
    captured: dict[int, list[str]] = {}
    for address, position in subject.captors.items():
        if not _keeps_mail(subject, address):
            captured.setdefault(position, []).append(address)
    document = subject.roster.regexp
    for position, mailboxes in captured.items():
        number = len(mailboxes)
        noun = "a mailbox" if number == 1 else f"{number} mailboxes"
        message = f"the rule redirects all mail of {noun}: {first_few(mailboxes)}"
        hint = "make the pattern narrower, or allow the finding if this is intended"
        where = document.location(position)
        yield Finding(where, WARNING, "regexp-captures-mailbox", message, hint)


def _keeps_mail(subject: Subject, address: str) -> bool:
    """Whether an alias comes before the rules, or a rule leads back to the mailbox."""
    if address in subject.roster.virtual:
        return True
    try:
        match = subject.router.lookup(address)
    except ParseError:
        return False
    return match is not None and address in (result.lower() for result in match.results)


def unanchored(subject: Subject) -> Iterator[Finding]:
    """A pattern that also matches in the middle of a name, or the beginning of a domain."""
    for rule in rules(subject):
        pattern = rule.pattern
        if pattern.negated or pattern.matches_every_domain():
            continue
        if pattern.has_open_start():
            message = f"{excerpt(rule.text)} also matches in the middle of other addresses"
            hint = "begin it with ^, or with ^.* if this is intended"
            yield Finding(rule.where, WARNING, "regexp-unanchored", message, hint)
        elif pattern.has_open_end() and not rule.within:
            message = f"{excerpt(rule.text)} also matches the beginning of longer addresses"
            yield Finding(rule.where, INFO, "regexp-open-end", message, "end it with $")


def of_every_domain(subject: Subject) -> Iterator[Finding]:
    """A pattern that also matches addresses elsewhere: it redirects mail of users to them."""
    for rule in rules(subject):
        if not rule.within and rule.pattern.matches_every_domain():
            text = excerpt(rule.text)
            message = f"{text} matches in every domain, so it also redirects mail to other servers"
            hint = "name the domains behind the @, as in @(example\\.com|example\\.org)$"
            yield Finding(rule.where, WARNING, "regexp-every-domain", message, hint)


def with_bare_dot(subject: Subject) -> Iterator[Finding]:
    """A dot between letters, which matches any character."""
    for line in pattern_lines(subject):
        for word in line.pattern.bare_dots():
            plain = word.replace("\\.", ".")
            message = f"a dot in {excerpt(plain)!r} matches any character"
            hint = f"write {excerpt(plain.replace('.', chr(92) + '.'))}"
            yield Finding(line.where, WARNING, "regexp-bare-dot", message, hint)


def backtracking(subject: Subject) -> Iterator[Finding]:
    """A pattern with which one address can keep pcre busy up to its limit."""
    steps, work_of = 0, dict[Pattern, str]()
    for line in pattern_lines(subject):
        pattern = line.pattern
        if steps > _STEPS_MAX:
            message = "the patterns from this line on are not judged: all of them take too long"
            yield Finding(line.where, WARNING, "regexp-backtracking", message, _SIMPLER)
            return
        if pattern not in work_of:
            work_of[pattern], more = ambiguity.judge(pattern.body, pattern.flags)
            steps += more
        if work := work_of[pattern]:
            result = "one address may keep smtpd busy for 0.1 s, and does not match then"
            message = f"{excerpt(line.text)} {_WORK[work]}: {result}"
            yield Finding(line.where, WARNING, "regexp-backtracking", message, _SIMPLER)


def unreachable(subject: Subject) -> Iterator[Finding]:
    """A rule behind one that certainly matches all its addresses."""
    earlier: list[PatternLine] = []
    for rule in rules(subject):
        other = next((each for each in earlier if _covers(each, rule)), None)
        if other is None:
            earlier.append(rule)
            continue
        message = f"the rule is never used: line {other.where.line} matches all its addresses"
        hint = "move it before that line, or remove it"
        yield Finding(rule.where, WARNING, "unreachable-rule", message, hint)


def _covers(other: PatternLine, rule: PatternLine) -> bool:
    """Whether an earlier rule certainly matches everything that a rule could match."""
    if other.within != rule.within[: len(other.within)]:
        return False
    if other.pattern == rule.pattern or other.pattern.matches_all():
        return True
    end = other.pattern.whole_domain()
    return bool(end) and rule.pattern.lies_in(end)


def unserved(subject: Subject) -> Iterator[Finding]:
    """A pattern for a domain that is not served."""
    roster = subject.roster
    served = {subject.router.origin}
    for document in (roster.accounts, roster.virtual) if roster.regexp.index else ():
        served.update(split(key)[1] for key in document.counted())
    for line in pattern_lines(subject):
        domain, is_whole = line.pattern.domain()
        suffix = line.pattern.suffix()
        messages = []
        if "." in suffix and not any(other.endswith(suffix) for other in served):
            messages.append(f"no domain that ends in {suffix!r} is served, so no mail matches")
        is_begun = not is_whole and any(other.startswith(domain) for other in served)
        if "." in domain and domain not in served and not is_begun:
            messages.append(f"{domain!r} is not served, so no mail matches")
        for message in messages:
            hint = "add an account or an alias in that domain; a pattern alone is not enough"
            yield Finding(line.where, WARNING, "regexp-foreign-domain", message, hint)


RULES = (
    dangling,
    capturing,
    unanchored,
    of_every_domain,
    with_bare_dot,
    backtracking,
    unreachable,
    unserved,
)
