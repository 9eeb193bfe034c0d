"""Rules about aliases by pattern."""

from collections.abc import Iterator
from typing import NamedTuple

from mailroster.analysis.checks import ambiguity
from mailroster.analysis.checks.aliases import nobodies
from mailroster.analysis.checks.pattern_shape import Pattern
from mailroster.analysis.checks.subject import Subject, shown, some
from mailroster.base.address import split
from mailroster.base.findings import INFO, WARNING, Finding, Location, ParseError
from mailroster.roster.formats.regexp import Rule

#: Steps that all patterns of a file may take to be judged; some seconds.
_STEPS_MAX = 1_000_000
_SIMPLER = "write it so that a text can be matched in one way only"
_SLOW = {
    ambiguity.EXPONENTIAL: "can match one text in very many ways",
    ambiguity.POWER: "has many repetitions that can share one text",
    ambiguity.UNKNOWN: "is too complex to tell how much work it is",
}


class Placed(NamedTuple):
    """A rule that can be read, where it stands, and the `if`s around it."""

    where: Location
    position: int
    rule: Rule
    pattern: Pattern
    blocks: tuple[int, ...]


def placed(subject: Subject) -> Iterator[Placed]:
    """Every `if` and every rule with a result, in the order of the file."""
    document = subject.roster.regexp
    blocks: list[int] = []
    for position, line in enumerate(document.lines):
        rule = document.readable(line)
        if rule is None:
            continue
        if rule.kind == "endif":
            del blocks[-1:]
            continue
        where = document.location(position)
        yield Placed(where, position, rule, Pattern.of(rule.pattern), tuple(blocks))
        if rule.kind == "if":
            blocks.append(position)


def matches(subject: Subject) -> Iterator[Placed]:
    return (found for found in placed(subject) if found.rule.kind == "match")


def dangling(subject: Subject) -> Iterator[Finding]:
    """A rule that leads to an address of ours that nobody takes."""
    for found in matches(subject):
        words = found.rule.result.replace(",", " ").split()
        lost = nobodies(subject, (word for word in words if "$" not in word and '"' not in word))
        if lost:
            message = f"the rule leads to {some(lost)}, which does not exist here"
            hint = "correct the address, or add the account"
            yield Finding(found.where, WARNING, "dangling-alias", message, hint)


def capturing(subject: Subject) -> Iterator[Finding]:
    """A rule that takes the mail of mailboxes, as pcre itself finds."""
    taken: dict[int, list[str]] = {}
    for address, position in subject.captors.items():
        if not _keeps_copy(subject, address):
            taken.setdefault(position, []).append(address)
    document = subject.roster.regexp
    for position, mailboxes in taken.items():
        number = len(mailboxes)
        boxes = "a mailbox, which gets" if number == 1 else f"{number} mailboxes, which get"
        message = f"the rule takes the mail of {boxes} none: {some(mailboxes)}"
        hint = "make the pattern narrower, or allow it if it is meant"
        where = document.location(position)
        yield Finding(where, WARNING, "regexp-captures-mailbox", message, hint)


def _keeps_copy(subject: Subject, address: str) -> bool:
    """Whether a mailbox is never asked about by the rules, or among the recipients of its own."""
    if address in subject.roster.virtual:
        return True  # an alias comes before
    try:
        match = subject.router.lookup(address)
    except ParseError:
        return False
    return match is not None and address in (result.lower() for result in match.results)


def unanchored(subject: Subject) -> Iterator[Finding]:
    """Patterns that match more than they seem to: in the middle of a name, or of a domain."""
    for found in matches(subject):
        pattern = found.pattern
        if pattern.negated or pattern.matches_every_domain():
            continue
        if pattern.has_open_start():
            message = f"{shown(found.rule.pattern)} matches in the middle of other addresses too"
            hint = "begin it with ^, or with ^.* if that is meant"
            yield Finding(found.where, WARNING, "regexp-unanchored", message, hint)
        elif pattern.has_open_end() and not found.blocks:
            message = f"{shown(found.rule.pattern)} matches the beginning of longer addresses too"
            hint = "end it with $"
            yield Finding(found.where, INFO, "regexp-open-end", message, hint)


