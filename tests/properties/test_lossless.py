"""Law: a file that is read and written again is the same, to the byte, whatever it holds."""

from random import Random
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from mailroster.base.address import split
from mailroster.base.findings import ParseError
from mailroster.roster.documents.format import Format
from tests.support.texts import FORMATS, document, formats, plain, raw

#: An entry of each format. Pieces that come by chance are hardly ever one.
ENTRIES = (
    b"a@x.com|{PLAIN}x\n", b"A@X.com|{PLAIN}y|home=/x nologin\r\n", b"a@x.com:5G\n",
    b"b@x.com:0\r\n",
    b"a@x.com b@x.com\n", b"info a@x.com,\n  b@x.com\n", b"@x.com @y.org\n", b"/^a/i a@x.com\n",
    b"if /x/\n/^b/ $1@x.com\nendif\n", b"boss|{PLAIN}x\n", b"a@x.com REJECT\n", b"info: a@x.com\n",
    b"@x.com [r.test]:587\n", b"@x.com u:p\n", b"# c\n", b"\n",
)  # fmt: skip
files = raw | st.lists(st.sampled_from(ENTRIES) | raw.map(lambda some: some[:9]), max_size=9).map(
    b"".join
)


@given(formats, raw | st.binary())
def test_render_after_parse_is_identity_for_any_bytes(format: Format[Any], content: bytes) -> None:
    read = document(format, content)
    assert bytes(read) == content
    assert "\n".join(read.lines) == read.text


@given(formats, raw)
def test_every_line_has_its_number_in_the_file(format: Format[Any], content: bytes) -> None:
    read = document(format, content)
    physical = read.text.split("\n")
    for position, line in enumerate(read.lines):
        start = read.number(position) - 1
        assert physical[start : start + line.count("\n") + 1] == line.split("\n")


@given(formats, files)
def test_the_key_agrees_with_the_entry(format: Format[Any], content: bytes) -> None:
    for line in document(format, content).lines:
        key = format.key(line)
        if not key:
            continue
        try:
            entry = format.parse(line)
        except ParseError:
            continue
        if not format.ordered:
            assert entry[0] == key


@given(formats, files, st.integers(0, 20))
def test_a_key_is_found_by_search_and_by_index_alike(
    format: Format[Any], content: bytes, skipped: int
) -> None:
    indexed = document(format, content)
    for key in list(indexed.index)[skipped:]:
        assert document(format, content).positions(key) == indexed.positions(key)
        assert document(format, content).position(key) == indexed.position(key)


@given(formats, files)
def test_every_finding_names_a_line_of_the_file(format: Format[Any], content: bytes) -> None:
    read = document(format, content)
    for finding in read.findings():
        assert finding.where.file == format.file
        assert 1 <= finding.where.line <= content.count(b"\n") + 1
        assert str(finding).isprintable()


def test_files_with_entries_and_files_with_faults_are_drawn() -> None:
    """Else the laws here would hold of nothing."""
    drawn = st.tuples(formats, files)
    for holds in (
        lambda file: len(document(*file).index) > 1,
        lambda file: len(document(*file).findings()) > 1,
        lambda file: len(list(filter(document(*file).readable, document(*file).lines))) > 1,
    ):
        enough = settings(phases=[Phase.generate], max_examples=1000)
        find(drawn, holds, settings=enough, random=Random(1))


@given(formats, files | plain)
def test_many_lines_are_read_as_one_would_be(format: Format[Any], content: bytes) -> None:
    quick = format.quick()
    for line in filter(format.key, document(format, content).lines):
        try:
            entry = format.parse(line)
        except ParseError:
            with pytest.raises(ParseError):
                quick(line)
        else:
            assert quick(line) == entry
            assert type(quick(line)) is type(entry)


@given(st.sampled_from([format for format in FORMATS if format.plain()]), raw | plain)
def test_lines_of_the_plainest_form_are_read_by_pattern(
    format: Format[Any], content: bytes
) -> None:
    form = format.plain()
    assert form is not None
    for line in document(format, content).lines:
        if (found := form.match(line)) is not None:
            assert found[1] == format.key(line)
            assert form.entry(line) == format.parse(line)


@given(formats, raw | plain)
def test_a_document_read_as_a_whole_answers_as_one_read_line_by_line(
    format: Format[Any], content: bytes
) -> None:
    whole, other = document(format, content), document(format, content)
    counted = whole.counted()
    assert list(counted) == [key for key in other.index if key in other]
    assert list(whole.claims()) == list(other.claims())
    for key, position in counted.items():
        assert position == other.position(key)
        assert whole.get(key) == whole.entry_at(position) == other.get(key)
    faulty = [
        position
        for position, line in enumerate(other.lines)
        if format.key(line) and other.readable(line) is None
    ]
    assert sorted(whole.unreadable()) == faulty
    assert whole.domains() == {split(key)[1] for key in counted}
