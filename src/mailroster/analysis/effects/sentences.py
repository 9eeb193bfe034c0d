"""Effects as sentences, one line for each; effects of one kind are grouped."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from mailroster.analysis.effects.effect import Effect
from mailroster.analysis.effects.entries import DIRECT
from mailroster.base.findings import printable
from mailroster.base.sizes import human_size, size_bytes

#: The most names in a line, and lines of one kind; the rest is only counted.
NAMES_MAX = 3
LINES_MAX = 10


class _Wording(NamedTuple):
    """The sentence about one effect, and the text before the names of several."""

    sentence: Callable[[Effect], str]
    several: str = ""  # without it each effect has a line of its own


def sentences(effects: Sequence[Effect], usage: Mapping[str, int] | None = None) -> list[str]:
    """The effects as lines for people, in their order. `usage`: bytes that mailboxes hold now."""
    lines: list[str] = []
    for kind, group in groupby(_without_implied(effects), lambda effect: effect.kind):
        lines += map(printable, _lines(kind, list(group), usage or {}))
    return lines


def names(words: Sequence[str]) -> str:
    """`a, b, c and 97 more`."""
    if len(words) <= NAMES_MAX + 1:
        return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]
    return f"{', '.join(words[:NAMES_MAX])} and {len(words) - NAMES_MAX:,} more"


def _without_implied(effects: Sequence[Effect]) -> Iterator[Effect]:
    """The effects without those that another one implies: an account is added or removed with its
    quota, an alias with the right to send as it."""
    subjects = {effect.subject for effect in effects if effect.kind in _ADDED_OR_REMOVED}
    for effect in effects:
        may_be_implied = effect.kind in ("quota-changed", "senders-changed")
        if not (may_be_implied and effect.subject in subjects):
            yield effect


def _lines(kind: str, group: list[Effect], usage: Mapping[str, int]) -> Iterator[str]:
    if kind == "route-changed":
        yield from _receivers(group)
        return
    if kind == "senders-changed":
        yield from _senders(group)
        return
    if kind == "quota-changed":
        yield from _limited([_quota(effect, usage) for effect in group])
        return
    if kind in ("account-added", "account-removed"):
        yield from _limited([_account(effect) for effect in group if not _is_plain(effect)])
        group = [effect for effect in group if _is_plain(effect)]
    wording = _WORDINGS[kind]
    if wording.several and len(group) > 1:
        yield f"{len(group):,} {wording.several}: {names([effect.subject for effect in group])}"
    else:
        yield from _limited([wording.sentence(effect) for effect in group])


def _limited(lines: Sequence[str]) -> Iterator[str]:
    """The first few lines, and the number of the others."""
    shown = lines if len(lines) <= LINES_MAX + 1 else lines[:LINES_MAX]
    yield from shown
    if len(shown) < len(lines):
        yield f"and {len(lines) - len(shown):,} more like these"


# -- mail


def _is_plain(effect: Effect) -> bool:
    """Whether an account is added or removed together with its own mail, and with nothing else."""
    return {*effect.before, *effect.after} == {effect.subject}


def _account(effect: Effect) -> str:
    name, before, after = effect.subject, _before(effect), _after(effect)
    if effect.kind == "account-removed":
        mail = f"its mail now goes to {after}" if after else "its mailbox received no mail"
        return f"account {name} is removed; {mail}"
    if name not in effect.after:
        mail = f"its mail goes to {after}" if after else "it gets no mail"
        return f"account {name} is added, but {mail}"
    return f"account {name} is added; its mail went to {before} before"


def _before(effect: Effect) -> str:
    """Where the mail went before the change."""
    return _ends(effect.before, effect)


def _after(effect: Effect) -> str:
    """Where the mail goes after the change."""
    return _ends(effect.after, effect)


def _ends(ends: Sequence[str], effect: Effect) -> str:
    return names([_marked(end, effect) for end in ends]) if ends else ""


def _marked(end: str, effect: Effect) -> str:
    return f"{end} (elsewhere)" if end in effect.elsewhere else end


def _mail_taken(effect: Effect) -> str:
    return f"mail to {effect.subject} now goes to {_after(effect)}, not to its mailbox"


def _mail_returned(effect: Effect) -> str:
    old = f", no longer to {_before(effect)}" if effect.before else ""
    return f"mail to {effect.subject} now goes to its own mailbox{old}"


def _leads_nowhere(effect: Effect) -> str:
    return f"{effect.subject} now leads nowhere; it led to {_before(effect)}"


def _leads_again(effect: Effect) -> str:
    return f"{effect.subject} now leads to {_after(effect)}; it led nowhere"


def _removed(noun: str) -> Callable[[Effect], str]:
    def sentence(effect: Effect) -> str:
        return f"{noun} {effect.subject} is removed; it led {_to(_before(effect))}"

    return sentence


def _added(noun: str) -> Callable[[Effect], str]:
    def sentence(effect: Effect) -> str:
        return f"{noun} {effect.subject} is added; it leads {_to(_after(effect))}"

    return sentence


def _to(ends: str) -> str:
    return f"to {ends}" if ends else "nowhere"


def _receivers(group: Iterable[Effect]) -> Iterator[str]:
    """The recipients that no longer receive mail to an address, and those that now do."""
    stops: list[tuple[str, str]] = []
    starts: list[tuple[str, str]] = []
    for effect in group:
        old, new = effect.before, effect.after
        stops += [(_marked(end, effect), effect.subject) for end in old if end not in new]
        starts += [(_marked(end, effect), effect.subject) for end in new if end not in old]
    yield from _paired(stops, "no longer receives mail to", "no longer receive mail to")
    yield from _paired(starts, "now receives mail to", "now receive mail to")


def _senders(group: Iterable[Effect]) -> Iterator[str]:
    """The accounts that may no longer send as an address, and those that now may."""
    lost = [(owner, e.subject) for e in group for owner in e.before if owner not in e.after]
    gained = [(owner, e.subject) for e in group for owner in e.after if owner not in e.before]
    yield from _paired(lost, "may no longer send as", "may no longer send as")
    yield from _paired(gained, "may now send as", "may now send as")


def _paired(pairs: Iterable[tuple[str, str]], verb: str, plural: str) -> Iterator[str]:
    """Pairs of subject and object: a line for each subject with its objects, or a line for each
    object with its subjects, whichever are fewer."""
    objects_of: dict[str, list[str]] = {}
    subjects_of: dict[str, list[str]] = {}
    for subject, object in sorted(pairs):
        objects_of.setdefault(subject, []).append(object)
        subjects_of.setdefault(object, []).append(subject)
    if len(objects_of) <= len(subjects_of):
        lines = [f"{subject} {verb} {names(objects)}" for subject, objects in objects_of.items()]
    else:
        lines = [
            f"{names(subjects)} {verb if len(subjects) == 1 else plural} {object}"
            for object, subjects in subjects_of.items()
        ]
    yield from _limited(lines)


# -- everything else


def _size(sizes: Sequence[str]) -> str:
    if not sizes:
        return "the default"
    return "no limit" if sizes[0] == "0" else sizes[0]


def _quota(effect: Effect, usage: Mapping[str, int]) -> str:
    line = f"{effect.subject} quota {_size(effect.before)} -> {_size(effect.after)}"
    used = usage.get(effect.subject, 0)
    if effect.after and 0 < size_bytes(effect.after[0]) < used:
        line += f"; it holds {human_size(used)}, so it gets no more mail"
    return line


def _fields(effect: Effect) -> str:
    old, new = set(effect.before), set(effect.after)
    changes = (("added", new - old), ("removed", old - new), ("changed", old & new))
    parts = [f"{names(sorted(fields))} {verb}" for verb, fields in changes if fields]
    return f"extra fields of {effect.subject}: {', '.join(parts)}"


def _restricted(direction: str) -> Callable[[Effect], str]:
    def sentence(effect: Effect) -> str:
        mail = f"mail {direction} {effect.subject}"
        if not effect.after:
            return f"{mail} is accepted again"
        if effect.before:
            return f"{mail} gets the action {effect.after[0]} instead of {effect.before[0]}"
        if effect.after[0].upper() == "REJECT":
            return f"{mail} is refused"
        return f"{mail} gets the action {effect.after[0]}"

    return sentence


def _relay(effect: Effect) -> str:
    mail = f"mail from {effect.subject}"
    if not effect.after:
        return f"{mail} is sent like all other mail"
    if effect.after == (DIRECT,):
        return f"{mail} is never relayed"
    sentence = f"{mail} is relayed through {names(effect.after)}"
    had_relay = effect.before not in ((), (DIRECT,))
    return f"{sentence}, no longer through {names(effect.before)}" if had_relay else sentence


def _relay_login(effect: Effect) -> str:
    at = f"at the relay of {effect.subject}" if effect.subject[0] != "[" else f"at {effect.subject}"
    if not effect.after:
        return f"the login {at} is removed"
    if effect.before == effect.after:
        return f"the login of {effect.after[0]} {at} has a new password"
    return f"the login {at} is {effect.after[0]}"


def _template(text: str) -> Callable[[Effect], str]:
    def sentence(effect: Effect) -> str:
        return text.format(effect.subject)

    return sentence


def _app_password(text: str) -> Callable[[Effect], str]:
    def sentence(effect: Effect) -> str:
        account, _, label = effect.subject.partition("|")
        return f"app password {label!r} of {account} {text}"

    return sentence


def _not_examined(effect: Effect) -> str:
    return f"{int(effect.after[0]):,} more addresses may be affected; they were not examined"


_ADDED_OR_REMOVED = ("account-added", "account-removed", "alias-added", "alias-removed")
_WORDINGS = {
    "account-removed": _Wording(
        _template("account {} is removed: no login, no mail"),
        "accounts are removed, with login and mail",
    ),
    "mail-taken": _Wording(_mail_taken),
    "leads-nowhere": _Wording(_leads_nowhere, "addresses now lead nowhere"),
    "alias-removed": _Wording(
        _removed("alias"), "aliases lose their last recipient and are removed"
    ),
    "pattern-removed": _Wording(_removed("pattern")),
    "domain-dropped": _Wording(
        _template("mail for {} is no longer accepted"), "domains are no longer served"
    ),
    "locked": _Wording(_template("{} is locked: no login"), "accounts are locked"),
    "password-changed": _Wording(
        _template("{} gets a new password"), "accounts get a new password"
    ),
    "fields-changed": _Wording(_fields),
    "send-access-changed": _Wording(_restricted("from")),
    "receive-access-changed": _Wording(_restricted("to")),
    "relay-changed": _Wording(_relay),
    "relay-login-changed": _Wording(_relay_login),
    "master-removed": _Wording(_template("master {} is removed"), "masters are removed"),
    "master-added": _Wording(
        _template("master {} is added: it may log in as any account"), "masters are added"
    ),
    "master-password-changed": _Wording(_template("master {} gets a new password")),
    "app-password-removed": _Wording(
        _app_password("is removed: no login with it"), "app passwords are removed"
    ),
    "app-password-changed": _Wording(_app_password("changes"), "app passwords change"),
    "app-password-added": _Wording(_app_password("is added"), "app passwords are added"),
    "account-added": _Wording(_template("account {} is added"), "accounts are added"),
    "alias-added": _Wording(_added("alias")),
    "pattern-added": _Wording(_added("pattern")),
    "domain-served": _Wording(_template("mail for {} is now accepted"), "domains are now served"),
    "mail-returned": _Wording(_mail_returned),
    "leads-again": _Wording(_leads_again),
    "unlocked": _Wording(_template("{} is unlocked: it can log in again"), "accounts are unlocked"),
    "patterns-reordered": _Wording(_template("{}: the order of the patterns changes")),
    "file-changed": _Wording(_template("{}: entries change")),
    "not-examined": _Wording(_not_examined),
}
