"""What differs between two documents: lines and keys."""

from collections.abc import Iterable
from typing import TypeVar

from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument, whole

E = TypeVar("E")


def changed_lines(
    before: Document[E], after: Document[E]
) -> tuple[list[str], list[tuple[int, str]]]:
    """The lines of both from where they begin to differ to where they end to; those of the second
    with their positions."""
    if (
        isinstance(before, LargeDocument)
        and isinstance(after, LargeDocument)
        and before.base.token == after.base.token
        and not before.splices
    ):
        return list(after.removed()), after.added()
    old, new = whole(before).lines, whole(after).lines
    start = _common(old, new)
    end = min(_common(reversed(old), reversed(new)), len(old) - start, len(new) - start)
    changed = enumerate(new[start : len(new) - end], start)
    return old[start : len(old) - end], list(changed)


def changed_keys(before: Document[E], after: Document[E]) -> frozenset[str]:
    """Keys whose entry may differ: those of the lines that only one document has.

    Where a key stands twice the order of its lines matters too: if lines have changed places, all
    of their keys are named.
    """
    if before.same_as(after):
        return frozenset()
    if before.format.ordered:
        return frozenset({""})
    old, placed = changed_lines(before, after)
    new = [line for _, line in placed]
    removed, added = set(old).difference(new), set(new).difference(old)
    lines = removed | added
    if [line for line in old if line not in removed] != [line for line in new if line not in added]:
        lines = {*old, *new}
    return frozenset({before.format.key(line) for line in lines} - {""})


def _common(some: Iterable[str], others: Iterable[str]) -> int:
    """How many items two sequences have in common at their beginning."""
    count = 0
    for one, other in zip(some, others, strict=False):
        if one != other:
            break
        count += 1
    return count
