"""Effects in words, a line each; many that are alike together."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from mailroster.analysis.effects.effect import Effect
from mailroster.analysis.effects.entries import DIRECT
from mailroster.base.findings import printable
from mailroster.base.sizes import human_size, size_bytes

#: So many names in a line, and so many lines of one kind, before the rest is only counted.
NAMES_MAX = 3
LINES_MAX = 10


class _Said(NamedTuple):
    """How an effect is told: alone, and how many of them are."""

    alone: Callable[[Effect], str]
    many: str = ""  # in front of their names; without it each has a line


def sentences(effects: Sequence[Effect], usage: Mapping[str, int] | None = None) -> list[str]:
    """What effects say, for people, in their order. `usage`: bytes that mailboxes hold now."""
    lines: list[str] = []
    for kind, group in groupby(_worth_telling(effects), lambda effect: effect.kind):
        lines += map(printable, _told(kind, list(group), usage or {}))
    return lines


def names(some: Sequence[str]) -> str:
    """`a, b, c and 97 more`."""
    if len(some) <= NAMES_MAX + 1:
        return ", ".join(some[:-1]) + (" and " if len(some) > 1 else "") + some[-1]
    return f"{', '.join(some[:NAMES_MAX])} and {len(some) - NAMES_MAX:,} more"


def _worth_telling(effects: Sequence[Effect]) -> Iterator[Effect]:
    """Without what another effect says already: an account takes its quota with it, an alias the
    right to send as it."""
    come_or_gone = {effect.subject for effect in effects if effect.kind in _COME_OR_GONE}
    for effect in effects:
        implied = effect.kind in ("quota-changed", "senders-changed")
        if not (implied and effect.subject in come_or_gone):
            yield effect


def _told(kind: str, group: list[Effect], usage: Mapping[str, int]) -> Iterator[str]:
    if kind == "route-changed":
        yield from _flows(group)
        return
    if kind == "senders-changed":
        yield from _rights(group)
        return
    if kind == "quota-changed":
        yield from _limited([_quota(effect, usage) for effect in group])
        return
    if kind in ("account-added", "account-removed"):
        plain = [effect for effect in group if _is_plain(effect)]
        yield from _limited([_account(e) for e in group if not _is_plain(e)])
        group = plain
    said = _SAID[kind]
    if said.many and len(group) > 1:
        yield f"{len(group):,} {said.many}: {names([effect.subject for effect in group])}"
    else:
        yield from _limited([said.alone(effect) for effect in group])


def _limited(lines: Sequence[str]) -> Iterator[str]:
    """The first few lines, and how many more there are."""
    shown = lines if len(lines) <= LINES_MAX + 1 else lines[:LINES_MAX]
    yield from shown
    if len(shown) < len(lines):
        yield f"and {len(lines) - len(shown):,} more like these"


# -- mail


def _is_plain(effect: Effect) -> bool:
    """Whether an account comes or goes with its mail, and no more is to be said."""
    return not ({*effect.before, *effect.after} - {effect.subject}) and bool(
        effect.before or effect.after
    )


def _account(effect: Effect) -> str:
    name, before, after = effect.subject, _ends(effect, 0), _ends(effect, 1)
    if effect.kind == "account-removed":
        where = f"its mail goes to {after} now" if after else "it had no mail of its own"
        return f"account {name} is gone; {where}"
    if name not in effect.after:
        where = f"its mail goes to {after}" if after else "it gets no mail"
        return f"account {name} is new, but {where}"
    return f"account {name} is new; mail to it went to {before}"


def _ends(effect: Effect, which: int) -> str:
    """Where mail ends, before or after; other servers are marked."""
    ends = (effect.before, effect.after)[which]
    return names([_marked(end, effect.elsewhere) for end in ends]) if ends else ""


def _marked(end: str, elsewhere: Sequence[str]) -> str:
    return f"{end} (elsewhere)" if end in elsewhere else end


def _taken(effect: Effect) -> str:
    return f"mail to {effect.subject} now goes to {_ends(effect, 1)}, not to its mailbox"


def _returned(effect: Effect) -> str:
    stop = f", no more to {_ends(effect, 0)}" if effect.before else ""
    return f"mail to {effect.subject} goes to its own mailbox now{stop}"


def _nowhere(effect: Effect) -> str:
    return f"{effect.subject} leads nowhere now; it led to {_ends(effect, 0)}"


def _somewhere(effect: Effect) -> str:
    return f"{effect.subject}, which led nowhere, leads to {_ends(effect, 1)} now"


def _gone(noun: str) -> Callable[[Effect], str]:
    def said(effect: Effect) -> str:
        led = f"it led to {_ends(effect, 0)}" if effect.before else "it led nowhere"
        return f"{noun} {effect.subject} is gone; {led}"

    return said


def _new(noun: str) -> Callable[[Effect], str]:
    def said(effect: Effect) -> str:
        leads = f"it leads to {_ends(effect, 1)}" if effect.after else "it leads nowhere"
        return f"{noun} {effect.subject} is new; {leads}"

    return said


def _flows(group: Iterable[Effect]) -> Iterator[str]:
    """Who stops and who starts receiving from whom: by whichever there are fewer of."""
    stops: list[tuple[str, str]] = []
    starts: list[tuple[str, str]] = []
    for effect in group:
        for pairs, some, others in (
            (stops, effect.before, effect.after),
            (starts, effect.after, effect.before),
        ):
            lines = (_marked(end, effect.elsewhere) for end in some if end not in others)
            pairs += [(end, effect.subject) for end in lines]
    yield from _paired(stops, "stops receiving from", "stop receiving from")
    yield from _paired(starts, "starts receiving from", "start receiving from")


def _rights(group: Iterable[Effect]) -> Iterator[str]:
    """Who may send as whom."""
    lost = [(owner, e.subject) for e in group for owner in e.before if owner not in e.after]
    won = [(owner, e.subject) for e in group for owner in e.after if owner not in e.before]
    yield from _paired(lost, "may no longer send as", "may no longer send as")
    yield from _paired(won, "may now send as", "may now send as")


def _paired(pairs: Iterable[tuple[str, str]], one: str, many: str) -> Iterator[str]:
    """Pairs of who and what: a line for each who with all whats, or the other way round."""
    by_who: dict[str, list[str]] = {}
    by_what: dict[str, list[str]] = {}
    for who, what in sorted(pairs):
        by_who.setdefault(who, []).append(what)
        by_what.setdefault(what, []).append(who)
    if len(by_who) <= len(by_what):
        yield from _limited([f"{who} {one} {names(whats)}" for who, whats in by_who.items()])
    else:
        yield from _limited(
            [
                f"{names(whos)} {one if len(whos) == 1 else many} {what}"
                for what, whos in by_what.items()
            ]
        )


# -- everything else


def _size(sizes: Sequence[str]) -> str:
    if not sizes:
        return "the default"
    return "no limit" if sizes[0] == "0" else sizes[0]


def _quota(effect: Effect, usage: Mapping[str, int]) -> str:
    line = f"{effect.subject} quota {_size(effect.before)} -> {_size(effect.after)}"
    used = usage.get(effect.subject, 0)
    if effect.after and 0 < size_bytes(effect.after[0]) < used:
        line += f"; it holds {human_size(used)} and so gets no more mail"
    return line


def _fields(effect: Effect) -> str:
    old, new = set(effect.before), set(effect.after)
    parts = [
        f"{names(sorted(some))} {verb}"
        for some, verb in ((new - old, "new"), (old - new, "gone"), (old & new, "changed"))
        if some
    ]
    return f"extra fields of {effect.subject}: {', '.join(parts)}"


def _restricted(direction: str) -> Callable[[Effect], str]:
    def said(effect: Effect) -> str:
        mail = f"mail {direction} {effect.subject}"
        if not effect.after:
            return f"{mail} is taken again"
        if effect.before:
            return f"{mail} meets {effect.after[0]} in place of {effect.before[0]}"
        refused = effect.after[0].upper() == "REJECT"
        return f"{mail} is refused" if refused else f"{mail} meets {effect.after[0]}"

    return said


def _relay(effect: Effect) -> str:
    mail = f"mail from {effect.subject}"
    if not effect.after:
        return f"{mail} leaves as all other mail does"
    if effect.after == (DIRECT,):
        return f"{mail} is never relayed"
    through = f"{mail} leaves through {names(effect.after)}"
    had_one = effect.before not in ((), (DIRECT,))
    return f"{through}, not through {names(effect.before)}" if had_one else through


def _relay_login(effect: Effect) -> str:
    at = f"at the relay of {effect.subject}" if effect.subject[0] != "[" else f"at {effect.subject}"
    if not effect.after:
        return f"there is no login {at} any more"
    if effect.before == effect.after:
        return f"the login of {effect.after[0]} {at} has another password"
    return f"the login {at} is {effect.after[0]}"


def _plain(before: str, behind: str) -> Callable[[Effect], str]:
    def said(effect: Effect) -> str:
        return f"{before}{effect.subject}{behind}"

    return said


def _unexamined(effect: Effect) -> str:
    return f"{int(effect.after[0]):,} more addresses may be concerned, and were not looked at"


_COME_OR_GONE = ("account-added", "account-removed", "alias-added", "alias-removed")
_SAID = {
    "account-removed": _Said(
        _plain("account ", " is gone: no login, no mail"), "accounts are gone, logins and mail"
    ),
    "mail-taken": _Said(_taken),
    "leads-nowhere": _Said(_nowhere, "addresses lead nowhere now"),
    "alias-removed": _Said(_gone("alias"), "aliases lose their last recipient and are gone"),
    "pattern-removed": _Said(_gone("pattern")),
    "domain-dropped": _Said(
        _plain("mail for ", " is not taken any more"), "domains are served no more"
    ),
    "locked": _Said(_plain("", " is locked: no login"), "accounts are locked"),
    "password-changed": _Said(
        _plain("", " gets another password"), "accounts get another password"
    ),
    "fields-changed": _Said(_fields),
    "send-access-changed": _Said(_restricted("from")),
    "receive-access-changed": _Said(_restricted("to")),
    "relay-changed": _Said(_relay),
    "relay-login-changed": _Said(_relay_login),
    "master-removed": _Said(_plain("master ", " is gone"), "masters are gone"),
    "master-added": _Said(
        _plain("master ", " is new: it may log in as anybody"), "masters are new"
    ),
    "master-password-changed": _Said(_plain("master ", " gets another password")),
    "account-added": _Said(_plain("account ", " is new"), "accounts are new"),
    "alias-added": _Said(_new("alias"), ""),
    "pattern-added": _Said(_new("pattern")),
    "domain-served": _Said(_plain("mail for ", " is taken now"), "domains are served now"),
    "mail-returned": _Said(_returned),
    "leads-again": _Said(_somewhere),
    "unlocked": _Said(_plain("", " is unlocked: it can log in again"), "accounts are unlocked"),
    "patterns-reordered": _Said(_plain("", ": the patterns stand in another order")),
    "file-changed": _Said(_plain("", " says something else")),
    "not-examined": _Said(_unexamined),
}
