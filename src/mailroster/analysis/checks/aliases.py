"""Rules about aliases."""

from collections import Counter
from collections.abc import Iterable, Iterator

from mailroster.analysis.checks.subject import Subject, entries, some
from mailroster.base.address import split
from mailroster.base.findings import INFO, WARNING, Finding, ParseError
from mailroster.roster.documents.text import content
from mailroster.roster.formats.local_aliases import DISCARD
from mailroster.routing.router import EXPANSION_LIMIT, NotFollowed, spelled


def unreasonable(subject: Subject) -> Iterator[Finding]:
    """Loops, endless chains and too many recipients: Postfix would answer with 451."""
    for document in subject.roster.aliases():
        for key, position in document.counted().items():
            try:
                subject.router.follow(key)
            except NotFollowed:
                message = (
                    "the aliases from this line on are not followed: all take too many lookups"
                )
                where = document.location(position)
                hint = "give aliases fewer recipients; what Postfix does with them is not checked"
                yield Finding(where, WARNING, "not-followed", message, hint)
                return
            except ParseError as fault:
                yield fault.at(document.location(position))


def dangling(subject: Subject) -> Iterator[Finding]:
    """A recipient that is an address of ours and does not exist: its mail is refused, or comes
    back if the alias has other recipients."""
    for document in subject.roster.aliases():
        for key, position, alias in entries(document):
            if len(alias.recipients) > EXPANSION_LIMIT:
                continue  # Postfix refuses its mail, as `unreasonable` says
            lost = nobodies(subject, alias.recipients)
            if key in alias.recipients and key not in lost and subject.router.mailbox(key) is None:
                lost.append(key)  # to itself: there the way ends
            if lost:
                message = f"{key!r} leads to {some(lost)}, which does not exist here"
                hint = "correct the address, or add the account"
                where = document.location(position)
                yield Finding(where, WARNING, "dangling-alias", message, hint)


def discarding(subject: Subject) -> Iterator[Finding]:
    """A local alias that discards mail."""
    document = subject.roster.local_aliases
    for key, position, alias in entries(document):
        if DISCARD in alias.recipients:
            message, hint = f"mail to {key!r} is discarded", "leave it if it is meant"
            yield Finding(document.location(position), INFO, "discards-mail", message, hint)


def nobodies(subject: Subject, recipients: Iterable[str]) -> list[str]:
    """Those of some recipients that are addresses of ours and do not exist."""
    accounts = subject.roster.accounts
    return [
        word for word in recipients
        if word not in accounts and word[0] != "@" and is_nobody(subject, word)
    ]  # fmt: skip


def is_nobody(subject: Subject, address: str) -> bool:
    """Whether an address is of a domain that is served here and ends in no mailbox."""
    router = subject.router
    whole = router.qualified(spelled(address))
    local, domain = split(whole.lower())
    if not router.serves(domain):
        return False
    try:
        match = router.lookup(whole)
    except ParseError:
        return False
    if match is None:
        return True
    stays = any(result.lower() == f"{local}@{domain}" for result in match.results)
    return stays and len(match.results) == 1 and router.mailbox(f"{local}@{domain}") is None


def shadowing(subject: Subject) -> Iterator[Finding]:
    """An alias on a mailbox's own address that leaves it out: the mailbox gets no mail."""
    roster, document = subject.roster, subject.roster.virtual
    for key, position in document.counted().items():
        if key not in roster.accounts:
            continue
        try:
            recipients = subject.router.expand(key)
        except ParseError:
            continue
        if not any(subject.router.mailbox(address) == key for address in recipients):
            message = f"the mailbox {key!r} gets no mail: this alias of its name leads elsewhere"
            hint = f"add {key!r} to its recipients to keep a copy"
            where = document.location(position)
            yield Finding(where, WARNING, "alias-shadows-mailbox", message, hint)


def catching_all(subject: Subject) -> Iterator[Finding]:
    """A catch-all, and whom it spares."""
    document = subject.roster.virtual
    keys = [key for key in document.counted() if key[0] == "@"]
    spared: dict[str, list[str]] = {key[1:]: [] for key in keys}
    for address in (*subject.roster.accounts.counted(), *document.counted()) if keys else ():
        local, domain = split(address)
        if local and domain in spared and address not in spared[domain][-1:]:
            spared[domain].append(address)
    for key in keys:
        names = list(dict.fromkeys(spared[key[1:]]))
        spares = f" that nobody else takes; it spares {some(names)}" if names else ""
        message, hint = f"{key!r} takes all mail of its domain{spares}", "leave it if it is meant"
        where = document.location(document.position(key))
        yield Finding(where, INFO, "catch-all", message, hint)


def never_asked(subject: Subject) -> Iterator[Finding]:
    """A bare name whose whole address, with the server's own domain, has an alias or a mailbox; or
    that is an alias in both files."""
    roster, origin = subject.roster, subject.router.origin
    for document in roster.aliases():
        for key, position in document.counted().items():
            if "@" in key:
                continue
            address = f"{key}@{origin}"
            before = "an account" if address in roster.accounts else ""
            before = "an alias" if address in roster.virtual else before
            if document is roster.local_aliases and key in roster.virtual:
                address, before = key, f"an alias in {roster.virtual.format.file}"
            if before:
                message = f"{key!r} is never asked: {address!r} is {before}, and comes before"
                where = document.location(position)
                hint = "remove one of the two"
                yield Finding(where, WARNING, "unreachable-alias", message, hint)


def repeating(subject: Subject) -> Iterator[Finding]:
    """A recipient that stands twice in one alias, in whatever case: it counts once."""
    document = subject.roster.virtual
    for key, position, alias in entries(document):
        if len(alias.recipients) > EXPANSION_LIMIT:
            continue
        line = document.line(position)
        if len(alias.recipients) == 1 and "," not in line:
            continue
        words = content(line).lower().replace(",", " ").split()[1:]
        if len(words) > len(alias.recipients):
            count = Counter(words)
            twice = [word for word in count if count[word] > 1]
            message = f"{key!r} has {some(twice)} more than once"
            where = document.location(position)
            hint = "write it once; it counts once"
            yield Finding(where, INFO, "duplicate-recipient", message, hint)
