"""`postfix-regexp.cf`: what Postfix lets pass in silence, and the shape of rules."""

import pytest

from mailroster.document import Document
from mailroster.finding import Fault
from mailroster.formats.regexp import REGEXP, Rule, recipient


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("/^test[0-9]+@x\\.com/ qa@x.com", ("match", "/^test[0-9]+@x\\.com/", "qa@x.com")),
        ("/a\\/b/i  q@x.com, r@x.com\r", ("match", "/a\\/b/i", "q@x.com, r@x.com")),
        ("!/a/ q@x", ("match", "!/a/", "q@x")),
        ("! /a/ q@x", ("match", "! /a/", "q@x")),
        ("|a/b|x q@x", ("match", "|a/b|x", "q@x")),
        ("/(.*)@a/ $1@b", ("match", "/(.*)@a/", "$1@b")),
        ("/a/\n q@x\n# c\n\tr@x", ("match", "/a/", "q@x r@x")),
        ("if /x/", ("if", "/x/", "")),
        ("if !/x/i", ("if", "!/x/i", "")),
        ("IF/x/", ("if", "/x/", "")),
        ("endif", ("endif", "", "")),
        ("endif # of x", ("endif", "", "")),
    ],
)
def test_a_line_is_a_rule(line: str, rule: tuple[str, str, str]) -> None:
    assert REGEXP.parse(line) == Rule(*rule)
    assert REGEXP.key(line)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("qa@x.com", "malformed-rule"),
        ("!", "malformed-rule"),
        ("/a qa@x.com", "unclosed-pattern"),
        ("/a\\/ qa@x.com", "unclosed-pattern"),
        ("/a/q qa@x.com", "unknown-flag"),
        ("/a/", "no-recipient"),
        ("if /x/ qa@x.com", "text-after-if"),
        ("if", "malformed-rule"),
        (" /a/ q@x", "lost-continuation"),
        ("/a/ \0", "control-character"),
        ("/\udcff/ q@x", "not-utf-8"),
    ],
)
def test_what_is_wrong_has_a_code(line: str, code: str) -> None:
    with pytest.raises(Fault) as found:
        REGEXP.parse(line)
    assert found.value.code == code


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("if /a/\n/b/ q@x\nendif\n", []),
        ("if /a/\nif /b/\n/c/ q@x\nendif\nendif\n", []),
        ("/z/ q@x\nif /a/\n/b/ q@x\n", [(2, "if-without-endif")]),
        ("if /a/\nif /b/\nendif\n", [(1, "if-without-endif")]),
        ("endif\nif /a/\nendif\n", [(1, "endif-without-if")]),
        ("#if /a/\n/b/ q@x\n/b/ q@x\n", []),
    ],
)
def test_if_and_endif_must_match(text: str, found: list[tuple[int, str]]) -> None:
    findings = Document(REGEXP, text).findings()
    assert [(finding.where.line, finding.code) for finding in findings] == found


@pytest.mark.parametrize("line", ["/a\tb/", "if /a\tb/ q@x"])
def test_a_finding_shows_no_tab(line: str) -> None:
    (found, *_) = Document(REGEXP, line).findings()
    assert r"/a\tb/" in found.what


@pytest.mark.parametrize(
    "text",
    [
        "user@$1.com", "user@${1}.com", "user@$(1).com", "$1", "${1}@x.com", "$(12)@x.com",
        "a$1b@x.com", "$1$2@x.com", "@$1", "@x.$2",
    ],
)  # fmt: skip
def test_a_reference_may_stand_anywhere_in_a_recipient(text: str) -> None:
    assert recipient(text) == text


@pytest.mark.parametrize(
    "text", ["user@${1.com", "user@$(1.com", "user@${1)", "user@$(1}", "user@${}", "user@$", "@${1"]
)
def test_a_broken_reference_is_none(text: str) -> None:
    with pytest.raises(Fault) as refused:
        recipient(text)
    assert refused.value.code == "malformed-address"
    assert "$" in refused.value.what


def test_a_refused_recipient_is_named_as_it_was_written() -> None:
    with pytest.raises(Fault) as refused:
        recipient("a@@$1.com")
    assert refused.value.code == "malformed-address"
    assert "'a@@$1.com'" in refused.value.what
    assert "@x.com" not in refused.value.what
