"""Laws of indexed documents: whatever one is asked, it answers as the same text in memory would."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mailroster.roster.documents.compare import changed_keys
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Format
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.documents.splices import Bytes, splices_between
from mailroster.roster.formats.virtual import VIRTUAL
from tests.support.large_documents import (
    PlainBase,
    apply,
    edits,
    ended,
    formats,
    indexed,
    placed,
    same,
)
from tests.support.texts import document, raw


def assert_neighbours(document: Document[Any]) -> None:
    """Holds if each line knows the one above and the one below it, and its number."""
    places = placed(document)
    number = 1
    for above, place, below in zip([None, *places], places, [*places[1:], None], strict=False):
        assert document.above(place) == above
        assert document.below(place) == below
        assert document.number(place) == number
        number += 1 + document.line(place).count("\n")


@given(formats, raw, edits)
def test_after_the_same_edits_both_are_the_same(
    format: Format[Any], content: bytes, steps: Any
) -> None:
    content = ended(content)
    one = apply(indexed(format, content), steps)
    same(one, apply(document(format, content), steps))
    assert_neighbours(one)


#: Lines for a Postfix table, some of which go on in the next physical line.
continued = st.sampled_from(
    ["a@x.com b@x.com,\n  c@x.com", "b@x.com c@x.com\n# more\n\td@x.com", "info a@x.com", "# note"]
)


@settings(max_examples=max(1, settings().max_examples // 4))
@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.none() | continued, st.lists(continued, max_size=2)),
        max_size=5,
    ),
    st.sampled_from(["", "\n", "\n# end"]),
)
def test_so_they_are_if_lines_go_on_in_the_next_one(steps: Any, end: str) -> None:
    some = (f"user{n}@x.com {n}@y.org" + ",\n  z@y.org" * (n % 4 == 0) for n in range(40))
    content = ("\n".join(some) + end).encode()
    one = apply(indexed(VIRTUAL, content), steps)
    same(one, apply(document(VIRTUAL, content), steps))
    assert_neighbours(one)


@given(formats, raw, raw, raw, raw)
def test_the_splices_between_two_files_turn_one_into_the_other(
    format: Format[Any], head: bytes, old: bytes, new: bytes, tail: bytes
) -> None:
    before, after = head + old + tail, head + new + tail

    def source(content: bytes) -> Bytes:
        return Bytes(lambda start, end: content[start:end], len(content))

    splices = splices_between(format, source(before), source(after))
    assert splices is not None
    base = PlainBase(format, before)
    same(LargeDocument(format, base, splices), document(format, after))
    one, other = indexed(format, before), LargeDocument(format, base, splices)
    assert one.same_as(other) == (before == after)
    named = changed_keys(one, other)
    for key in {*one.index, *other.index}:
        assert key in named or one.get(key) == other.get(key), key
