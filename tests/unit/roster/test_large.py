"""A document over an index: what it costs, since a question is not answered by reading every line,
and the edges of its edits."""

from typing import Any

import pytest

from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument, appended
from mailroster.roster.documents.splices import Splice
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.virtual import VIRTUAL, Alias, Virtual
from tests.support.large_documents import PlainBase, indexed


class Counting(Virtual):
    """Counts the lines that are read."""

    read = 0

    def parse(self, line: str) -> Alias:
        self.read += 1
        return super().parse(line)


def test_many_questions_about_many_new_lines_read_each_of_them_once_and_a_few_again() -> None:
    format = Counting()
    text = "".join(f"alias{n}@x.com user{n}@x.com\n" for n in range(2000))
    document = LargeDocument(format, PlainBase(VIRTUAL, b""), [Splice(0, 0, text)])
    for n in range(500):
        assert [key for key, _ in document.mentioning(f"user{n}", "x.com")] == [f"alias{n}@x.com"]
    assert format.read <= 2000 + 3 * 500


def test_one_question_about_a_few_new_lines_reads_those() -> None:
    format = Counting()
    document = LargeDocument(format, PlainBase(VIRTUAL, b""), [Splice(0, 0, "a@x.com b@x.com\n")])
    assert [key for key, _ in document.mentioning("b", "x.com")] == ["a@x.com"]
    assert format.read <= 4


def test_the_last_line_keeps_that_it_has_no_line_feed_through_any_number_of_edits() -> None:
    document: Document[Any] = indexed(ACCOUNTS, b"a@x|1\nb@x|2")
    for text in ("b@x|3", "b@x|4"):
        (position,) = document.positions("b@x")
        document = document.edited({position: text})
        assert bytes(document) == f"a@x|1\n{text}".encode()
    (position,) = document.positions("b@x")
    assert bytes(document.edited({position: None})) == b"a@x|1\n"
    assert bytes(document.edited({}, ["c@x|5"])) == b"a@x|1\nb@x|4\nc@x|5\n"


def test_the_number_of_entries_counts_what_splices_bring_and_take() -> None:
    document = indexed(ACCOUNTS, b"a@x|1\n# b\nb@x|2\n")
    assert document.size_hint() == 2
    assert document.edited({}, ["c@x|3", "# c", "d@x|4"]).size_hint() == 4
    assert document.edited(dict.fromkeys(document.positions("a@x"))).size_hint() == 1


def test_the_lines_of_an_index_are_not_asked_for_by_number() -> None:
    with pytest.raises(TypeError, match="offsets"):
        _ = indexed(ACCOUNTS, b"a@x|1\n").lines


def test_what_is_appended_is_known_if_that_is_all_that_differs() -> None:
    document = indexed(ACCOUNTS, b"a@x|1\nb@x|2\n")
    (position,) = document.positions("b@x")
    assert appended(document) == b""
    assert appended(document.edited({}, ["c@x|3"])) == b"c@x|3\n"
    assert appended(document.edited({position: "b@x|3"})) == b""
    assert appended(document.edited({position: "b@x|3"}, ["c@x|3"])) == b""
    assert appended(document.whole().append("c@x|3")) == b""
