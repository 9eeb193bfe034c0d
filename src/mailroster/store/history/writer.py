"""Writes history entries: lines whose first word says what they are. Their meaning is in
docs/reference/formats/history.md; `store/history/entry.py` reads them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mailroster.roster.documents.compare import splices_since
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import spliced, whole
from mailroster.roster.documents.splices import Bytes, Splice
from mailroster.store.history.entry import Hunk

#: A longer neighbour is not repeated: it would be in every entry.
_NEIGHBOUR_BYTES = 300
#: The characters of words that need no quotes.
_UNQUOTED = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_{}~…"
)
_COMMAND_CHARS = 2000


def entry(
    number: int, when: str, author: str, files: Iterable[bytes], *, done: bool = False
) -> bytes:
    """A whole entry. `author` is a user and a command: `UID:USER SUDO COMMAND`."""
    end = f"end {number}\n" + (f"done {number}\n" if done else "")
    return b"".join((f"change {number} {when} {author}\n".encode(), *files, end.encode()))


def author(uid: int, user: str, sudo: str, command: str) -> str:
    """The user and the command of a change; `sudo` is `UID:USER` behind sudo(8), or ""."""
    who, by = ("".join(c for c in name if c.isprintable() and c != " ") for name in (user, sudo))
    return f"{uid}:{who} {by or '-'} {command}"


def command(words: Sequence[str]) -> str:
    """A command line as one line of text, quoted for a shell."""
    text = " ".join(map(_quoted, words))
    return text if len(text) <= _COMMAND_CHARS else f"{text[:_COMMAND_CHARS]}…"


def _quoted(word: str) -> str:
    if word and _UNQUOTED.issuperset(word):
        return word
    if word.isprintable():
        return "'" + word.replace("'", "'\\''") + "'"
    escaped = word.encode("unicode_escape").decode().replace("'", "\\'")
    return f"$'{escaped}'"


def file_part(before: Document[Any], after: Document[Any], room: int) -> bytes:
    """The part of an entry for one changed file. A change of more than `room` bytes is only
    counted."""
    old_size, changes = hunks(before, after)
    new_size = old_size + sum(len(hunk.added) - len(hunk.removed) for hunk in changes)
    return part(after.format.file, old_size, new_size, changes, room)


def part(file: str, old_size: int, new_size: int, hunks: Sequence[Hunk], room: int) -> bytes:
    """The lines of an entry about one file. `room`: see `file_part`."""
    head = f"file {file} {old_size} {new_size}\n".encode()
    if sum(len(hunk.removed) + len(hunk.added) for hunk in hunks) > room:
        removed = sum(_count(hunk.removed) for hunk in hunks)
        added = sum(_count(hunk.added) for hunk in hunks)
        return head + f"short {removed} {added}\n".encode()
    return head + b"".join(map(_text, hunks))


def hunks(before: Document[Any], after: Document[Any]) -> tuple[int, list[Hunk]]:
    """The size of the old file, and where the new one differs from it.

    Lines are not numbered in a large file: nothing has counted them.
    """
    splices, large = splices_since(before, after), spliced(before, after)
    if large is not None:
        base = Bytes(large.base.read, large.base.size)
        return base.size, list(_hunks(base, splices, numbered=False))
    raw = bytes(whole(before))
    base = Bytes(lambda start, end: raw[start:end], len(raw))
    return base.size, list(_hunks(base, splices, numbered=True))


def _hunks(base: Bytes, splices: Sequence[Splice], *, numbered: bool) -> Iterator[Hunk]:
    """The splices of a file as hunks."""
    end = shift = 0  # the end of the last splice, and how far the new file is ahead there
    line = 1
    limits = [*(splice.start for splice in splices[1:]), base.size]
    for splice, limit in zip(splices, limits, strict=False):
        removed, added = base.read(splice.start, splice.end), splice.raw()
        if numbered:
            line += base.read(end, splice.start).count(b"\n")
        before = _line_before(base, end, splice.start)
        behind = _line_behind(base, splice.end, limit)
        number = line if numbered or not base.size else 0
        yield Hunk(splice.start + shift, number, before, removed, added, behind)
        end, shift = splice.end, shift + len(added) - len(removed)
        line += added.count(b"\n")


def _line_before(base: Bytes, low: int, start: int) -> bytes:
    """The line that ends at an offset, if it is short and does not begin before `low`."""
    raw = base.read(max(low, start - _NEIGHBOUR_BYTES), start)
    line_feed = raw.rfind(b"\n", 0, -1) if raw else -1
    return raw[line_feed + 1 :] if line_feed >= 0 or start - len(raw) == low else b""


def _line_behind(base: Bytes, end: int, high: int) -> bytes:
    """The line that begins at an offset, if it is short and does not end behind `high`."""
    raw = base.read(end, min(high, end + _NEIGHBOUR_BYTES))
    line_feed = raw.find(b"\n")
    if line_feed >= 0:
        return raw[: line_feed + 1]
    return raw if end + len(raw) == high else b""


def _text(hunk: Hunk) -> bytes:
    marks = ((b" ", hunk.before), (b"-", hunk.removed), (b"+", hunk.added), (b" ", hunk.behind))
    lines = [line for mark, raw in marks if raw for line in _marked(mark, raw)]
    return f"at {hunk.offset} {hunk.line}\n".encode() + b"".join(lines)


def _marked(mark: bytes, raw: bytes) -> list[bytes]:
    """Lines with a mark in front. A `\\` below the last line says that it lacks its line feed."""
    lines = raw.split(b"\n")
    last = lines.pop()
    return [b"%b%b\n" % (mark, line) for line in lines] + (
        [b"%b%b\n\\\n" % (mark, last)] if last else []
    )


def _count(raw: bytes) -> int:
    return raw.count(b"\n") + (1 if raw and not raw.endswith(b"\n") else 0)
