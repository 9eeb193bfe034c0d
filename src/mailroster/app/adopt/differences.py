"""Entries of a folder that mean something else here than under docker-mailserver, which looks up
aliases before mailboxes, and makes a login of an alias for the sake of its quota."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mailroster.app.adopt.remark import DIFFERS, NOTE, Remark, named
from mailroster.base.address import split
from mailroster.base.findings import ParseError
from mailroster.base.settings import Settings
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.credentials import name
from mailroster.roster.formats.local_aliases import DISCARD
from mailroster.routing.router import Router, quoted


def differences(router: Router, settings: Settings) -> Iterator[Remark]:
    """All of them, each with the lines that it is about."""
    for rule in _RULES:
        yield from rule(router, settings)


def _catch_alls(router: Router, settings: Settings) -> Iterator[Remark]:
    """A catch-all of theirs takes the mail of mailboxes too, unless each is an alias for itself."""
    document, accounts = router.roster.virtual, router.roster.accounts.counted()
    keys = [key for key in document.counted() if key[0] == "@"]
    boxes: dict[str, list[str]] = {key: [] for key in keys}
    for account in accounts if keys else ():
        domain = f"@{split(account)[1]}"
        taken = account in document or router.captured(quoted(account)) is not None
        if domain in boxes and not taken:
            boxes[domain].append(account)
    for key in keys:
        try:
            ends = router.follow(key)
        except ParseError:
            continue  # `check` tells
        if kept := [account for account in boxes[key] if ends != [account]]:
            message = (
                f"the catch-all takes no mail of mailboxes; so these keep theirs: {named(kept)}"
            )
            yield Remark(DIFFERS, _at(document, key), message, "an alias of its own gives it away")


def _logins(router: Router, settings: Settings) -> Iterator[Remark]:
    """With quotas on, their alias for one mailbox is an account of Dovecot's as well."""
    document, accounts = router.roster.virtual, router.roster.accounts
    if not settings.enable_quotas:
        return
    lines = [
        _at(document, key) for key, alias in document.items()
        if len(alias.recipients) == 1 and "@" in key[1:] and key not in accounts
        and alias.recipients[0] in accounts
    ]  # fmt: skip
    if lines:
        message = "nobody logs in with an alias, only with the address of the mailbox itself"
        yield Remark(DIFFERS, named(lines), message, "who does changes the name of the login")


def _quotas(router: Router, settings: Settings) -> Iterator[Remark]:
    """Their quota is asked for the recipient as he is named, and not for whom it leads to."""
    roster = router.roster
    limited = {key for key, quota in roster.quotas.items() if quota.size != "0"}
    if not settings.enable_quotas or not (limited or settings.mailbox_size_limit):
        return
    found = []
    for key, alias in roster.virtual.items():
        if len(alias.recipients) < 2 and key[0] != "@":
            continue
        try:
            ends = router.follow(key)
        except ParseError:
            continue
        boxes = {box for address in ends if (box := router.mailbox(address)) is not None}
        if boxes & limited or (boxes and settings.mailbox_size_limit):
            found.append(_at(roster.virtual, key))
    if found:
        message = "mail is refused while a mailbox that it leads to is full"
        yield Remark(DIFFERS, named(found), message)


def _rights(router: Router, settings: Settings) -> Iterator[Remark]:
    """Their aliases and patterns give the right to send as whatever they match."""
    roster = router.roster
    if not settings.spoof_protection:
        return
    catch_alls = [
        _at(roster.virtual, key) for key, alias in roster.virtual.items()
        if key[0] == "@" and alias.recipients[0][0] != "@"
    ]  # fmt: skip
    if catch_alls and not settings.spoof_catch_all:
        message = "a catch-all gives nobody the right to send as all of its domain"
        hint = "SPOOF_CATCH_ALL=1, or 'setup sender add ACCOUNT @DOMAIN'"
        yield Remark(DIFFERS, named(catch_alls), message, hint)
    rules = [
        str(roster.regexp.location(position))
        for key, position in roster.regexp.counted().items()
        if (rule := roster.regexp.get(key)) is not None and rule.kind == "match"
    ]
    if rules:
        message = (
            "a pattern gives the right to send only as addresses whose mail ends at the sender"
        )
        hint = "'setup sender add ACCOUNT ADDRESS' gives more"
        yield Remark(DIFFERS, named(rules), message, hint)


def _restrictions(router: Router, settings: Settings) -> Iterator[Remark]:
    document = router.roster.send_access
    accounts = router.roster.accounts
    if lines := [_at(document, key) for key in document.counted() if key in accounts]:
        message = "who may not send may not send under another name either, once logged in"
        yield Remark(DIFFERS, named(lines), message)


def _case(router: Router, settings: Settings) -> Iterator[Remark]:
    document = router.roster.accounts
    lines = [
        _at(document, key) for key, position in document.counted().items()
        if (spelled := name(document.line(position))) != spelled.lower()
    ]  # fmt: skip
    if lines:
        message = "an address is lower case, and so is its mailbox; it logs in in any case"
        yield Remark(DIFFERS, named(lines), message)


def _local_aliases(router: Router, settings: Settings) -> Iterator[Remark]:
    document = router.roster.local_aliases
    if document.counted():
        message = f"these names count as NAME@{router.origin}, and run no programs"
        yield Remark(DIFFERS, document.format.file, message)
    lines = [_at(document, key) for key, alias in document.items() if DISCARD in alias.recipients]
    if lines:
        message = "its mail is discarded by /dev/null, as under docker-mailserver"
        yield Remark(NOTE, named(lines), message)


_RULES: tuple[Callable[[Router, Settings], Iterable[Remark]], ...] = (
    _catch_alls,
    _logins,
    _quotas,
    _rights,
    _restrictions,
    _case,
    _local_aliases,
)


def _at(document: Document[Any], key: str) -> str:
    position = document.position(key)
    return str(document.location(position))
