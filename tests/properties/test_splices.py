"""Laws of the splices between two files: applied to the old file they give the new one, they cut
between entries, and they touch no line that both files share."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroster.roster.documents import splices as splices_module
from mailroster.roster.documents.byte_lines import lines_of
from mailroster.roster.documents.format import Format
from mailroster.roster.documents.splices import SPLICES_MAX, Bytes, Splice, splices_between
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.quotas import QUOTAS
from mailroster.roster.formats.virtual import VIRTUAL

#: Physical lines of which many stand twice in a file: entries, comments, blank lines, and lines
#: that continue the one above in a Postfix table.
LINES = (
    "a@x.com b@x.com", "a@x.com b@x.com,", "  c@x.com", "\td@x.com,", "# comment", "#", "", " ",
    "b@x.com|{PLAIN}x", "c@x.com:1G", "é@x.com b@x.com", "a@x.com b@x.com\r", "\r", "\udcff",
    "long@x.com " + "recipient@x.com," * 20,
)  # fmt: skip
#: Differences up to this size are not searched for lines that both files share.
BLOCK_BYTES = 2048
formats = st.sampled_from([ACCOUNTS, QUOTAS, VIRTUAL])
#: Where a file is changed, as a part of it in thousandths; how many lines go there, and what comes.
edits = st.lists(
    st.tuples(
        st.integers(0, 1000),
        st.integers(0, 3) | st.integers(50, 150),
        st.lists(st.sampled_from(LINES), max_size=3) | st.integers(1, 100),
    ),
    max_size=5,
)
ends = st.sampled_from(["\n", "", "\r\n", "\n\n"])


def source(content: bytes) -> Bytes:
    def read(start: int, end: int) -> bytes:
        assert 0 <= start <= end <= len(content)
        return content[start:end]

    return Bytes(read, len(content))


def between(format: Format[Any], old: str, new: str) -> list[Splice] | None:
    before, after = (text.encode("utf-8", "surrogateescape") for text in (old, new))
    return splices_between(format, source(before), source(after))


def edited(old: list[str], steps: Any) -> list[str]:
    """Some lines after edits; a number as what comes copies so many of the lines below."""
    new = list(old)
    for place, lost, added in steps:
        at = place * len(new) // 1000
        lines = new[at : at + added] if isinstance(added, int) else added
        new[at : at + lost] = lines
    return new


def assert_turns(format: Format[Any], old: str, new: str) -> None:
    """Holds if the splices turn one text into the other, by whole logical lines of both."""
    before, after = (text.encode("utf-8", "surrogateescape") for text in (old, new))
    splices = between(format, old, new)
    assert splices is not None
    parts: list[bytes] = []
    lines: list[str] = []
    place = 0
    for start, end, text in [*splices, Splice(len(before), len(before), "")]:
        assert place <= start <= end
        kept = before[place:start]
        parts += [kept, text.encode("utf-8", "surrogateescape")]
        lines += lines_of(format, kept.decode("utf-8", "surrogateescape"))
        lines += lines_of(format, text)
        place = end
    assert b"".join(parts) == after
    assert lines == lines_of(format, new)


@given(formats, st.integers(0, 10_000), st.integers(0, 400), edits, ends, ends)
def test_the_splices_applied_to_the_old_file_give_the_new_one(
    format: Format[Any], seed: int, count: int, steps: Any, end: str, new_end: str
) -> None:
    old = random.Random(seed).choices(LINES, k=count)
    new = edited(old, steps)
    assert_turns(format, "\n".join(old) + end, "\n".join(new) + new_end)


@given(formats, st.integers(0, 10_000), st.integers(0, 400), st.data())
def test_so_they_do_where_single_bytes_differ(
    format: Format[Any], seed: int, count: int, data: st.DataObject
) -> None:
    old = new = "\n".join(random.Random(seed).choices(LINES, k=count))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(new)))
        new = (
            new[:at]
            + data.draw(st.sampled_from("\n #a,"))
            + new[at + data.draw(st.sampled_from([0, 1, 2])) :]
        )
    assert_turns(format, old, new)


def unlike(count: int, name: str = "a") -> list[str]:
    """Entries of which no two are the same."""
    return [f"{name}{n}@x.com {n}@y.org" for n in range(count)]


@given(
    formats,
    st.lists(
        st.tuples(
            st.integers(0, 600), st.sampled_from([0, 1, 2, 100]), st.sampled_from([0, 1, 150])
        ),
        max_size=5,
    ),
    st.booleans(),
)
def test_no_entry_that_both_files_share_is_in_a_splice(
    format: Format[Any], steps: Any, same_end: bool
) -> None:
    old = new = unlike(600)
    for nth, (at, lost, added) in enumerate(steps):
        new = [*new[:at], *unlike(added, f"new{nth}-"), *new[at + lost :]]
    if not same_end:
        old, new = (
            [*old, *unlike(100, "end"), "old@x.com"],
            [*new, *unlike(100, "end"), "new@x.com"],
        )
    before, after = ("".join(f"{line}\n" for line in lines) for lines in (old, new))
    splices = between(format, before, after)
    assert splices is not None
    if splices and same_end and max(_lengths(splices[-1])) <= BLOCK_BYTES:
        splices.pop()  # so little before the common end is not worth a search
    for one in splices:
        removed, added = before[one.start : one.end].splitlines(), one.text.splitlines()
        assert set(removed).isdisjoint(new)
        assert set(added).isdisjoint(old)


def _lengths(splice: Splice) -> tuple[int, int]:
    return splice.end - splice.start, len(splice.text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("", "a b\n", id="from an empty file"),
        pytest.param("a b\n", "", id="to an empty file"),
        pytest.param("a b", "".join(f"a{n} b\n" for n in range(900)), id="all is another"),
        pytest.param("c d\na b", "c d\na b\n" + "e f\n" * 900, id="many lines behind a last one"),
        pytest.param("a b\n\rc\n", "a b\n\rd\n" + "e f\n" * 900, id="a line with a CR"),
        pytest.param("a b\n" * 3, "a b\n" * 2, id="one line less of those that are alike"),
        pytest.param("a b\n" * 2, "a b\n" * 900, id="many more of those that are alike"),
        pytest.param("a b\nc d", "a b\nc d\n", id="a line feed at the end"),
        pytest.param("a b\n" * 900 + "c d", "a b\n" * 900 + "c e\n c\n", id="a last line goes on"),
        pytest.param("a b\n# x\n c\n", "a b\n# y\n c\n", id="a comment inside of an entry"),
        pytest.param("a b\nc d\n", "a b\n c d\n", id="an entry becomes a part of the one above"),
        pytest.param("a b\n c d\n", "a b\nc d\n", id="a part of an entry becomes one of its own"),
    ],
)  # fmt: skip
def test_an_edge(old: str, new: str) -> None:
    for format in (ACCOUNTS, VIRTUAL):
        assert_turns(format, old, new)
        assert_turns(format, new, old)


@pytest.mark.parametrize(
    ("places", "most"), [(SPLICES_MAX, SPLICES_MAX), (SPLICES_MAX + 1, None)]
)  # fmt: skip
def test_files_that_differ_in_too_many_places_are_compared_as_wholes(
    places: int, most: int | None
) -> None:
    # The last two places are so far apart that they are no single one.
    old = unlike(2 * places + 200)
    changed = {*range(0, 2 * places - 2, 2), len(old) - 1}
    new = [f"{line}.au" if n in changed else line for n, line in enumerate(old)]
    splices = between(ACCOUNTS, *("".join(f"{line}\n" for line in some) for some in (old, new)))
    assert (None if splices is None else len(splices)) == most


@pytest.mark.parametrize("format", [ACCOUNTS, VIRTUAL], ids=["plain lines", "continued lines"])
def test_blank_lines_and_comments_are_no_lines_that_two_files_share(format: Format[Any]) -> None:
    old, new = (
        "".join(f"{line}\n# more\n\n" for line in unlike(400, name)) + "same@x.com y\n"
        for name in ("old", "new")
    )
    splices = between(format, f"{old}last@x.com y\n", f"{new}other@x.com y\n")
    assert splices is not None
    assert [one.text.count("\n") for one in splices] == [1200, 1]


@pytest.mark.parametrize("nth", [0, 1, 2500, 4998, 4999])
def test_the_common_tail_of_two_files_is_in_no_splice(nth: int) -> None:
    # No search could tell: comments are not looked for.
    old = [f"# comment {n}\n" for n in range(5000)]
    new = [*old[:nth], "# more\n", "# yet more\n", *old[nth + 1 :]]
    start = len("".join(old[:nth]))
    expected = Splice(start, start + len(old[nth]), "# more\n# yet more\n")
    assert between(ACCOUNTS, "".join(old), "".join(new)) == [expected]


@pytest.mark.parametrize(("window", "given_up"), [(1 << 11, True), (1 << 22, False)])
def test_a_difference_that_is_too_long_to_search_gives_up(
    monkeypatch: pytest.MonkeyPatch, window: int, given_up: bool
) -> None:
    monkeypatch.setattr(splices_module, "_WINDOW_BYTES", window)
    shared = unlike(200, "shared")
    old = [*unlike(1500, "old"), *shared, "last x"]
    new = [*unlike(1500, "new"), *shared, "last y"]
    splices = between(ACCOUNTS, "\n".join(old), "\n".join(new))
    assert (splices is None) == given_up


@pytest.mark.parametrize("there", [0, 1, 5000])
def test_a_file_that_becomes_shorter_while_it_is_read_ends_the_comparison(there: int) -> None:
    content = "\n".join(unlike(1000)).encode()
    shorter = Bytes(lambda start, end: content[:there][start:end], len(content))
    assert splices_between(ACCOUNTS, shorter, shorter) is not None
