"""Which accounts may send as an address. The rows of the senders' tables, `explain`, previews and
the policy service all ask here. Pure."""

from collections.abc import Iterable

from mailroster.base.address import split, split_extension
from mailroster.base.findings import ParseError
from mailroster.routing.change import Change
from mailroster.routing.router import EXPANSION_LIMIT, NotFollowed, Router, quoted


def of_address(router: Router, address: str, *, catch_all: bool) -> tuple[str, ...]:
    """The accounts that may send as an address, as Postfix and the policy service decide it.
    `catch_all`: the accounts of a catch-all may send as all that it catches."""
    found = by_route(router, address, catch_all=catch_all)
    return by_tables(router, address, catch_all=catch_all) if found is None else found


def by_route(router: Router, address: str, *, catch_all: bool) -> tuple[str, ...] | None:
    """What the policy service decides about an address that a pattern, a domain alias or a role
    matches: its own account, the accounts that are allowed to use it, and those at which its route
    ends. None for any other address: the tables list its senders."""
    sender = address.lower()
    ends = router.sender_ends(sender, catch_all)
    if ends is None:
        return None
    local, domain = split(sender)
    bare = f"{split_extension(local)[0]}@{domain}"
    owners = {bare} if bare in router.roster.accounts else set()
    for key in (sender, bare, f"@{domain}"):
        owners.update(listed(router, key))
    return tuple(sorted(owners.union(ends)))


def by_tables(router: Router, address: str, *, catch_all: bool) -> tuple[str, ...]:
    """What smtpd_sender_login_maps answers, in the order of Postfix's lookups, without the
    patterns."""
    local, domain = split(address.lower())
    user, extension = split_extension(local)
    keys = [f"{local}@{domain}"]
    if extension:
        keys.append(f"{user}@{domain}")
    if domain == router.origin:
        keys += [local, user]
    keys.append(f"@{domain}")
    for key in keys:
        owners = list(listed(router, key))
        if catch_all:
            owners += of_catch_all(router, key)
        if not owners and key in router.roster.accounts:
            owners = [key]
        if owners:
            return tuple(owners)
    return ()


def listed(router: Router, key: str) -> list[str]:
    """The accounts that the table of senders lists for a key: those to which an alias leads, and
    those that `postfix-sender-logins.cf` names."""
    roster = router.roster
    grant = roster.sender_logins.get(key)
    is_alias = key[0] != "@" and key in roster.virtual
    if grant is None and not is_alias:
        return []
    owners = set(_of_alias(router, key)) if is_alias else set()
    owners.update(grant.accounts if grant is not None else ())
    if key in roster.accounts:
        owners.add(key)
    return sorted(owners)


def of_catch_all(router: Router, key: str) -> list[str]:
    """The accounts to which the catch-all `@domain` leads; none for a domain alias, where the
    sender depends on the local part."""
    alias = router.roster.virtual.get(key) if key[0] == "@" else None
    if alias is None or alias.recipients[0][0] == "@":
        return []
    return _of_alias(router, key)


def concerned(change: Change) -> frozenset[str]:
    """The keys for which `listed` may give something else after a change."""
    # An account of the same name is one of the senders.
    return change.dependents | change.keys["accounts"] | change.keys["sender_logins"]


def changed(change: Change) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Key -> the accounts before and after, of each key for which they differ."""
    found = {}
    for key in concerned(change):
        before, after = (tuple(listed(router, key)) for router in (change.before, change.after))
        if before != after:
            found[key] = before, after
    return found


def _of_alias(router: Router, key: str) -> list[str]:
    """The accounts to which an alias leads; if it has too many recipients to be followed, the
    recipients that are accounts."""
    try:
        mailboxes = {router.mailbox(recipient) for recipient in router.follow(key)}
    except NotFollowed:
        return sorted(_direct(router, key))
    except ParseError:
        return []
    return sorted(mailbox for mailbox in mailboxes if mailbox is not None)


def _direct(router: Router, key: str) -> Iterable[str]:
    """The recipients of an alias that are accounts, and whose mail nothing leads elsewhere."""
    roster = router.roster
    alias = roster.virtual.get(key)
    for recipient in alias.recipients[:EXPANSION_LIMIT] if alias is not None else ():
        is_end = recipient in roster.accounts and recipient not in roster.virtual
        if is_end and router.captured(quoted(recipient)) is None:
            yield recipient
