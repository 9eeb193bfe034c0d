"""What a change is noted as: every line of it, and no line that did not change."""

from typing import Any

import pytest

from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.documents.splices import Splice
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.store.history.writer import author, command, entry, file_part
from tests.support.large_documents import indexed

ROOM = 1 << 20


def part(before: bytes, after: bytes, room: int = ROOM) -> bytes:
    one, other = (Document.from_bytes(VIRTUAL, raw) for raw in (before, after))
    return file_part(one, other, room)


ABC = b"a a@x\nb b@x\nc c@x\n"
CASES: dict[str, tuple[bytes, bytes, bytes]] = {
    "a first line": (b"", b"a a@x\n", b"0 6\nat 0 1\n+a a@x\n"),
    "a line at the end": (
        b"a a@x\n",
        b"a a@x\nb b@x\n",
        b"6 12\nat 6 2\n a a@x\n+b b@x\n",
    ),
    "a line in front": (ABC, b"z z@x\n" + ABC, b"18 24\nat 0 1\n+z z@x\n a a@x\n"),
    "a line that went": (ABC, b"a a@x\nc c@x\n", b"18 12\nat 6 2\n a a@x\n-b b@x\n c c@x\n"),
    "a line that is another": (
        ABC,
        b"a a@x\nb other@x\nc c@x\n",
        b"18 22\nat 6 2\n a a@x\n-b b@x\n+b other@x\n c c@x\n",
    ),
    "two places": (
        b"a a@x\n1 1@x\n2 2@x\nb b@x\n3 3@x\n",
        b"A a@x.com\n1 1@x\n2 2@x\nB b@x\n3 3@x\n",
        b"30 34\nat 0 1\n-a a@x\n+A a@x.com\n 1 1@x\nat 22 4\n 2 2@x\n-b b@x\n+B b@x\n 3 3@x\n",
    ),
    "no line feed at the end": (
        b"a a@x",
        b"a a@x\nb b@x\n",
        b"5 12\nat 0 1\n-a a@x\n\\\n+a a@x\n+b b@x\n",
    ),
    "a line behind without its line feed": (
        b"a a@x\nb b@x",
        b"A a@x\nb b@x",
        b"11 11\nat 0 1\n-a a@x\n+A a@x\n b b@x\n\\\n",
    ),
    "octets that are no text, at the end": (
        b"a a@x\n",
        b"a a@x\n\xff\n",
        b"6 8\nat 6 2\n a a@x\n+\xff\n",
    ),
    "all of it": (ABC, b"", b"18 0\nat 0 1\n-a a@x\n-b b@x\n-c c@x\n"),
    "octets that are no text": (
        b"\xff\xfe\n",
        b"\xff\xfd\n",
        b"3 3\nat 0 1\n-\xff\xfe\n+\xff\xfd\n",
    ),
}


@pytest.mark.parametrize(("before", "after", "lines"), CASES.values(), ids=CASES.keys())
def test_a_change_is_noted_by_its_lines(before: bytes, after: bytes, lines: bytes) -> None:
    assert part(before, after) == b"file postfix-virtual.cf " + lines


def test_a_change_without_room_is_only_counted() -> None:
    after = b"a other@x\nc c@x\nd d@x"
    lines = len(b"a a@x\nb b@x\n") + len(b"a other@x\n") + len(b"d d@x")
    assert part(ABC, after, lines - 1) == b"file postfix-virtual.cf 18 21\nshort 2 2\n"
    assert b"\nat " in part(ABC, after, lines)


def test_of_what_is_only_counted_lines_that_went_and_lines_that_came_are_told_apart() -> None:
    assert part(ABC, b"a a@x\n", 0) == b"file postfix-virtual.cf 18 6\nshort 2 0\n"
    assert part(b"", ABC, 0) == b"file postfix-virtual.cf 0 18\nshort 0 3\n"


@pytest.mark.parametrize(("length", "shown"), [(298, True), (300, False)])
def test_a_long_neighbour_is_not_repeated(length: int, shown: bool) -> None:
    long = b"#" * length + b"\n"
    noted = part(b"a a@x\n" + long + b"b b@x\n" + long, b"a a@x\n" + long + b"B b@x\n" + long)
    assert noted.count(b"\n " + long) == (2 if shown else 0)


