"""Changes every line of some keys."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from mailroster.roster.documents.document import Document

E = TypeVar("E")


def rewrite(
    document: Document[E], keys: Iterable[str], change: Callable[[str], str]
) -> Document[E]:
    """Replaces each line of these keys by the result of `change`."""
    replaced: dict[int, str | None] = {}
    for position in (at for key in dict.fromkeys(keys) for at in document.positions(key)):
        replaced[position] = change(document.line(position)).removesuffix("\r")
    return document.edited(replaced) if replaced else document
