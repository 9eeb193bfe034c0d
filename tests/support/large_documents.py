"""Documents with an index in memory, and edits of them by chance."""

from codecs import BOM_UTF8
from collections.abc import Hashable, Iterator
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from mailroster.roster.documents.byte_lines import cut, lines_of
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Format, mentions
from mailroster.roster.documents.large import LargeDocument
from tests.support.texts import FORMATS

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
    added = (line.position for line in document.added())
    return document._merged((offset for offset, _ in lines), added)


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


def ended(content: bytes) -> bytes:
    """A file whose first line begins no continuation: that is a fault no edit makes."""
    return b"x@far.test y@far.test\n" + content
