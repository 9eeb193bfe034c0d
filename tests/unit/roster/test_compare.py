"""What differs between two documents, in memory and in large files alike."""

import pytest

from mailroster.roster.documents.compare import changed_keys, splices_since
from mailroster.roster.documents.large import LargeDocument, whole
from mailroster.roster.documents.splices import Splice
from mailroster.roster.formats.virtual import VIRTUAL
from tests.support.large_documents import indexed


@pytest.mark.parametrize(
    ("removed", "added", "lines"),
    [
        # One splice with lines that stand on both sides.
        ("a\nb\nc\n", "a\nB\nc\n", [("b\n", "B\n")]),
        ("a\nb\nc\n", "A\nb\nC\n", [("a\n", "A\n"), ("c\n", "C\n")]),
        ("a\nb\nc\n", "a\nc\n", [("b\n", "")]),
        ("a\nc\n", "a\nb\nc\n", [("", "b\n")]),
        ("a\n\nb\n", "A\n\nB\n", [("a\n\nb\n", "A\n\nB\n")]),  # an empty line says nothing
        ("a\nb\n", "b\na\n", [("a\n", ""), ("", "a\n")]),
        ("a\na\n", "a\n", [("a\n", "")]),
        ("a\n", "a\na\n", [("", "a\n")]),
        ("b\na\na\n", "c\na\n", [("b\n", "c\n"), ("a\n", "")]),
        ("a\na\nb\n", "b\na\na\n", [("a\na\n", ""), ("", "a\na\n")]),
        ("é\nb\nc\n", "é\nB\nc\n", [("b\n", "B\n")]),
        ("\udcff\nb\nc\n", "\udcff\nB\nc\n", [("b\n", "B\n")]),
        ("a\n x\nb\n", "a\n y\nb\n", [("a\n x\n", "a\n y\n")]),  # a continued line is one
    ],
)
def test_a_splice_is_taken_apart_into_the_lines_that_differ(
    removed: str, added: str, lines: list[tuple[str, str]]
) -> None:
    raw = removed.encode("utf-8", "surrogateescape")
    before = indexed(VIRTUAL, raw)
    after = LargeDocument(VIRTUAL, before.base, [Splice(0, len(raw), added)])
    for splices in (splices_since(before, after), splices_since(whole(before), whole(after))):
        differing = [(raw[one.start : one.end], one.raw()) for one in splices]
        assert [
            tuple(side.decode("utf-8", "surrogateescape") for side in one) for one in differing
        ] == lines
        text, end = b"", 0
        for splice in splices:
            text, end = text + raw[end : splice.start] + splice.raw(), splice.end
        assert text + raw[end:] == added.encode("utf-8", "surrogateescape")


def test_a_line_that_has_moved_is_among_those_that_differ() -> None:
    """Another line of the same key may stand between, so another one may count now."""
    lines = [b"a@x.com one@y.com\n", b"b@x.com b@y.com\n", b"a@x.com two@y.com\n"]
    before = indexed(VIRTUAL, b"".join(lines))
    end = before.base.size
    splices = [Splice(0, len(lines[0]), ""), Splice(end, end, lines[0].decode())]
    after = LargeDocument(VIRTUAL, before.base, splices)
    assert before.get("a@x.com") != after.get("a@x.com")
    assert changed_keys(before, after) == {"a@x.com"}
    assert changed_keys(whole(before), whole(after)) == {"a@x.com"}
