"""Laws of indexed documents: whatever one is asked, it answers as the same text in memory would."""

from codecs import BOM_UTF8
from collections.abc import Hashable, Iterator
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mailroster.roster.documents.byte_lines import cut, lines_of
from mailroster.roster.documents.compare import changed_keys
from mailroster.roster.documents.document import Document, Format, mentions
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.documents.splices import Bytes, splices_between
from mailroster.roster.formats.virtual import VIRTUAL
from tests.support.texts import FORMATS, document, raw

formats = st.sampled_from([format for format in FORMATS if not format.ordered])
lines = st.sampled_from(
    ["a@x.com|{PLAIN}y", "b@x.com:1G", "a@x.com b@x.com", "# note", "", "é@x.com z@y", "bad\tline"]
)
edits = st.lists(
    st.tuples(st.integers(0, 30), st.none() | lines, st.lists(lines, max_size=2)), max_size=4
)
KEYS = ("a@x.com", "b@x.com", "a+t@x.com", "@x.com", "info", "a@xn--bcher-kva.de", "none@x.com")


class PlainBase:
    """A base that looks at every line, whenever it is asked."""

    fd = -1

    def __init__(self, format: Format[Any], content: bytes) -> None:
        assume(BOM_UTF8 not in content)  # a file that begins with one has no index
        self.token: Hashable = content
        self._content = content
        self.size = len(content)
        self._format = format
        self._lines = cut(format, self.read, self.size, 0, self.size)
        whole = Document.from_bytes(format, content)
        self.entries = sum(1 for _, line in self._lines if format.key(line))
        self.faulty = whole.faulty()
        self._whole = whole

    def read(self, start: int, end: int) -> bytes:
        return self._content[start:end]

    def claiming(self, key: str) -> list[int]:
        return [offset for offset, line in self._lines if self._format.key(line) == key]

    def mentioning(self, user: str, domain: str) -> list[int]:
        return [
            offset
            for offset, line in self._lines
            if (entry := self._whole.readable(line)) and mentions(self._format, entry, user, domain)
        ]

    def keys_in(self, domain: str) -> Iterator[str]:
        keys = (self._format.key(line) for _, line in self._lines)
        return (key for key in keys if key.rpartition("@")[1:] == ("@", domain))


def indexed(format: Format[Any], content: bytes) -> LargeDocument[Any]:
    return LargeDocument(format, PlainBase(format, content))


def placed(document: Document[Any]) -> list[int]:
    """Positions of all lines, in the order of the file."""
    if not isinstance(document, LargeDocument):
        return list(range(len(lines_of(document.format, document.text))))
    base = document.base
    lines = cut(document.format, base.read, base.size, 0, base.size)
    standing = document._standing([offset for offset, _ in lines])
    found = standing + [position for position, _ in document.added()]
    return sorted(found, key=document._order)


def apply(document: Document[Any], steps: Any) -> Document[Any]:
    """The same edits of any document, by the number of the line."""
    for nth, line, appended in steps:
        positions = placed(document)
        replaced = {positions[nth % len(positions)]: line} if positions else {}
        whole_line = document.line(next(iter(replaced))) if replaced else ""
        if document.format.continued and not document.format.key(whole_line):
            replaced = {}  # nobody edits what is no entry
        document = document.edited(replaced, appended)
    return document


def same(one: Document[Any], other: Document[Any]) -> None:
    assert bytes(one) == bytes(other)
    assert one.same_as(other)
    assert other.same_as(one)
    assert one.is_empty() == other.is_empty()
    assert one.faulty() == other.faulty()
    assert (one.unfinished() is None) == (other.unfinished() is None)
    for word in ("a@x.com", "b@x", "# note"):
        assert one.has(word) == other.has(word)
        assert [one.line(p) for p in one.holding(word)] == [
            other.line(p) for p in other.holding(word)
        ]
    for key in KEYS:
        found, wanted = one.positions(key), other.positions(key)
        assert [one.line(p) for p in found] == [other.line(p) for p in wanted], key
        assert [one.number(p) for p in found] == [other.number(p) for p in wanted], key
        assert one.get(key) == other.get(key)
        user, _, domain = key.rpartition("@")
        for place in ((user, domain), ("", domain)):
            assert list(one.mentioning(*place)) == list(other.mentioning(*place))
            assert one.keys_mentioning(*place) == other.keys_mentioning(*place)
        assert one.names_domain(domain) == other.names_domain(domain)


def assert_neighbours(document: Document[Any]) -> None:
    """Holds if each line knows the one above and the one below it, and its number."""
    places = placed(document)
    number = 1
    for above, place, below in zip([None, *places], places, [*places[1:], None], strict=False):
        assert document.above(place) == above
        assert document.below(place) == below
        assert document.number(place) == number
        number += 1 + document.line(place).count("\n")


def ended(content: bytes) -> bytes:
    """A file whose first line begins no continuation: that is a fault no edit makes."""
    return b"x@far.test y@far.test\n" + content


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
