"""`postfix-regexp.cf`: what Postfix lets pass in silence, and the shape of rules."""

import pytest

from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.regexp import (
    REGEXP,
    Rule,
    add_recipient,
    line,
    numbered,
    open_ifs,
    pattern,
    placed,
    recipient,
    recipients,
    without,
)


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
    with pytest.raises(ParseError) as found:
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
    assert r"/a\tb/" in found.message


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
    with pytest.raises(ParseError) as refused:
        recipient(text)
    assert refused.value.code == "malformed-address"
    assert "$" in refused.value.message


@pytest.mark.parametrize("text", ["@x.$1\x0f", "@$1@x.com", "@$1_x.com;", "@$1 "])
def test_what_is_beside_a_reference_is_checked(text: str) -> None:
    with pytest.raises(ParseError):
        recipient(text)


def test_a_refused_recipient_is_named_as_it_was_written() -> None:
    with pytest.raises(ParseError) as refused:
        recipient("a@@$1.com")
    assert refused.value.code == "malformed-address"
    assert "'a@@$1.com'" in refused.value.message
    assert "@x.com" not in refused.value.message


@pytest.mark.parametrize("text", ['/a/ "no@b@"', "/a/ <no@b@>", '/a/ q@x.com, "odd"@x.com'])
def test_what_postfix_reads_in_a_way_of_its_own_is_not_judged(text: str) -> None:
    assert REGEXP.parse(text).kind == "match"


@pytest.mark.parametrize("text", ["/a/ no@b@", "/a/ q@x.com,no@b@"])
def test_another_recipient_that_can_be_none_is_refused(text: str) -> None:
    with pytest.raises(ParseError) as refused:
        REGEXP.parse(text)
    assert refused.value.code == "malformed-address"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("/^a/", "/^a/"),
        (" /^a/i\t", "/^a/i"),
        ("!/a/", "!/a/"),
        ("|a/b|", "|a/b|"),
        ("^a@x\\.com$", "/^a@x\\.com$/"),
        ("^a/b", "/^a\\/b/"),
        ("^a\\/b", "/^a\\/b/"),  # the slash has its backslash already
        ("^a\\\\/b", "/^a\\\\\\/b/"),  # here the backslash belongs to the one before
        ("^", "/^/"),
    ],
)
def test_a_pattern_that_is_given_gets_its_delimiters(given: str, taken: str) -> None:
    assert pattern(given) == taken
    assert pattern(taken) == taken


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ("", "malformed-rule", "no delimiters"),
        ("a", "malformed-rule", "no delimiters"),
        ("#a#", "malformed-rule", "a comment in the file"),
        ("/a\nb/", "malformed-rule", "a line break"),
        ("/a/ b", "malformed-rule", "behind the pattern '/a/'"),
        ("/a", "unclosed-pattern", "no closing '/'"),
        ("/a/q", "unknown-flag", "'q'"),
        ("/a\0/", "control-character", "0x00"),
    ],
)
def test_a_pattern_that_can_be_none_is_refused(given: str, code: str, words: str) -> None:
    with pytest.raises(ParseError) as refused:
        pattern(given)
    assert refused.value.code == code
    assert words in refused.value.message


def test_rules_with_their_numbers_match_as_they_did() -> None:
    text = "# c\n/a/ q@x.com,\n  r@x.com\r\n\nif /x/\n!/b/ s@x.com\nendif\n/broken\n"
    assert numbered(Document(REGEXP, text)) == (
        "# c\n/a/ 2 q@x.com, r@x.com\n\nif /x/\n!/b/ 6 s@x.com\nendif\n/broken\n\n"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("if /a/\n/b/ q@x\nendif\n", []),
        ("/z/ q@x\nif /a/\nif /b/\n/c/ q@x\n", [1, 2]),
        ("if /a/\nif /b/\nendif\n/c/ q@x\n", [0]),
        ("endif\nif /a/\n", [1]),
    ],
)
def test_a_block_that_is_not_closed_is_found(text: str, found: list[int]) -> None:
    assert open_ifs(Document(REGEXP, text)) == found


def test_each_rule_has_the_blocks_around_it() -> None:
    document = Document(
        REGEXP, "if /a/\n/b/ q@x\nif /c/\n/d/ q@x\nendif\n/e/ q@x\nendif\n/f/ q@x\n"
    )
    assert [(each.position, each.within) for each in placed(document) if each.rule.result] == [
        (1, (0,)), (3, (0, 2)), (5, (0,)), (7, ()),
    ]  # fmt: skip


def test_the_file_is_ordered_and_its_recipients_are_split_at_commas_and_blanks() -> None:
    assert (REGEXP.file, REGEXP.ordered, REGEXP.continued) == ("postfix-regexp.cf", True, True)
    assert recipients("a@x, $1@x\tb,,c") == ["a@x", "$1@x", "b", "c"]
    assert line("/a/", ["a@x", "b@x"]) == "/a/ a@x,b@x"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/a/ a@x\r\n", "/a/ a@x,n@x\r\n"),
        ("/a/ a@x, \t\n/b/ b@x\n", "/a/ a@x,n@x\n/b/ b@x\n"),
        ("/a/ a@x", "/a/ a@x,n@x"),
    ],
)
def test_a_recipient_is_added_to_a_rule(before: str, after: str) -> None:
    assert add_recipient(Document(REGEXP, before), 0, "n@x").text == after


@pytest.mark.parametrize(
    ("rule", "removed", "left"),
    [
        ("/a/ a@x,b@x", ["b@x"], "/a/ a@x"),
        ("/a/ a@x", ["a@x"], None),
        ("/a b/i a@x, B@x", ["b@x"], "/a b/i a@x"),
        ("! /a@x/ a@x,b@x", ["a@x"], "! /a@x/ b@x"),
        ("/a/ a@x", ["c@x"], "/a/ a@x"),
    ],
)
def test_a_recipient_goes_out_of_a_rule(rule: str, removed: list[str], left: str | None) -> None:
    assert without(rule, removed) == left
