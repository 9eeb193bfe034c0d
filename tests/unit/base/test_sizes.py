"""Sizes: one normal form, and everything else refused with the accepted forms."""

import pytest

from mailroster.base.findings import COMMENT_BEHIND, ParseError
from mailroster.base.sizes import human_size, normal_size, size_bytes, size_text


@pytest.mark.parametrize(
    ("text", "normal", "count"),
    [
        ("5G", "5G", 5 << 30),
        ("5g", "5G", 5 << 30),
        ("05G", "5G", 5 << 30),
        (" 5G", "5G", 5 << 30),
        ("5G\r", "5G", 5 << 30),
        ("5K", "5k", 5 << 10),
        ("5k", "5k", 5 << 10),
        ("10k", "10k", 10 << 10),
        ("500M", "500M", 500 << 20),
        ("2T", "2T", 2 << 40),
        ("7B", "7B", 7),
        ("7b", "7B", 7),
        ("0", "0", 0),
        ("000", "0", 0),
        ("0G", "0", 0),
        ("8388607T", "8388607T", 8388607 << 40),
        ("9223372036854775807B", "9223372036854775807B", (1 << 63) - 1),
    ],
)
def test_a_size_is_read_into_its_normal_form(text: str, normal: str, count: int) -> None:
    assert normal_size(text) == normal
    assert size_bytes(normal) == count
    assert normal_size(normal) == normal


@pytest.mark.parametrize(
    "text",
    ["", " ", "G", "k", "5", "5GB", "5GiB", "5 G", "1.5G", "1,5G", "-1", "-1G", "+5G", "5P", "0x5G",
     "1_000M", "\u0665G", "\uff15G", "5\nG", "5G\n6G", "5G:x", "∞", "unlimited", "1e3M",
     "X5G", "5GX", "X0"],
)  # fmt: skip
def test_other_spellings_are_refused_with_the_accepted_forms(text: str) -> None:
    with pytest.raises(ParseError) as refused:
        normal_size(text)
    assert refused.value.code == "malformed-quota"
    assert "500M" in refused.value.hint


@pytest.mark.parametrize(
    "text", ["99999999999T", "8388608T", "9223372036854775808B", "9" * 5000 + "B"]
)
def test_a_size_past_63_bits_is_refused(text: str) -> None:
    with pytest.raises(ParseError) as refused:
        normal_size(text)
    assert refused.value.code == "quota-too-large"


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0"),
        (1, "1"),
        (1023, "1023"),
        (1024, "1.0K"),
        (1025, "1.1K"),
        ((10 << 10) - 1024, "9.0K"),
        ((10 << 10) - 103, "9.9K"),
        ((10 << 10) - 102, "10K"),
        (10 << 10, "10K"),
        (12 * 1024, "12K"),
        (12 * 1024 + 1, "13K"),
        (20 << 10, "20K"),
        (5 << 30, "5.0G"),
        ((1 << 20) - 1, "1.0M"),
        (1 << 40, "1.0T"),
        (1 << 50, "1.0P"),
        (1 << 60, "1.0E"),
        ((1 << 63) - 1, "8.0E"),
    ],
)
def test_people_see_a_size_rounded_up(count: int, shown: str) -> None:
    assert human_size(count) == shown


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"), (7, "7B"), (1023, "1023B"), (1024, "1k"), (1025, "1025B"), (1536 << 10, "1536k"),
        (5 << 20, "5M"), (5 << 30, "5G"),
        (1025 << 30, "1025G"), (3 << 40, "3T"), (1 << 50, "1024T"),
    ],
)  # fmt: skip
def test_bytes_are_written_in_the_largest_unit_without_a_fraction(count: int, text: str) -> None:
    assert size_text(count) == text
    assert normal_size(text) == text
    assert size_bytes(text) == count


@pytest.mark.parametrize(("text", "is_comment"), [("5G # five", True), ("5 G", False)])
def test_a_comment_behind_a_size_is_named_as_such(text: str, is_comment: bool) -> None:
    with pytest.raises(ParseError) as refused:
        normal_size(text)
    assert (refused.value.hint == COMMENT_BEHIND) is is_comment
