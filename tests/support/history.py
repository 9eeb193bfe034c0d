"""What commands that ran at once may have done: whether some order of them explains it.

A person is an account and all that has to do with it. Whatever a command does, it does to one
person; so each has a history of its own, and a state that the history has to lead to.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

#: The alias that everybody may be in: many write its one line.
ALL = "all@x.com"


class Person(NamedTuple):
    """What the files say about an address."""

    hash: str | None = None
    quota: str | None = None
    alias: frozenset[str] = frozenset()  # recipients of to-ADDRESS
    own: frozenset[str] = frozenset()  # recipients of an alias of the address itself
    in_all: bool = False
    send: bool = False  # refused as a sender
    receive: bool = False  # refused as a recipient


class Act(NamedTuple):
    """A command, or an edit by hand, and what came of it."""

    words: tuple[str, ...]
    began: float
    ended: float
    done: bool  # or refused, with nothing changed


def step(person: Person, words: Sequence[str]) -> Person | None:
    """A person after a command, or None if it has to be refused."""
    match words:
        case ("email", "add", _, "--hash", hash):
            return None if person.hash or person.own else person._replace(hash=hash)
        case ("by hand", "add", _, hash):
            return None if person.hash else person._replace(hash=hash)
        case ("email", "update", _, "--hash", hash) | ("by hand", "update", _, hash):
            return person._replace(hash=hash) if person.hash else None
        case ("by hand", "del", _):
            return person._replace(hash=None) if person.hash else None
        case ("email", "del", "-n", address):
            others = person.alias - {address}
            removed = person._replace(hash=None, quota=None, alias=others, in_all=False)
            return removed if person.hash else None
        case ("email", "restrict", verb, way, _):
            there = person.send if way == "send" else person.receive
            return None if verb == "add" and there else _with(person, way, verb == "add")
        case ("quota", "set", _, size):
            return person._replace(quota=size) if person.hash else None
        case ("quota", "del", _):
            return person._replace(quota=None) if person.hash else None
        case ("alias", verb, name, _) if name == ALL:
            refused = verb == "add" and person.in_all
            return None if refused else person._replace(in_all=verb == "add")
        case ("alias", verb, name, recipient):
            field = "alias" if name.startswith("to-") else "own"
            recipients: frozenset[str] = getattr(person, field)
            if verb == "del":
                return _with(person, field, recipients - {recipient})
            added = recipients | {recipient}
            return None if recipient in recipients else _with(person, field, added)
    raise AssertionError(words)


def _with(person: Person, field: str, value: Any) -> Person:
    return person._replace(**{field: value})


def explained(acts: Sequence[Act], first: Person, last: Person) -> bool:
    """Whether one after the other, in some order that keeps who had ended before who began, the
    acts lead from one state to another, each done where it could be and refused where not."""
    acts = sorted(acts, key=lambda act: act.began)
    everything = (1 << len(acts)) - 1
    ways = [(0, first)]
    seen = set(ways)
    while ways:
        removed, person = ways.pop()
        if removed == everything:
            if person == last:
                return True
            continue
        waiting = [n for n in range(len(acts)) if not removed >> n & 1]
        first_end = min(acts[n].ended for n in waiting)
        for n in waiting:
            if acts[n].began > first_end:
                break
            after = step(person, acts[n].words)
            if (after is not None) != acts[n].done:
                continue
            way = removed | 1 << n, person if after is None else after
            if way not in seen:
                seen.add(way)
                ways.append(way)
    return False


def people(folder: Path, addresses: Sequence[str]) -> dict[str, Person]:
    """What the files say, read as simply as can be; a key that is there twice is an error."""
    accounts = _entries(folder / "postfix-accounts.cf", "|")
    quotas = _entries(folder / "dovecot-quotas.cf", ":")
    aliases = _entries(folder / "postfix-virtual.cf", " ")
    send = _entries(folder / "postfix-send-access.cf", " ")
    receive = _entries(folder / "postfix-receive-access.cf", " ")
    return {
        address: Person(
            accounts.get(address),
            quotas.get(address),
            _recipients(aliases, f"to-{address}"),
            _recipients(aliases, address),
            address in _recipients(aliases, ALL),
            address in send,
            address in receive,
        )
        for address in addresses
    }


def _recipients(aliases: Mapping[str, str], name: str) -> frozenset[str]:
    words = aliases.get(name, "").replace(",", " ").split()
    assert len(words) == len(set(words)), (name, words)
    return frozenset(words)


def _entries(path: Path, delimiter: str) -> dict[str, str]:
    lines = path.read_text().splitlines() if path.exists() else []
    entries = [line.partition(delimiter)[::2] for line in lines if line and line[0] != "#"]
    assert len(entries) == len(dict(entries)), (path, lines)
    return dict(entries)
