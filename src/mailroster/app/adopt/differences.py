"""Entries that have another meaning than in docker-mailserver, which looks up aliases before
mailboxes, and creates an account of Dovecot for an alias, because of its quota."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mailroster.app.adopt.remark import DIFFERS, NOTE, Remark, named
from mailroster.base.address import split
from mailroster.base.findings import ParseError
from mailroster.base.settings import Settings
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.credentials import name
from mailroster.roster.formats.local_aliases import DISCARD
from mailroster.routing.lookups import quoted
from mailroster.routing.router import Router


def differences(router: Router, settings: Settings) -> Iterator[Remark]:
    """A remark for each difference, with the lines of the entries."""
    for rule in _RULES:
        yield from rule(router, settings)


def _catch_alls(router: Router, settings: Settings) -> Iterator[Remark]:
    """A catch-all of docker-mailserver also gets the mail of a mailbox without an alias."""
    document, accounts = router.roster.virtual, router.roster.accounts.counted()
    keys = [key for key in document.counted() if key[0] == "@"]
    boxes: dict[str, list[str]] = {key: [] for key in keys}
    for account in accounts if keys else ():
        domain = f"@{split(account)[1]}"
        has_alias = account in document or router.captured(quoted(account)) is not None
        if domain in boxes and not has_alias:
            boxes[domain].append(account)
    for key in keys:
        try:
            ends = router.follow(key)
        except ParseError:
            continue  # `check` reports it
        if kept := [account for account in boxes[key] if ends != [account]]:
            message = f"the catch-all does not get the mail of these mailboxes: {named(kept)}"
            hint = "to redirect the mail of a mailbox, add an alias for its address"
            yield Remark(DIFFERS, _at(document, key), message, hint)


def _logins(router: Router, settings: Settings) -> Iterator[Remark]:
    """With quotas, docker-mailserver makes an alias for one mailbox an account of Dovecot."""
    document, accounts = router.roster.virtual, router.roster.accounts
    if not settings.enable_quotas:
        return
    lines = [
        _at(document, key) for key, alias in document.items()
        if len(alias.recipients) == 1 and "@" in key[1:] and key not in accounts
        and alias.recipients[0] in accounts
    ]  # fmt: skip
    if lines:
        message = "users can't log in with an alias, only with the address of the mailbox"
        hint = "tell users who do this to log in with that address"
        yield Remark(DIFFERS, named(lines), message, hint)


def _quotas(router: Router, settings: Settings) -> Iterator[Remark]:
    """docker-mailserver checks the quota of the address in RCPT, not of the final recipients."""
    roster = router.roster
    limited = {key for key, quota in roster.quotas.items() if quota.size != "0"}
    if not settings.enable_quotas or not (limited or settings.mailbox_size_limit):
        return
    lines = []
    for key, alias in roster.virtual.items():
        if len(alias.recipients) < 2 and key[0] != "@":
            continue
        try:
            ends = router.follow(key)
        except ParseError:
            continue
        boxes = {box for address in ends if (box := router.mailbox(address)) is not None}
        if boxes & limited or (boxes and settings.mailbox_size_limit):
            lines.append(_at(roster.virtual, key))
    if lines:
        message = "mail is refused while the mailbox of a recipient is full"
        yield Remark(DIFFERS, named(lines), message)


def _rights(router: Router, settings: Settings) -> Iterator[Remark]:
    """In docker-mailserver, recipients may send as every address that their entry matches."""
    roster = router.roster
    if not settings.spoof_protection:
        return
    catch_alls = [
        _at(roster.virtual, key) for key, alias in roster.virtual.items()
        if key[0] == "@" and alias.recipients[0][0] != "@"
    ]  # fmt: skip
    if catch_alls and not settings.spoof_catch_all:
        message = "the recipients of a catch-all may not send as every address of the domain"
        hint = "set SPOOF_CATCH_ALL=1, or run 'setup sender add ACCOUNT @DOMAIN'"
        yield Remark(DIFFERS, named(catch_alls), message, hint)
    rules = [
        str(roster.regexp.location(position))
        for key, position in roster.regexp.counted().items()
        if (rule := roster.regexp.get(key)) is not None and rule.kind == "match"
    ]
    if rules:
        message = "the recipients of a pattern may send only as addresses whose mail they receive"
        hint = "to allow more, run 'setup sender add ACCOUNT ADDRESS'"
        yield Remark(DIFFERS, named(rules), message, hint)


def _restrictions(router: Router, settings: Settings) -> Iterator[Remark]:
    document = router.roster.send_access
    accounts = router.roster.accounts
    if lines := [_at(document, key) for key in document.counted() if key in accounts]:
        message = "this account can't send with another sender address either"
        yield Remark(DIFFERS, named(lines), message)


def _case(router: Router, settings: Settings) -> Iterator[Remark]:
    document = router.roster.accounts
    lines = [
        _at(document, key) for key, position in document.counted().items()
        if (spelled := name(document.line(position))) != spelled.lower()
    ]  # fmt: skip
    if lines:
        message = "addresses and mailboxes are in lower case; users can log in in any case"
        yield Remark(DIFFERS, named(lines), message)


def _local_aliases(router: Router, settings: Settings) -> Iterator[Remark]:
    document = router.roster.local_aliases
    if document.counted():
        message = f"each name means NAME@{router.origin}; aliases can't run programs"
        yield Remark(DIFFERS, document.format.file, message)
    lines = [_at(document, key) for key, alias in document.items() if DISCARD in alias.recipients]
    if lines:
        message = "its mail is discarded (/dev/null), as in docker-mailserver"
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