def of_every_domain(subject: Subject) -> Iterator[Finding]:
    """Patterns that also match addresses elsewhere: they take mail that users here send there."""
    for found in matches(subject):
        if found.blocks or not found.pattern.matches_every_domain():
            continue
        text = shown(found.rule.pattern)
        message = f"{text} matches in every domain: it also takes mail from here to other people's"
        hint = "write the domains behind the @, as @(example\\.com|example\\.org)$"
        yield Finding(found.where, WARNING, "regexp-every-domain", message, hint)


def with_bare_dot(subject: Subject) -> Iterator[Finding]:
    """A dot between letters: it matches any character."""
    for found in placed(subject):
        for word in found.pattern.bare_dots():
            plain = word.replace("\\.", ".")
            message = f"a dot in {shown(plain)!r} matches any character"
            hint = f"write {shown(plain.replace('.', chr(92) + '.'))}"
            yield Finding(found.where, WARNING, "regexp-bare-dot", message, hint)


def backtracking(subject: Subject) -> Iterator[Finding]:
    """Patterns with which one address can keep pcre busy up to its limit."""
    steps, known = 0, dict[Pattern, str]()
    for found in placed(subject):
        pattern = found.pattern
        if steps > _STEPS_MAX:
            message = "it is not known how much work the patterns from this line on are: too many"
            yield Finding(found.where, WARNING, "regexp-backtracking", message, _SIMPLER)
            return
        if pattern not in known:
            known[pattern], more = ambiguity.judge(pattern.body, pattern.flags)
            steps += more
        if known[pattern]:
            message = f"{shown(found.rule.pattern)} {_slowness(known[pattern])}"
            yield Finding(found.where, WARNING, "regexp-backtracking", message, _SIMPLER)


def _slowness(work: str) -> str:
    return f"{_SLOW[work]}: one address may keep smtpd busy for 0.1 s, and does not match then"


def unreachable(subject: Subject) -> Iterator[Finding]:
    """A rule behind one that certainly takes all that it could match."""
    before: list[Placed] = []
    for found in matches(subject):
        for other in before:
            if other.blocks == found.blocks[: len(other.blocks)] and _covers(other, found):
                message = (
                    f"the rule is never asked: line {other.where.line} takes all that it matches"
                )
                hint = "put it before that line, or remove it"
                yield Finding(found.where, WARNING, "unreachable-rule", message, hint)
                break
        else:
            before.append(found)


def _covers(other: Placed, found: Placed) -> bool:
    if other.pattern == found.pattern or other.pattern.matches_all():
        return True
    end = other.pattern.whole_domain()
    return bool(end) and found.pattern.lies_in(end)


def unserved(subject: Subject) -> Iterator[Finding]:
    """A pattern for a domain that is not ours: no mail for it comes in."""
    roster = subject.roster
    served = {subject.router.origin}
    for document in (roster.accounts, roster.virtual) if roster.regexp.index else ():
        served.update(split(key)[1] for key in document.counted())
    for found in placed(subject):
        domain, ends = found.pattern.domain()
        suffix = found.pattern.suffix()
        if "." in suffix and not any(other.endswith(suffix) for other in served):
            message = f"no mail for domains that end in {suffix!r} comes in: none of them is served"
            hint = "give each of them an account or an alias; a pattern makes none ours"
            yield Finding(found.where, WARNING, "regexp-foreign-domain", message, hint)
        if "." not in domain or domain in served:
            continue
        if ends or not any(other.startswith(domain) for other in served):
            message = f"no mail for {domain!r} comes in: no account and no alias is in that domain"
            hint = "give the domain an account or an alias; a pattern makes none ours"
            yield Finding(found.where, WARNING, "regexp-foreign-domain", message, hint)
