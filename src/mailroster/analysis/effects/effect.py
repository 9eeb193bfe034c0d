"""One effect of a change, as a value."""

from collections.abc import Iterable
from typing import NamedTuple

from mailroster.routing.change import Change

#: Kind -> what it is called when the change is taken back. The order is that of weight: first what
#: somebody loses.
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

    `before` and `after` hold what it leads to, is limited to, or may be used by; empty where there
    is nothing. Never a password, a hash, or the value of an extra field.
    """

    kind: str
    subject: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    #: Those of `before` and `after` that lie on other servers.
    elsewhere: tuple[str, ...] = ()


class Affected(NamedTuple):
    """Whose mail may go elsewhere after a change: keys of aliases and accounts, in order."""

    change: Change
    keys: tuple[str, ...]
    left_out: int = 0  # how many more there are, that were too many to look at


def ordered(effects: Iterable[Effect]) -> list[Effect]:
    """By weight, then by name."""
    return sorted(effects, key=lambda effect: (_WEIGHT[effect.kind], effect[1:]))
