"""The effects of a change on logins, quotas, restrictions, domains, senders, relays and masters."""

from collections.abc import Iterable, Iterator
from typing import Any

from mailroster.analysis.effects.effect import Effect
from mailroster.analysis.mailbox_limit import default, limit_of
from mailroster.base.findings import ParseError
from mailroster.base.sizes import size_text
from mailroster.roster.formats import credentials
from mailroster.roster.formats.accounts import Account
from mailroster.routing.change import Change, changed_domains
from mailroster.routing.router import Router
from mailroster.routing.senders import changed_senders

#: In place of a relay, for a sender that is never relayed.
DIRECT = "direct"
#: The characters of the name of an extra field; anything else may be a value without a name.
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_/:-")
_NAME_MAX = 60
_WITH_EFFECTS = {
    "accounts", "quotas", "virtual", "regexp", "masters", "send_access", "receive_access",
    "sender_logins", "relaymap", "sasl_passwords", "app_passwords",
}  # fmt: skip


def logins(change: Change) -> Iterator[Effect]:
    """Changed passwords, locks and extra fields of accounts."""
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
            removed, added = _names(fields - new_fields), _names(new_fields - fields)
            yield Effect("fields-changed", key, removed, added)


def _lock(hash: str) -> tuple[bool, str]:
    """Whether a hash is locked, and the hash without the mark."""
    try:
        return credentials.is_locked(hash), credentials.unlocked(hash)
    except ParseError:
        return True, ""  # there is no hash


def _fields(account: Account) -> frozenset[tuple[str, str]]:
    return frozenset(account.fields())


def _names(fields: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The names of fields, "…" for what may not be a name."""
    names = {name for name, _ in fields}
    return tuple(sorted({n if len(n) <= _NAME_MAX and _NAME.issuperset(n) else "…" for n in names}))


def quotas(change: Change) -> Iterator[Effect]:
    """Changed limits of mailboxes; the server's default is shown as no limit of their own."""
    # A quota counts as soon as there is an account.
    for key in sorted(change.keys["quotas"] | change.keys["accounts"]):
        old, new = (_size(router, key) for router in (change.before, change.after))
        if old is not None and new is not None and old != new:
            yield Effect("quota-changed", key, old, new)


def _size(router: Router, key: str) -> tuple[str, ...] | None:
    """The limit of a mailbox, as in `dovecot-quotas.cf`; () for the server's default, None if only
    Dovecot can tell."""
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
    """Changed restrictions of sending and receiving."""
    for field, kind in (
        ("send_access", "send-access-changed"),
        ("receive_access", "receive-access-changed"),
    ):
        old, new = (_document(router, field) for router in (change.before, change.after))
        for key in sorted(change.keys[field]):
            before, after = (
                (entry.action,) if (entry := document.get(key)) else () for document in (old, new)
            )
            if before != after:
                yield Effect(kind, key, before, after)


def domains(change: Change) -> Iterator[Effect]:
    """Domains that are added or removed."""
    for domain, is_served in sorted(changed_domains(change).items()):
        if domain != change.after.origin:  # always served
            yield Effect("domain-served" if is_served else "domain-dropped", domain)


def senders(change: Change) -> Iterator[Effect]:
    """Changed rights to send as an alias or by a grant; as itself an account may always send."""
    for key, (before, after) in sorted(changed_senders(change).items()):
        old, new = (tuple(n for n in owners if n != key) for owners in (before, after))
        if old != new:
            yield Effect("senders-changed", key, old, new)


def relays(change: Change) -> Iterator[Effect]:
    """Changed relays of senders, and the logins there."""
    before, after = change.before.roster, change.after.roster
    for key in sorted(change.keys["relaymap"]):
        old, new = (
            () if relay is None else relay.destinations or (DIRECT,)
            for relay in (before.relaymap.get(key), after.relaymap.get(key))
        )
        if old != new:
            yield Effect("relay-changed", key, old, new)
    for key in sorted(change.keys["sasl_passwords"]):
        login, new_login = before.sasl_passwords.get(key), after.sasl_passwords.get(key)
        if login != new_login:
            users = [(each.user,) if each is not None else () for each in (login, new_login)]
            yield Effect("relay-login-changed", key, *users)


def masters(change: Change) -> Iterator[Effect]:
    """Changed masters, who may log in as any account."""
    old, new = change.before.roster.masters, change.after.roster.masters
    for key in sorted(change.keys["masters"]):
        before, after = old.get(key), new.get(key)
        if before is None and after is not None:
            yield Effect("master-added", key)
        elif before is not None and after is None:
            yield Effect("master-removed", key)
        elif before != after:
            yield Effect("master-password-changed", key)


def app_passwords(change: Change) -> Iterator[Effect]:
    """Changed app passwords of accounts that exist before and after: an account is added or removed
    with its own."""
    old, new = change.before.roster, change.after.roster
    for key in sorted(change.keys["app_passwords"]):
        before, after = old.app_passwords.get(key), new.app_passwords.get(key)
        login = key.partition("|")[0]
        if before == after or login not in old.accounts or login not in new.accounts:
            continue
        if before is None:
            yield Effect("app-password-added", key)
        elif after is None:
            yield Effect("app-password-removed", key)
        else:
            yield Effect("app-password-changed", key)


def files(change: Change) -> Iterator[Effect]:
    """Files whose changed entries have no effects of their own kind."""
    for field, keys in sorted(change.keys.items()):
        if field in _WITH_EFFECTS:
            continue
        old, new = (_document(router, field) for router in (change.before, change.after))
        if any(old.get(key) != new.get(key) for key in keys) or (keys and old.format.ordered):
            yield Effect("file-changed", old.format.file)


def _document(router: Router, field: str) -> Any:
    return getattr(router.roster, field)
