"""What an edit must leave alone."""

from typing import Any

from mailroster.roster.documents.document import MARK, Document


def others(document: Document[Any], key: str) -> list[str]:
    """The physical lines of all that has another key, without their line feeds."""
    lines = [line for line in document.lines if document.format.key(line) != key]
    text = "\n".join(lines).removeprefix(MARK)  # which an edit keeps at the start of the file
    return text.removesuffix("\n").split("\n")


def assert_kept(old: Document[Any], new: Document[Any], key: str) -> None:
    """Holds if nothing but lines of a key differs."""
    before, now = others(old, key), others(new, key)
    if before != now and now and not now[-1] and len(now) == len(before) + 1:
        now.pop()  # what was the last line is so no more
    # Whatever had no line feed may have got one, with the file's carriage return.
    assert [line.rstrip("\r") for line in now] == [line.rstrip("\r") for line in before]
    assert now[:-1] == before[:-1]
