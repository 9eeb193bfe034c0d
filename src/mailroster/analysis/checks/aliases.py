"""Rules about aliases."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from mailroster.analysis.checks.subject import Subject, entries, first_few
from mailroster.base.address import split
from mailroster.base.findings import INFO, WARNING, Finding, ParseError
from mailroster.roster.documents.text import content
from mailroster.roster.formats.local_aliases import DISCARD
from mailroster.routing.lookups import EXPANSION_LIMIT, spelled
from mailroster.routing.router import NotFollowed


def unreasonable(subject: Subject) -> Iterator[Finding]:
    """Loops, endless chains and too many recipients: Postfix would answer 451."""
    for document in subject.roster.aliases():
        for key, position in document.counted().items():
            fault = subject.router.fault_of(key)
            if isinstance(fault, NotFollowed):
                message = (
                    "the aliases from this line on are not checked: "
                    "together they take too many lookups"
                )
                where = document.location(position)
                hint = "give the aliases fewer recipients"
                yield Finding(where, WARNING, "not-followed", message, hint)
                return
            if fault is not None:
                yield fault.at(document.location(position))


def dangling(subject: Subject) -> Iterator[Finding]:
    """A recipient that should exist here and does not: its mail is refused, or bounces if the
    alias has other recipients."""
    for document in subject.roster.aliases():
        for key, position, alias in entries(document):
            if len(alias.recipients) > EXPANSION_LIMIT:
                continue  # Postfix refuses its mail, as `unreasonable` says
            unknown = unknown_addresses(subject, alias.recipients)
            leads_to_itself = key in alias.recipients and subject.router.mailbox(key) is None
            if leads_to_itself and key not in unknown:
                unknown.append(key)
            if unknown:
                message = f"{key!r} leads to {not_existing(unknown)}"
                hint = "correct the address, or add the account"
                where = document.location(position)
                yield Finding(where, WARNING, "dangling-alias", message, hint)


def discarding(subject: Subject) -> Iterator[Finding]:
    """A local alias that discards mail."""
    document = subject.roster.local_aliases
    for key, position, alias in entries(document):
        if DISCARD in alias.recipients:
            message, hint = f"mail to {key!r} is discarded", "leave it if this is intended"
            yield Finding(document.location(position), INFO, "discards-mail", message, hint)


def unknown_addresses(subject: Subject, recipients: Iterable[str]) -> list[str]:
    """The recipients that should exist here and do not."""
    accounts = subject.roster.accounts
    return [
        word for word in recipients
        if word not in accounts and word[0] != "@" and is_unknown(subject, word)
    ]  # fmt: skip


def not_existing(addresses: Collection[str]) -> str:
    """The end of a message about unknown addresses."""
    verb = "does" if len(addresses) == 1 else "do"
    return f"{first_few(addresses)}, which {verb} not exist here"


def is_unknown(subject: Subject, address: str) -> bool:
    """Whether an address is in a domain that is served here and leads to no mailbox."""
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
    """An alias with the address of a mailbox that does not lead to it: the mailbox gets no mail."""
    roster, document = subject.roster, subject.roster.virtual
    for key, position in document.counted().items():
        if key not in roster.accounts:
            continue
        try:
            recipients = subject.router.expand(key)
        except ParseError:
            continue
        if not any(subject.router.mailbox(address) == key for address in recipients):
            message = f"the mailbox {key!r} gets no mail: this alias redirects all of it"
            hint = f"add {key!r} to its recipients to keep a copy"
            where = document.location(position)
            yield Finding(where, WARNING, "alias-shadows-mailbox", message, hint)


def catch_alls(subject: Subject) -> Iterator[Finding]:
    """A catch-all, and the addresses of its domain that keep their mail."""
    document = subject.roster.virtual
    keys = [key for key in document.counted() if key[0] == "@"]
    exempt: dict[str, list[str]] = {key[1:]: [] for key in keys}
    for address in (*subject.roster.accounts.counted(), *document.counted()) if keys else ():
        local, domain = split(address)
        if local and domain in exempt and address not in exempt[domain][-1:]:
            exempt[domain].append(address)
    for key in keys:
        names = list(dict.fromkeys(exempt[key[1:]]))
        exception = f", except that of {first_few(names)}" if names else ""
        message = f"{key!r} receives all mail of its domain{exception}"
        hint = "leave it if this is intended"
        where = document.location(document.position(key))
        yield Finding(where, INFO, "catch-all", message, hint)


def unreachable(subject: Subject) -> Iterator[Finding]:
    """A bare name whose address in the server's own domain has an alias or a mailbox, or that is
    an alias in both files."""
    roster, origin = subject.roster, subject.router.origin
    for document in roster.aliases():
        for key, position in document.counted().items():
            if "@" in key:
                continue
            address = f"{key}@{origin}"
            noun = "an account" if address in roster.accounts else ""
            noun = "an alias" if address in roster.virtual else noun
            if document is roster.local_aliases and key in roster.virtual:
                address, noun = key, f"an alias in {roster.virtual.format.file}"
            if noun:
                message = f"{key!r} is never used: {address!r} is {noun}, which comes first"
                where = document.location(position)
                hint = "remove one of the two"
                yield Finding(where, WARNING, "unreachable-alias", message, hint)


def repeating(subject: Subject) -> Iterator[Finding]:
    """A recipient that an alias has more than once, in upper or lower case."""
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
            repeated = [word for word in count if count[word] > 1]
            message = f"{key!r} has {first_few(repeated)} more than once"
            where = document.location(position)
            hint = "write it once"
            yield Finding(where, INFO, "duplicate-recipient", message, hint)
