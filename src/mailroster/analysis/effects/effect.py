"""One effect of a change, as a value."""

from collections.abc import Iterable
from typing import NamedTuple

from mailroster.routing.change import Change

#: Kind -> the kind when the change is undone. Ordered by weight: losses come first.
MIRROR = {
    "account-removed": "account-added",
    "mail-taken": "mail-returned",
    "leads-nowhere": "leads-again",
    "alias-removed": "alias-added",
    "pattern-removed": "pattern-added",
    "domain-dropped": "domain-served",
    "route-changed": "route-changed",
    "locked": "unlocked",
    "password-changed": "password-changed",
    "fields-changed": "fields-changed",
    "quota-changed": "quota-changed",
    "send-access-changed": "send-access-changed",
    "receive-access-changed": "receive-access-changed",
    "senders-changed": "senders-changed",
    "relay-changed": "relay-changed",
    "relay-login-changed": "relay-login-changed",
    "master-removed": "master-added",
    "master-added": "master-removed",
    "master-password-changed": "master-password-changed",
    "app-password-removed": "app-password-added",
    "app-password-changed": "app-password-changed",
    "app-password-added": "app-password-removed",
    "account-added": "account-removed",
    "alias-added": "alias-removed",
    "pattern-added": "pattern-removed",
    "domain-served": "domain-dropped",
    "mail-returned": "mail-taken",
    "leads-again": "leads-nowhere",
    "unlocked": "locked",
    "patterns-reordered": "patterns-reordered",
    "file-changed": "file-changed",
    "not-examined": "not-examined",
}
_WEIGHT = {kind: weight for weight, kind in enumerate(MIRROR)}


class Effect(NamedTuple):
    """What a change does to one account, alias, pattern, domain, sender, master or file.

    `before` and `after`: its recipients, its limit, or the accounts that may use it. Never a
    password, a hash, or the value of an extra field.
    """

    kind: str
    subject: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    #: The recipients in `before` and `after` that are on other servers.
    elsewhere: tuple[str, ...] = ()


class Affected(NamedTuple):
    """The aliases and accounts whose route a change may alter, in order."""

    change: Change
    keys: tuple[str, ...]
    left_out: int = 0  # the number of others, which are not examined


def ordered(effects: Iterable[Effect]) -> list[Effect]:
    """Effects by weight, then by name."""
    return sorted(effects, key=lambda effect: (_WEIGHT[effect.kind], effect[1:]))
