"""Laws of diffs: what is shown turns one file into the other, however the files are held."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroster.roster.documents.format import Format
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.documents.unified_diff import (
    CONTEXT,
    Region,
    physical_lines,
    regions,
    unified,
)
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster
from tests.support.large_documents import apply, edits, formats, indexed
from tests.support.texts import document, raw

texts = st.lists(st.sampled_from(["a", "b", "c", "", " "]), max_size=40)


def patched(old: Sequence[str], diff: Sequence[str]) -> list[str]:
    """What a unified diff makes of some lines; every line that it names has to be there."""
    new: list[str] = []
    place = 0
    for line in diff[2:]:
        if line.startswith("@@"):
            start, length, new_start, new_length = (
                1 if number is None else int(number)
                for number in re.findall(r"-(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))?", line)[0]
                for number in [number or None]
            )
            begin = start - 1 if length else start
            new += old[place:begin]
            place = begin
            assert len(new) == (new_start - 1 if new_length else new_start)
            continue
        if line[0] in " -":
            assert old[place] == line[1:]
            place += 1
        if line[0] in " +":
            new.append(line[1:])
    return [*new, *old[place:]]


def assert_small(diff: Sequence[str]) -> None:
    """Holds if no more than the context stands around what differs, and no line comes and goes."""
    for hunk in re.split(r"^@@.*$", "\n".join(diff[2:]), flags=re.MULTILINE)[1:]:
        runs = re.findall(r"(?:^ .*\n?)+", hunk, re.MULTILINE)
        assert all(run.count("\n") <= 2 * CONTEXT + 1 for run in runs)


@given(texts, texts, texts, texts)
def test_a_diff_turns_one_text_into_the_other(
    head: list[str], old: list[str], new: list[str], tail: list[str]
) -> None:
    before, after = head + old + tail, head + new + tail
    diff = list(unified([Region(before, after)], "x"))
    assert (diff == []) == (before == after)
    if diff:
        assert diff[:2] == ["--- a/x", "+++ b/x"]
        assert patched(before, diff) == after
        assert_small(diff)


@given(formats, raw, edits)
def test_a_diff_of_splices_turns_the_base_into_the_document(
    format: Format[Any], content: bytes, steps: Any
) -> None:
    content = b"x@far.test y@far.test\n" + content
    before = indexed(format, content)
    after = apply(before, steps)
    assert isinstance(after, LargeDocument)
    old, new = physical_lines(content), physical_lines(bytes(after))
    diff = list(unified(regions(before, after), "x"))
    assert (diff == []) == (old == new)
    assert (patched(old, diff) if diff else old) == new
    whole = list(unified(regions(document(format, content), document(format, bytes(after))), "x"))
    assert (whole == []) == (diff == [])


large_steps = st.lists(
    st.tuples(
        st.integers(0, 120),
        st.none() | st.sampled_from(["b@x.com c@x.com", "b@x.com:1G", "# more", ""]),
        st.lists(st.just("end@x.com c@x.com"), max_size=1),
    ),
    max_size=6,
)


@given(formats, large_steps, large_steps)
def test_the_later_hunks_of_a_large_file_name_their_lines(
    format: Format[Any], steps: Any, more: Any
) -> None:
    content = "".join(f"user{n}@x.com {n}@y.org\n" for n in range(120)).encode()
    base = indexed(format, content)
    one = apply(base, steps)
    for before, after in ((base, one), (one, apply(one, more))):
        old, new = physical_lines(bytes(before)), physical_lines(bytes(after))
        diff = list(unified(regions(before, after), "x"))
        assert (patched(old, diff) if diff else old) == new
        assert_small(diff)


def test_documents_of_two_bases_are_compared_as_wholes() -> None:
    format = Roster().quotas.format
    one, other = indexed(format, b"a@x:1G\nb@x:1G\n"), indexed(format, b"a@x:2G\nb@x:1G\n")
    assert list(regions(one, other)) == [Region(["a@x:1G", "b@x:1G"], ["a@x:2G", "b@x:1G"])]


@pytest.mark.parametrize("between", range(4, 10))
def test_near_edits_of_a_large_file_are_shown_as_those_of_a_small_one(between: int) -> None:
    content = "".join(f"user{n}@x.com {n}@y.org\n" for n in range(40)).encode()
    before = indexed(VIRTUAL, content)
    after = apply(before, [(n, "b@x.com c@x.com", []) for n in (10, 11 + between)])
    small = document(VIRTUAL, content), document(VIRTUAL, bytes(after))
    assert list(unified(regions(before, after), "x")) == list(unified(regions(*small), "x"))
