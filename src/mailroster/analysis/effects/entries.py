"""What becomes of logins, quotas, restrictions, domains, rights and masters."""

from collections.abc import Iterator
from typing import Any

from mailroster.analysis.effects.effect import Effect
from mailroster.analysis.mailbox_limit import default, limit_of
from mailroster.base.findings import ParseError
from mailroster.base.sizes import size_text
from mailroster.roster.formats import credentials
from mailroster.roster.formats.accounts import Account
from mailroster.routing.change import Change, changed_domains
from mailroster.routing.router import Router
from mailroster.routing.senders import changed as changed_senders

#: Stands for the relay of a sender that is never relayed.
DIRECT = "direct"
#: What a name of an extra field is made of; anything else may be a value that lacks its name.
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_/:-")
_NAME_MAX = 60
_TOLD = {
    "accounts", "quotas", "virtual", "regexp", "masters", "send_access", "receive_access",
    "sender_logins", "relaymap", "sasl_passwords",
}  # fmt: skip


def logins(change: Change) -> Iterator[Effect]:
    """Passwords, locks and extra fields of the accounts that stay."""
    old, new = change.before.roster.accounts, change.after.roster.accounts
    for key in sorted(change.keys["accounts"]):
        before, after = old.get(key), new.get(key)
        if before is None or after is None or before == after:
            continue
        (was_locked, hash), (is_locked, new_hash) = _lock(before.password), _lock(after.password)
        if was_locked != is_locked:
            yield Effect("locked" if is_locked else "unlocked", key)
        if hash != new_hash:
            yield Effect("password-changed", key)
        fields, new_fields = _fields(before), _fields(after)
        if fields != new_fields:
            names, new_names = (
                tuple(sorted({_name(field) for field in some - others}))
                for some, others in ((fields, new_fields), (new_fields, fields))
            )
            yield Effect("fields-changed", key, names, new_names)


def _lock(hash: str) -> tuple[bool, str]:
    """Whether a hash is locked, and the hash without the mark."""
    try:
        return credentials.is_locked(hash), credentials.unlocked(hash)
    except ParseError:
        return True, ""  # there is none


def _fields(account: Account) -> frozenset[tuple[str, str]]:
    return frozenset(account.fields())


def _name(field: tuple[str, str]) -> str:
    name = field[0]
    return name if len(name) <= _NAME_MAX and _NAME.issuperset(name) else "…"


def quotas(change: Change) -> Iterator[Effect]:
    """Sizes of mailboxes; nothing where the server's default holds."""
    # A quota without an account limits nobody, until there is one.
    for key in sorted(change.keys["quotas"] | change.keys["accounts"]):
        old, new = (_size(router, key) for router in (change.before, change.after))
        if old is not None and new is not None and old != new:
            yield Effect("quota-changed", key, old, new)


def _size(router: Router, key: str) -> tuple[str, ...] | None:
    """The size of a mailbox, as in `dovecot-quotas.cf`; nothing where the server's default counts,
    None where only Dovecot can tell it."""
    roster = router.roster
    account, quota = roster.accounts.get(key), roster.quotas.get(key)
    if account is None or not account.extra:
        return () if account is None or quota is None else (quota.size,)
    limit = limit_of(roster, key, default(0), router.mail)
    if limit.is_default:
        return ()
    if quota is not None and not limit.field:
        return (quota.size,)
    return None if limit.size is None else (size_text(limit.size),)


def restrictions(change: Change) -> Iterator[Effect]:
    """Whose mail is refused."""
    for field, kind in (
        ("send_access", "send-access-changed"),
        ("receive_access", "receive-access-changed"),
    ):
        old, new = (_document(router, field) for router in change[:2])
        for key in sorted(change.keys[field]):
            before, after = (
                (entry.action,) if (entry := document.get(key)) else () for document in (old, new)
            )
            if before != after:
                yield Effect(kind, key, before, after)


def domains(change: Change) -> Iterator[Effect]:
    """For which domains mail is accepted."""
    for domain, is_served in sorted(changed_domains(change).items()):
        if domain != change.after.origin:  # always served
            yield Effect("domain-served" if is_served else "domain-dropped", domain)


def senders(change: Change) -> Iterator[Effect]:
    """Which accounts may send as an alias or by a grant; each may send as itself anyway."""
    for key, (before, after) in sorted(changed_senders(change).items()):
        old, new = (tuple(each for each in some if each != key) for some in (before, after))
        if old != new:
            yield Effect("senders-changed", key, old, new)


def relays(change: Change) -> Iterator[Effect]:
    """Through which servers mail of a sender leaves, and as whom."""
    before, after = change.before.roster, change.after.roster
    for key in sorted(change.keys["relaymap"]):
        old, new = (
            () if relay is None else relay.destinations or (DIRECT,)
            for relay in (before.relaymap.get(key), after.relaymap.get(key))
        )
        if old != new:
            yield Effect("relay-changed", key, old, new)
    for key in sorted(change.keys["sasl_passwords"]):
        logins = before.sasl_passwords.get(key), after.sasl_passwords.get(key)
        if logins[0] != logins[1]:
            users = [(login.user,) if login is not None else () for login in logins]
            yield Effect("relay-login-changed", key, *users)


def masters(change: Change) -> Iterator[Effect]:
    """Who may log in as anybody."""
    old, new = change.before.roster.masters, change.after.roster.masters
    for key in sorted(change.keys["masters"]):
        before, after = old.get(key), new.get(key)
        if before is None and after is not None:
            yield Effect("master-added", key)
        elif before is not None and after is None:
            yield Effect("master-removed", key)
        elif before != after:
            yield Effect("master-password-changed", key)


def files(change: Change) -> Iterator[Effect]:
    """Files of which no more is told than that an entry of theirs is another."""
    for field, keys in sorted(change.keys.items()):
        if field in _TOLD:
            continue
        old, new = (_document(router, field) for router in change[:2])
        if any(old.get(key) != new.get(key) for key in keys) or (keys and old.format.ordered):
            yield Effect("file-changed", old.format.file)


def _document(router: Router, field: str) -> Any:
    return getattr(router.roster, field)
