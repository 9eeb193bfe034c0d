"""Which accounts may send as an address. The rows of the senders' tables, `explain`, previews and
the policy service all use these functions. Pure."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from mailroster.base.address import split, split_extension
from mailroster.base.findings import ParseError
from mailroster.routing.change import Change
from mailroster.routing.lookups import DOMAIN, EXPANSION_LIMIT, POSTMASTER_SETTING, quoted
from mailroster.routing.router import RECURSION_LIMIT, NotFollowed, Router


def of_address(router: Router, address: str, *, catch_all: bool) -> tuple[str, ...]:
    """The accounts that may send as an address, as Postfix and the policy service decide it.
    `catch_all`: the accounts of a catch-all may send as any address that it matches."""
    owners = by_route(router, address, catch_all=catch_all)
    return by_tables(router, address, catch_all=catch_all) if owners is None else owners


def by_route(
    router: Router,
    address: str,
    *,
    catch_all: bool,
    rows: Callable[[str], Iterable[str]] | None = None,
) -> tuple[str, ...] | None:
    """The decision of the policy service about an address that a pattern, a domain alias or a role
    matches: its own account, the accounts that are allowed to use it, and those at which its route
    ends. None for any other address: the tables list its senders. `rows` gives the accounts in the
    row of a key in the senders' table, if the roster does not have them."""
    sender = address.lower()
    ends = ends_of_route(router, sender, catch_all=catch_all)
    if ends is None:
        return None
    own = without_extension(sender)
    owners = {own} if own in router.roster.accounts else set()
    for key in (sender, own, f"@{split(sender)[1]}"):
        owners.update(row_of(router, key) if rows is None else rows(key))
    return tuple(sorted(owners.union(ends)))


def ends_of_route(router: Router, address: str, *, catch_all: bool) -> list[str] | None:
    """The accounts whose mailboxes receive mail to an address, where no table can list its senders:
    a pattern, a domain alias (`@old @new`) or a role matches the address.

    None for any other address. `catch_all`: also for a catch-all with a recipient of its own.
    """
    if router.captured(quoted(address)) is not None:
        if not router.serves(split(address)[1]):
            return []  # whatever the result of the pattern
    else:
        try:
            domain_aliases, last = _first_matches(router, address)
        except ParseError:
            return []
        is_role = last is not None and last.file == POSTMASTER_SETTING
        if not domain_aliases and not is_role:
            return None
        if last is not None and last.form == DOMAIN and not catch_all:
            return []
    try:
        recipients = router.expand(address)
    except ParseError:
        return []
    mailboxes = (router.mailbox(recipient) for recipient in recipients)
    return list(dict.fromkeys(mailbox for mailbox in mailboxes if mailbox is not None))


class _FirstMatch(NamedTuple):
    """The lookup that decides about an address."""

    file: str
    form: str
    key: str
    results: list[str]


def _first_matches(router: Router, address: str) -> tuple[int, _FirstMatch | None]:
    """The number of domain aliases that match an address one after the other, and the first match
    of the address behind them. Raises as `Router.lookup`."""
    first = _first_match(router, address)
    count = 0
    while first is not None and count < RECURSION_LIMIT and router.is_domain_alias(first.key):
        count += 1
        first = _first_match(router, first.results[0])
    return count, first


def _first_match(router: Router, address: str) -> _FirstMatch | None:
    for file, form, key, match in router.attempts(address):
        if match is not None:
            return _FirstMatch(file, form, key, match.results)
    return None


def without_extension(address: str) -> str:
    """An address without its extension."""
    local, domain = split(address)
    return f"{split_extension(local)[0]}@{domain}"


def by_tables(router: Router, address: str, *, catch_all: bool) -> tuple[str, ...]:
    """The answer of smtpd_sender_login_maps, in the order of Postfix's lookups, without the
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
        owners = list(row_of(router, key))
        if catch_all:
            owners += of_catch_all(router, key)
        if not owners and key in router.roster.accounts:
            owners = [key]
        if owners:
            return tuple(owners)
    return ()


def row_of(router: Router, key: str) -> list[str]:
    """The accounts in the row of a key in the table of senders: those to which an alias leads, and
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
    is_own = key[0] == "@" and key in router.roster.virtual and not router.is_domain_alias(key)
    return _of_alias(router, key) if is_own else []


def affected_keys(change: Change) -> frozenset[str]:
    """The keys for which the result of `row_of` may change."""
    # An account of the same name is one of the senders.
    return change.dependents | change.keys["accounts"] | change.keys["sender_logins"]


def changed_senders(change: Change) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Key -> the accounts before and after, for each key whose accounts change."""
    owners = {}
    for key in affected_keys(change):
        before, after = (tuple(row_of(router, key)) for router in (change.before, change.after))
        if before != after:
            owners[key] = before, after
    return owners


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
    """The recipients of an alias that are accounts whose mail is not forwarded."""
    roster = router.roster
    alias = roster.virtual.get(key)
    for recipient in alias.recipients[:EXPANSION_LIMIT] if alias is not None else ():
        is_end = recipient in roster.accounts and recipient not in roster.virtual
        if is_end and router.captured(quoted(recipient)) is None:
            yield recipient