def test_an_entry_is_whole_with_its_end_and_made_with_its_mark() -> None:
    assert entry(7, "T", "0:root - c", [b"file f 0 0\n"]) == (
        b"change 7 T 0:root - c\nfile f 0 0\nend 7\n"
    )
    assert entry(7, "T", "a", [], done=True) == b"change 7 T a\nend 7\ndone 7\n"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ((0, "root", "", "setup"), "0:root - setup"),
        ((0, "root", "1000:jane", "setup"), "0:root 1000:jane setup"),
        ((1, "", "", ""), "1: - "),
        ((1, "a b\nc", "1:d e", "x"), "1:abc 1:de x"),
    ],
)
def test_an_author_is_one_line_of_words(given: tuple[Any, ...], shown: str) -> None:
    assert author(*given) == shown


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["setup", "alias", "add", "a@x.com", "b+c@y.com"], "setup alias add a@x.com b+c@y.com"),
        (["a b", ""], "'a b' ''"),
        (["it's"], "'it'\\''s'"),
        (["a\nb"], "$'a\\nb'"),
        (["é"], "'é'"),
        (["x" * 2000], "x" * 2000),
        (["x" * 2001], "x" * 2000 + "…"),
    ],
)
def test_a_command_is_one_line_that_a_shell_would_read(words: list[str], line: str) -> None:
    assert command(words) == line


# -- a large file, which is known by its index


def large(base: bytes, *splices: Splice) -> LargeDocument[Any]:
    return LargeDocument(VIRTUAL, indexed(VIRTUAL, base).base, splices)


@pytest.mark.parametrize(
    ("splices", "lines"),
    [
        ([Splice(6, 6, "n n@x\n")], b"18 24\nat 6 0\n a a@x\n+n n@x\n b b@x\n"),
        ([Splice(18, 18, "n n@x\n")], b"18 24\nat 18 0\n c c@x\n+n n@x\n"),
        ([Splice(0, 6, "")], b"18 12\nat 0 0\n-a a@x\n b b@x\n"),
        (
            [Splice(0, 6, "A a@x.com\n"), Splice(12, 18, "C c@x\n")],
            b"18 22\nat 0 0\n-a a@x\n+A a@x.com\n b b@x\nat 16 0\n b b@x\n-c c@x\n+C c@x\n",
        ),
        (
            [Splice(0, 6, "A\n"), Splice(6, 12, "B\n"), Splice(18, 18, "D\n")],
            b"18 12\nat 0 0\n-a a@x\n+A\nat 2 0\n-b b@x\n+B\n c c@x\nat 10 0\n c c@x\n+D\n",
        ),
        # Side by side: each has as its neighbours only lines that stay.
        (
            [Splice(0, 6, "A a@x.com\n"), Splice(6, 12, "B b@x\n")],
            b"18 22\nat 0 0\n-a a@x\n+A a@x.com\nat 10 0\n-b b@x\n+B b@x\n c c@x\n",
        ),
    ],
)
def test_a_change_of_a_large_file_is_noted_without_a_count_of_its_lines(
    splices: list[Splice], lines: bytes
) -> None:
    base = large(ABC).base
    before, after = (LargeDocument(VIRTUAL, base, tuple(some)) for some in ([], splices))
    assert file_part(before, after, ROOM) == b"file postfix-virtual.cf " + lines


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(large(ABC, Splice(0, 0, "z z@x\n")), large(ABC), id="it had changes already"),
        pytest.param(large(ABC), Document.from_bytes(VIRTUAL, b"a a@x\n"), id="it was large"),
        pytest.param(Document.from_bytes(VIRTUAL, b"a a@x\n"), large(ABC), id="it is large"),
        pytest.param(large(ABC), large(b"n n@x\n" + ABC), id="it is another one"),
        pytest.param(
            large(ABC), large(b"n n@x\n" + ABC, Splice(0, 6, "")), id="another one, as before"
        ),
    ],
)
def test_a_large_file_that_is_not_on_the_same_base_is_compared(
    before: Document[Any], after: Document[Any]
) -> None:
    one, other = (Document.from_bytes(VIRTUAL, bytes(each)) for each in (before, after))
    assert file_part(before, after, ROOM) == file_part(one, other, ROOM)
