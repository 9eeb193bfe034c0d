"""Documents: what is found in them, and edits to the byte."""

import pytest

from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.text import check_text, content, logical_lines, only_comments
from mailroster.roster.formats.quotas import QUOTAS
from mailroster.roster.formats.regexp import REGEXP
from mailroster.roster.formats.virtual import VIRTUAL


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("a\nb\n", ["a", "b", ""]),
        ("a\n b\n", ["a\n b", ""]),
        ("a\r\n b\r\n", ["a\r\n b\r", ""]),
        ("a\n\n b", ["a\n\n b"]),
        ("a\n#\n  #\n b\n#\n", ["a\n#\n  #\n b", "#", ""]),
        (" a\n b\nc", [" a\n b", "c"]),
        ("a\n \nb", ["a", " ", "b"]),
        ("#\n b\n c", ["#", " b\n c"]),
    ],
)
def test_logical_lines(text: str, lines: list[str]) -> None:
    assert logical_lines(text) == lines
    assert "\n".join(lines) == text


def test_the_content_of_a_logical_line_has_no_comments() -> None:
    assert content("  a b \r") == "a b"
    assert content("a\r\n# x\r\n\n  b\r") == "a b"
    assert only_comments("\t# x")
    assert not only_comments(" x # y")


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("a\0", "control-character", "0x00"),
        ("a\x1b", "control-character", "0x1b"),
        ("a\x7f", "control-character", "0x7f"),
        ("a\rb", "control-character", "carriage return"),
        ("\udcff", "not-utf-8", "0xff"),
        ("\x85", "odd-blank", "U+0085"),
        ("a\u3000b", "odd-blank", "U+3000"),
    ],
)
def test_odd_bytes_are_faults(text: str, code: str, message: str) -> None:
    with pytest.raises(ParseError) as fault:
        check_text(text)
    assert fault.value.code == code
    assert message in fault.value.message


@pytest.mark.parametrize("text", ["", "a\tb\r", "ä€😀", "a\r\n b\r"])
def test_plain_text_is_no_fault(text: str) -> None:
    check_text(text)
    for odd in ("\0", "\rx", "\u3000"):  # so little makes a fault of it
        with pytest.raises(ParseError):
            check_text(text + odd)


@pytest.mark.parametrize(
    ("text", "positions", "left"),
    [
        ("a\nb\nc\n", [1], "a\nc\n"),
        ("a\nb\nc", [2], "a\nb\n"),
        ("a", [0], ""),
        ("a\n", [0], ""),
        ("a\nb", [0, 1], ""),
        ("a\r\nb\r\n", [0], "b\r\n"),
        ("\n\na", [2], "\n\n"),
    ],
)
def test_lines_are_removed_with_their_line_feeds(
    text: str, positions: list[int], left: str
) -> None:
    assert Document(QUOTAS, text).remove(positions).text == left


@pytest.mark.parametrize("text", ["", "a:1G", "a:1G\n", "a:1G\r\n", "a:1G\r\n\r\nb:1G"])
def test_an_appended_line_goes_with_its_removal(text: str) -> None:
    longer = Document(QUOTAS, text).append("z:1G")
    again = longer.remove([len(longer.lines) - 2])
    ended = text if not text or text.endswith("\n") else text + ("\r\n" if "\r\n" in text else "\n")
    assert again.text == ended


def test_a_replaced_line_keeps_its_carriage_return_and_all_others() -> None:
    document = Document(QUOTAS, "a:1G\r\nb:1G\r\n\udcff")
    assert document.replace(1, "b:2G").text == "a:1G\r\nb:2G\r\n\udcff"
    assert bytes(document.replace(1, "b:2G")) == b"a:1G\r\nb:2G\r\n\xff"
    assert document.text.startswith("a:1G\r\nb:1G"), "the first one stays as it is"


@pytest.mark.parametrize(
    ("text", "replaced", "appended", "after"),
    [
        ("", {}, [], ""),
        ("", {}, ["y", "z"], "y\nz\n"),
        ("a\r\nb\r\nc", {0: "A", 1: None}, ["y", "z"], "A\r\nc\r\ny\r\nz\r\n"),
        ("a\nb", {1: None, 0: "A"}, ["z"], "A\nz\n"),
        ("a\nb\n", {0: None, 1: None}, ["z"], "z\n"),
        ("a\r\n", {0: None}, ["z"], "z\r\n"),
        ("a b\n  c\n# d\n", {0: "a e"}, [], "a e\n# d\n"),
    ],
)
def test_many_lines_change_at_once(
    text: str, replaced: dict[int, str | None], appended: list[str], after: str
) -> None:
    document = Document(VIRTUAL, text)
    assert document.edited(replaced, appended).text == after
    assert document.text == text


@pytest.mark.parametrize("big", [False, True], ids=["few questions", "many questions"])
def test_a_key_is_found_however_often_one_asks(big: bool) -> None:
    text = "".join(f"U{n}@x.com:{n + 1}G\n" for n in range(40))
    document = Document(QUOTAS, text)
    for n in range(40 if big else 3):
        found = document.get(f"u{n}@x.com")
        assert found is not None
        assert found.size == f"{n + 1}G"
    assert document.get("u@x.com") is None
    assert "u4@x.com" in document
    assert "4@x.com" not in document


def test_mentions_are_of_lines_that_count_in_any_case() -> None:
    text = "a@x B@X\n# b@x\nbad\nc@x\n d@x,\n b@x.com\nA@x b@x\nİ@x b@x\n"
    document = Document(VIRTUAL, text)
    assert [key for key, _ in document.mentioning("b", "x")] == ["a@x"]
    assert list(document.mentioning("nobody", "x")) == []


def test_a_rule_is_found_in_its_own_case() -> None:
    document = Document(REGEXP, "/^Info@/ a@x.com\n/^b@/\n  A@x.com\n")
    assert document.position("/^Info@/ a@x.com") == 0
    assert document.position("/^b@/ A@x.com") == 1
    assert document.position("/^info@/ a@x.com") is None


def test_a_long_line_is_read_like_a_short_one() -> None:
    """Its entry is kept, since it takes long to parse."""
    recipients = [f"user{n}@far.test" for n in range(2000)]
    document = Document(VIRTUAL, f"all@a.test {','.join(recipients)}\n")
    for _ in range(2):
        alias = document.get("all@a.test")
        assert alias is not None
        assert list(alias.recipients) == recipients
