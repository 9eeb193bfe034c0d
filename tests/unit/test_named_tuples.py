"""Our NamedTuple does what typing's does."""

import copy
import pickle
import typing
from collections.abc import Callable
from typing import Any

import pytest

from mailroster.base import named_tuple


class Ours(named_tuple.NamedTuple):
    """A value."""

    a: int
    b: "list[str]"
    c: str = "c"
    d: int = 4

    @property
    def both(self) -> int:
        return self.a + self.d

    def more(self, by: int) -> int:
        return self.a + by


class Theirs(typing.NamedTuple):
    """A value."""

    a: int
    b: "list[str]"
    c: str = "c"
    d: int = 4

    @property
    def both(self) -> int:
        return self.a + self.d

    def more(self, by: int) -> int:
        return self.a + by


def told(act: Callable[[], Any]) -> object:
    """What comes of something: a plain value, or the kind of error (a ValueError of Python 3.11's
    `_replace` is a TypeError in later ones)."""
    try:
        found = act()
    except (TypeError, ValueError):
        return TypeError
    except AttributeError:
        return AttributeError
    return tuple(found) if isinstance(found, tuple) else found


ACTS: dict[str, Callable[[Any], Any]] = {
    "all by place": lambda of: of(1, [], "x", 3),
    "some by place": lambda of: of(1, []),
    "some more": lambda of: of(1, [], "x"),
    "by name": lambda of: of(1, b=[], d=3),
    "all by name": lambda of: of(d=1, c="", b=[], a=0),
    "too few": lambda of: of(1),
    "too few by name": lambda of: of(1, c=""),
    "too many": lambda of: of(1, [], "", 2, 3),
    "too many, and a name": lambda of: of(1, [], "", 2, 3, a=1),
    "twice": lambda of: of(1, [], a=1),
    "unknown": lambda of: of(1, [], z=1),
    "a field": lambda of: of(1, ["x"]).b,
    "a property": lambda of: of(1, []).both,
    "a method": lambda of: of(1, []).more(2),
    "replaced": lambda of: of(1, [])._replace(c="z", a=2),
    "replaced by what it lacks": lambda of: of(1, [])._replace(z=2),
    "a dictionary": lambda of: of(1, [])._asdict(),
    "made": lambda of: of._make([1, [], "", 2]),
    "made of too few": lambda of: of._make([1]),
    "set": lambda of: setattr(of(1, []), "a", 2),
    "set anew": lambda of: setattr(of(1, []), "z", 2),
    "fields": lambda of: of._fields,
    "defaults": lambda of: of._field_defaults,
    "unpacked": lambda of: (lambda a, *rest: rest)(*of(1, [])),
    "equal to a tuple": lambda of: of(1, []) == (1, [], "c", 4),
    "ordered": lambda of: of(1, []) < of(1, [], "d"),
    "hashed": lambda of: hash(of(1, (), "c")) == hash((1, (), "c", 4)),
    "copied": lambda of: copy.deepcopy(of(1, [[]])),
    "pickled": lambda of: pickle.loads(pickle.dumps(of(1, []))),
    "shown": lambda of: repr(of(1, ["x"])).partition("(")[2],
    "told about": lambda of: of.__doc__,
    "annotated": lambda of: list(of.__annotations__),
    "matched": lambda of: of.__match_args__,
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_it_does_what_typings_does(act: Callable[[Any], Any]) -> None:
    assert told(lambda: act(Ours)) == told(lambda: act(Theirs))


def test_it_is_of_its_class() -> None:
    assert type(Ours(1, [])) is Ours
    assert type(Ours(1, [])._replace(a=2)) is type(Ours._make((1, [], "", 2))) is Ours
    assert isinstance(Ours(1, []), tuple)
    assert repr(Ours(1, [])) == "Ours(a=1, b=[], c='c', d=4)"
